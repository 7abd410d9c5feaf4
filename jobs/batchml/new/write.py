"""The YAML of a pipeline, with what was found in the file as comments."""

import re
from collections.abc import Iterable
from typing import Any

import yaml

from batchml.new.choose import HOLDOUT, Plan
from batchml.new.columns import Column
from batchml.new.facts import facts
from batchml.new.obtain import file_name
from batchml.new.read import Delivered

WIDTH = 110
SOME_DATE = "2021-01-01"  # of a file whose rows have none: each run's date holds the whole of it
SMALL = 1000  # rows, below which trees are kept shallower


def as_yaml(name: str, found: Delivered, plan: Plan, origin: str) -> str:
    """The whole file."""
    parts = [
        _head(found, plan, origin),
        _source(name, found, plan),
        _columns(plan, found),
        _checks(plan, found),
    ]
    parts += [_features(plan), _task(plan), _training(plan), _gate(plan)]
    return "\n\n".join("\n".join(part) for part in parts if part) + "\n"


def _head(found: Delivered, plan: Plan, origin: str) -> list[str]:
    start = plan.dates.first if plan.dates else SOME_DATE
    end = plan.dates.end if plan.dates else SOME_DATE
    meaning = "# The rows have no date of their own: each run's date holds the whole file."
    if plan.dates:
        meaning = "# The range `make run` trains on; it then scores the day after."
        outside = ((plan.dates.before, "before it"), (plan.dates.after, "after that day"))
        told = " and ".join(f"{rows:,} rows lie {where}" for rows, where in outside if rows)
        meaning += f" {told[0].upper()}{told[1:]}." if told else ""
    return [
        "# yaml-language-server: $schema=../pipeline.schema.json",
        f"# Made from {_comment(origin)}: {found.rows:,} rows, {len(plan.columns)} columns.",
        "# What was found stands beside each line: look at columns, inputs and gate before you rely on a number.",
        f"description: {_scalar(f'{plan.label.name}, from {file_name(origin)}')}",
        'schedule: "0 0 * * *"',
        f"start_date: {start}",
        meaning,
        f"bootstrap: {{start: {start}, end: {end}}}",
    ]


def _source(name: str, found: Delivered, plan: Plan) -> list[str]:
    lines = ["source:", f"  kind: {found.kind}", f"  path: {name}.{found.kind}"]
    if found.changes:
        lines.append(
            "  # The landed copy differs from the file, and so must one that takes its place:"
        )
        lines += [f"  # - {_comment(change)}" for change in found.changes]
    if found.form is not None:
        lines.append(f"  header: {'true' if found.form.header is not None else 'false'}")
        lines += (
            [f"  delimiter: {_quoted(found.form.delimiter)}"] if found.form.delimiter != "," else []
        )
        lines += [f"  encoding: {found.form.encoding}"] if found.form.encoding != "UTF-8" else []
    if found.nulls:
        told = ", ".join(
            f"{text or 'nothing but spaces'} {size:,} times" for text, size in found.nulls.items()
        )
        lines.append(f"  nulls: {_flow([*found.nulls])}   # {_comment(told)}; in every column")
    if patterns := {
        column.name: column.pattern for column in plan.columns if column.pattern is not None
    }:
        lines.append(f"  formats: {_flow(patterns)}")
    if plan.event_time is not None:
        lines.append(f"  event_time: {_scalar(plan.event_time.name)}   # dates a row")
    return lines


def _columns(plan: Plan, found: Delivered) -> list[str]:
    order = "in the file's order" if found.form is not None else "by name"
    lines = [f"columns:   # {order}"]
    lines += [
        f"  {_scalar(column.name)}: {column.type}   # {_comment(_told(column))}"
        for column in plan.columns
    ]
    lines += [
        f"  # {_comment(name)} is a list, a structure or bytes: kept as JSON"
        for name in found.undeclared
    ]
    key = plan.key or "source_row"
    why = (
        "a value of its own in every row"
        if plan.key
        else "the row's place in the file: no column is an id"
    )
    return [*lines, "", f"key: [{_scalar(key)}]   # {why}"]


def _told(column: Column) -> str:
    """What a column's values are like."""
    said = [f"in the file {column.given!r}"] if column.given != column.name else []
    low, high = column.range
    if not column.distinct:
        said.append("no value at all")
    elif column.type == "string" and column.distinct <= 4:
        said.append(" | ".join(column.counts))
    elif column.type == "string":
        said.append(f"{column.distinct:,} texts, as {next(iter(column.counts))}")
    elif column.is_dated:
        said.append(f"{low:%Y-%m-%d} to {high:%Y-%m-%d}")
    else:
        said.append(f"{low:.6g} to {high:.6g}")
    if column.missing:
        said.append(f"{column.missing:,} empty")
    return "; ".join([*said, *column.notes])


