"""Write the YAML of a pipeline, with comments on what the file contains."""

import re
from collections.abc import Sequence
from typing import Any

import yaml

from batchml.new.column import Column
from batchml.new.locate import file_name
from batchml.new.plan import HOLDOUT, Plan
from batchml.new.profile import Profile
from batchml.new.suggested_checks import suggest

WIDTH = 100
MAX_COMMENT = 220
UNLIMITED = 10**6
ANY_DATE = "2021-01-01"  # without dated rows, the date of each run contains the whole file
FEW_ROWS = 1000  # fewer rows get shallower trees


def as_yaml(name: str, profile: Profile, plan: Plan, origin: str) -> str:
    """Return the whole file."""
    parts = [
        _head(profile, plan, origin),
        _source(name, profile, plan),
        _columns(plan, profile),
        _key(plan),
        _checks(plan, profile),
        _features(plan),
        _task(plan),
        _inputs(plan),
        _estimator(plan),
        _training(plan),
        _gate(plan),
    ]
    paragraphs = ["\n".join(lines) for lines in parts if lines]
    return "\n\n".join(paragraphs) + "\n"


def _head(profile: Profile, plan: Plan, origin: str) -> list[str]:
    start = end = ANY_DATE
    meaning = "# The rows have no date: the date of each run contains the whole file."
    if plan.dates is not None:
        start, end = str(plan.dates.first), str(plan.dates.end)
        meaning = "# `make run` trains on this range, then scores the day after it."
        meaning += _outside(plan.dates.before, plan.dates.after)
    return [
        "# yaml-language-server: $schema=../pipeline.schema.json",
        f"# Made from {_comment(origin)}: {profile.rows:,} rows, {len(plan.columns)} columns.",
        "# Comments state what the file contains. Check columns, inputs and gate before use.",
        f"description: {_scalar(f'{plan.label.name}, from {file_name(origin)}')}",
        'schedule: "0 0 * * *"',
        f"start_date: {start}",
        meaning,
        f"bootstrap: {{start: {start}, end: {end}}}",
    ]


def _outside(before: int, after: int) -> str:
    parts = []
    if before:
        parts.append(f"{before:,} rows are before it")
    if after:
        parts.append(f"{after:,} rows are after that day")
    if not parts:
        return ""
    return f" {' and '.join(parts)}."


def _source(name: str, profile: Profile, plan: Plan) -> list[str]:
    lines = ["source:", f"  kind: {profile.kind}", f"  path: {name}.{profile.kind}"]
    if profile.changes:
        lines.append("  # The landed copy differs from the file, and so must its replacements:")
        lines += [f"  # - {_comment(change)}" for change in profile.changes]
    lines += _text_form(profile)
    patterns = {column.name: column.pattern for column in plan.columns if column.pattern}
    if patterns:
        lines.append(f"  formats: {_flow(patterns)}")
    if plan.event_time is not None:
        lines.append(f"  event_time: {_scalar(plan.event_time.name)}   # the date of a row")
    return lines


def _text_form(profile: Profile) -> list[str]:
    text = profile.text
    if text is None:
        return []
    lines = [f"  header: {str(text.has_header).lower()}"]
    if text.delimiter != ",":
        lines.append(f"  delimiter: {_quoted(text.delimiter)}")
    if text.encoding != "UTF-8":
        lines.append(f"  encoding: {text.encoding}")
    if profile.nulls:
        counts = [f"{null or 'only spaces'} {n:,} times" for null, n in profile.nulls.items()]
        note = _comment(", ".join(counts))
        lines.append(f"  nulls: {_flow(list(profile.nulls))}   # {note}; in every column")
    return lines


def _columns(plan: Plan, profile: Profile) -> list[str]:
    order = "by name"
    if profile.text is not None:
        order = "in the file's order"
    lines = [f"columns:   # {order}"]
    for column in plan.columns:
        note = _comment(_describe(column))
        lines.append(f"  {_scalar(column.name)}: {column.type}   # {note}")
    for name in profile.undeclared:
        lines.append(f"  # {_comment(name)} is a list, a structure or bytes: stored as JSON")
    return lines


