"""Write the YAML of a pipeline, with comments on what the file contains."""

import re
from pathlib import Path
from typing import Any

import yaml
from jinja2 import Environment, FileSystemLoader, StrictUndefined

from batchml.new.column import Column
from batchml.new.locate import file_name
from batchml.new.plan import HOLDOUT, Dates, Plan
from batchml.new.profile import Profile
from batchml.new.suggested_checks import suggest

WIDTH = 88  # of a list of inputs, behind its key
MAX_COMMENT = 220
UNLIMITED = 10**6
ANY_DATE = "2021-01-01"  # without dated rows, the date of each run contains the whole file
FEW_ROWS = 1000  # fewer rows get shallower trees
TEMPLATES = Environment(
    loader=FileSystemLoader(Path(__file__).parent),
    undefined=StrictUndefined,
    autoescape=False,
    trim_blocks=True,
    lstrip_blocks=True,
    keep_trailing_newline=True,
)


def as_yaml(name: str, profile: Profile, plan: Plan, origin: str) -> str:
    """Return the whole file."""
    start = end = ANY_DATE
    if plan.dates is not None:
        start, end = str(plan.dates.first), str(plan.dates.end)
    max_depth = 5
    if plan.fit_rows < FEW_ROWS:
        max_depth = 3
    meaning = "the label's standard deviation"
    if plan.task == "classification":
        meaning = "the share of the largest class"
    checks, other_checks = suggest(plan)
    malformed_share = profile.malformed / (profile.rows + profile.malformed)
    return TEMPLATES.get_template("pipeline.yaml.j2").render(
        name=name,
        profile=profile,
        plan=plan,
        origin=origin,
        description=f"{plan.label.name}, from {file_name(origin)}",
        start=start,
        end=end,
        outside=_outside(plan.dates),
        null_counts=_null_counts(profile),
        patterns={column.name: column.pattern for column in plan.columns if column.pattern},
        checks=checks,
        other_checks=other_checks,
        max_rejected_share=round(max(0.05, 2 * malformed_share), 3),
        regression_hint=_regression_hint(plan),
        max_depth=max_depth,
        holdout=HOLDOUT,
        min_rows=max(2, min(1000, plan.fit_rows // 2)),
        limit=float(f"{plan.limit:.4g}"),
        meaning=meaning,
    )


def _outside(dates: Dates | None) -> str:
    parts = []
    if dates is not None and dates.before:
        parts.append(f"{dates.before:,} rows are before it")
    if dates is not None and dates.after:
        parts.append(f"{dates.after:,} rows are after that day")
    if not parts:
        return ""
    return f" {' and '.join(parts)}."


def _null_counts(profile: Profile) -> str:
    nulls = profile.nulls or {}
    return ", ".join(f"{null or 'only spaces'} {rows:,} times" for null, rows in nulls.items())


def _regression_hint(plan: Plan) -> str:
    if plan.task != "classification" or plan.label.distinct <= 2:
        return ""
    if not all(re.fullmatch(r"[+-]?[\d.]+", str(value)) for value in plan.label.counts):
        return ""
    return "; to predict the number: regression, a numeric type, and a gate of rmse"


def _describe(column: Column) -> str:
    """Return a short description of a column's values."""
    parts = []
    if column.given != column.name:
        parts.append(f"in the file {column.given!r}")
    parts.append(_describe_values(column))
    if column.missing:
        parts.append(f"{column.missing:,} empty")
    parts += column.notes
    return "; ".join(parts)


def _describe_values(column: Column) -> str:
    low, high = column.range
    if not column.distinct:
        return "no value"
    if column.type == "string" and column.distinct <= 4:
        return " | ".join(column.counts)
    if column.type == "string":
        return f"{column.distinct:,} texts, such as {next(iter(column.counts))}"
    if column.is_dated:
        return f"{low:%Y-%m-%d} to {high:%Y-%m-%d}"
    return f"{low:.6g} to {high:.6g}"


def _flow(value: Any, width: int = UNLIMITED) -> str:
    text: str = yaml.safe_dump(
        value, default_flow_style=True, sort_keys=False, allow_unicode=True, width=width
    )
    return text.strip()


def _wrapped(names: list[str]) -> str:
    """Return a flow list of ``inputs`` on as many lines as it needs."""
    return _flow(names, WIDTH).replace("\n", "\n  ")


def _scalar(value: Any) -> str:
    """Return one value as a flow list contains it."""
    return _flow([value])[1:-1]


def _quoted(text: str) -> str:
    """Return text in double quotes."""
    quoted: str = yaml.safe_dump(text, default_style='"', allow_unicode=True, width=UNLIMITED)
    return quoted.strip()


def _comment(text: str) -> str:
    """Return text on one line of bounded length, without unprintable characters."""
    printable = [letter if letter.isprintable() else " " for letter in text]
    line = " ".join("".join(printable).split())
    if len(line) <= MAX_COMMENT:
        return line
    return f"{line[:MAX_COMMENT]}…"


TEMPLATES.filters |= {
    "comment": _comment,
    "describe": _describe,
    "flow": _flow,
    "number": "{:,}".format,
    "quoted": _quoted,
    "scalar": _scalar,
    "wrapped": _wrapped,
}