def _checks(plan: Plan, found: Delivered) -> list[str]:
    checks, others = facts(plan)
    lines = [
        "checks:   # all hold in the file; warn tells of a row that fails, reject (the default) keeps it apart"
    ]
    for check in checks:
        ending = "" if check.rejects else ", on_fail: warn"
        lines.append(f"  - {{name: {check.name}, expect: {_quoted(check.expect)}{ending}}}")
    lines += [f"  # {others} more columns were never negative"] if others else []
    share = found.malformed / (found.rows + found.malformed)
    told = (
        f"   # lines with too few or too many fields are kept apart: {found.malformed:,}"
        if found.malformed
        else ""
    )
    return [*lines, f"max_rejected_share: {round(max(0.05, 2 * share), 3)}{told}"]


def _features(plan: Plan) -> list[str]:
    if not plan.features:
        return []
    return ["features:", *(f"  - {_flow(feature)}" for feature in plan.features)]


def _task(plan: Plan) -> list[str]:
    is_class = plan.task == "classification"
    told = f"{plan.label.distinct:,} different values"
    if is_class and plan.label.distinct > 2 and _is_digits(plan):
        told += "; to predict the number itself: regression, a numeric type, and a gate of rmse"
    lines = [
        f"task: {plan.task}   # {told}",
        f"label: {_scalar(plan.label.name)}",
        "inputs:",
    ]
    lines += [
        "  # Is each of them known when a prediction is wanted? What comes to be known with the label is none."
    ]
    for part, names in (("numeric", plan.numeric), ("categorical", plan.categorical)):
        lines += _wrapped(f"  {part}: [", names) if names else []
    if plan.left_out:
        lines.append("  # Left out:")
        lines += [
            f"  # - {_comment(f'{name}: {reason}')}" for name, reason in plan.left_out.items()
        ]
    depth = 3 if plan.fit_rows < SMALL else 5
    params = f"{{n_estimators: 100, max_depth: {depth}, learning_rate: 0.1}}"
    return [*lines, "", "estimator:", "  kind: xgboost", f"  params: {params}"]


def _is_digits(plan: Plan) -> bool:
    return all(re.fullmatch(r"[+-]?[\d.]+", str(value)) for value in plan.label.counts)


def _training(plan: Plan) -> list[str]:
    least = max(2, min(1000, plan.fit_rows // 2))
    if plan.dates is None:
        lines = [
            "  split: hash   # of the key; rows that belong together need 'group'",
            f"  holdout_fraction: {HOLDOUT}",
        ]
    else:
        lines = [
            f"  window_days: {plan.dates.window_days}",
            f"  holdout_days: {plan.dates.holdout_days}   # the last",
        ]
    return [
        "training:",
        *lines,
        "  every_days: 7",
        f"  min_rows: {least}   # half of the {plan.fit_rows:,} there are",
    ]


def _gate(plan: Plan) -> list[str]:
    limit = _scalar(float(f"{plan.limit:.4g}"))
    meaning = (
        "the share of the largest class"
        if plan.task == "classification"
        else "the label's standard deviation"
    )
    return [
        "gate:",
        f"  metric: {plan.metric}",
        f"  limit: {limit}   # {meaning}: what a constant reaches; tighten it once a model is there",
    ]


def _wrapped(start: str, names: Iterable[str]) -> list[str]:
    """A flow list over as many lines as it needs."""
    lines, line = [], start
    for name in (f"{_scalar(name)}, " for name in names):
        if len(line) + len(name) > WIDTH and line.strip():
            lines.append(line.rstrip())
            line = " " * 4
        line += name
    return [*lines, line.removesuffix(", ") + "]"]


def _flow(value: Any) -> str:
    return yaml.safe_dump(
        value, default_flow_style=True, sort_keys=False, allow_unicode=True, width=10**6
    ).strip()


def _scalar(value: Any) -> str:
    """One value as it stands in a flow list."""
    return _flow([value])[1:-1]


def _quoted(text: str) -> str:
    """Text in double quotes."""
    return yaml.safe_dump(text, default_style='"', allow_unicode=True, width=10**6).strip()


def _comment(text: str) -> str:
    """Text that can stand in a comment: on one line, and not endless."""
    line = " ".join("".join(letter if letter.isprintable() else " " for letter in text).split())
    return line if len(line) <= 2 * WIDTH else f"{line[: 2 * WIDTH]}…"