def _key(plan: Plan) -> list[str]:
    if plan.key is not None:
        return [f"key: [{_scalar(plan.key)}]   # all values differ"]
    return ["key: [source_row]   # the row's number in the file: no column is an id"]


def _describe(column: Column) -> str:
    """Return what the values of a column are like."""
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


def _checks(plan: Plan, profile: Profile) -> list[str]:
    checks, others = suggest(plan)
    lines = [
        "checks:   # all rows pass; on_fail: warn counts failing rows, reject (default) "
        "quarantines them"
    ]
    for check in checks:
        ending = ", on_fail: warn"
        if check.rejects:
            ending = ""
        lines.append(f"  - {{name: {check.name}, expect: {_quoted(check.expect)}{ending}}}")
    if others:
        lines.append(f"  # {others} more columns were never negative")

    share = profile.malformed / (profile.rows + profile.malformed)
    line = f"max_rejected_share: {round(max(0.05, 2 * share), 3)}"
    if profile.malformed:
        line += f"   # malformed lines are quarantined: {profile.malformed:,}"
    lines.append(line)
    return lines


def _features(plan: Plan) -> list[str]:
    if not plan.features:
        return []
    return ["features:"] + [f"  - {_flow(feature)}" for feature in plan.features]


def _task(plan: Plan) -> list[str]:
    note = f"{plan.label.distinct:,} different values"
    is_class = plan.task == "classification"
    if is_class and plan.label.distinct > 2 and _are_digits(plan.label):
        note += "; to predict the number: regression, a numeric type, and a gate of rmse"
    return [f"task: {plan.task}   # {note}", f"label: {_scalar(plan.label.name)}"]


def _are_digits(column: Column) -> bool:
    return all(re.fullmatch(r"[+-]?[\d.]+", str(value)) for value in column.counts)


def _inputs(plan: Plan) -> list[str]:
    lines = ["inputs:", "  # Remove what is not yet known when a prediction is needed."]
    lines += _names("numeric", plan.numeric) + _names("categorical", plan.categorical)
    if plan.left_out:
        lines.append("  # Left out:")
    for name, reason in plan.left_out.items():
        lines.append(f"  # - {_comment(f'{name}: {reason}')}")
    return lines


def _names(key: str, names: Sequence[str]) -> list[str]:
    """Return a list of ``inputs`` on as many lines as it needs."""
    if not names:
        return []
    mapping = {key: list(names)}
    text = yaml.safe_dump(mapping, default_flow_style=None, allow_unicode=True, width=WIDTH)
    return [f"  {line}" for line in text.splitlines()]


def _estimator(plan: Plan) -> list[str]:
    depth = 5
    if plan.fit_rows < FEW_ROWS:
        depth = 3
    return [
        "estimator:",
        "  kind: xgboost",
        f"  params: {{n_estimators: 100, max_depth: {depth}, learning_rate: 0.1}}",
    ]


def _training(plan: Plan) -> list[str]:
    min_rows = max(2, min(1000, plan.fit_rows // 2))
    lines = [
        "training:",
        "  split: hash   # of the key; set 'group' for rows that belong together",
        f"  holdout_fraction: {HOLDOUT}",
    ]
    if plan.dates is not None:
        lines = [
            "training:",
            f"  window_days: {plan.dates.window_days}",
            f"  holdout_days: {plan.dates.holdout_days}   # the last",
        ]
    lines += ["  every_days: 7", f"  min_rows: {min_rows}   # the file has {plan.fit_rows:,}"]
    return lines


def _gate(plan: Plan) -> list[str]:
    limit = _scalar(float(f"{plan.limit:.4g}"))
    meaning = "the label's standard deviation"
    if plan.task == "classification":
        meaning = "the share of the largest class"
    return [
        "gate:",
        f"  metric: {plan.metric}",
        f"  limit: {limit}   # {meaning}: what a constant reaches. Tighten it after a training",
    ]


def _flow(value: Any) -> str:
    text: str = yaml.safe_dump(
        value, default_flow_style=True, sort_keys=False, allow_unicode=True, width=UNLIMITED
    )
    return text.strip()


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
