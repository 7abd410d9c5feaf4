"""Choose task, dates, key, inputs and gate of a pipeline from the columns of a file."""

import datetime as dt
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from batchml.config.learning import Metric, Task
from batchml.config.messages import did_you_mean
from batchml.errors import BadConfig, BadData
from batchml.new.column import Column
from batchml.new.csv_text import snake_case
from batchml.new.left_out import MAX_CLASSES, find_left_out, is_id
from batchml.new.profile import Profile

FEW_NUMBERS = 20  # a label of so many whole numbers, on many rows each, is taken for classes
ROWS_PER_CLASS = 5
HOLDOUT = 0.3
MIN_DAYS = 10
MIN_FIT_ROWS = 20
MIN_HOLDOUT_ROWS = 10
HOLDOUT_DAYS = 0.2  # of all days
OUTLIERS = 0.001  # share of rows, on either side, that may have a date far from the others
MAX_DAYS = 366  # of the first range: a date is a folder of every table
DAY = np.timedelta64(1, "D")
NOT_EVENT = re.compile(
    r"birth|dob|expir|due|until|deadline|updated|modified|(^|_)(end|ended|to|until)($|_)"
)
EVENT = re.compile(
    r"date|time|day|datum|zeit|when|start|begin|creat|occur|pickup|(^|_)(dt|ts|at|on)($|_)"
)
KEY_TEXT = re.compile(r"[\w.:/-]{1,64}")


@dataclass(frozen=True)
class Dates:
    """The range of the first training, and how its days are split.

    The day after ``end`` has rows to score. ``before`` and ``after`` count the rows outside of the
    range and that day. ``fit_rows`` are those before the holdout.
    """

    first: dt.date
    end: dt.date
    window_days: int
    holdout_days: int
    before: int
    after: int
    fit_rows: int


@dataclass(frozen=True)
class Plan:
    """The parts of the pipeline. ``left_out`` has the reason for each left-out column."""

    label: Column
    task: Task
    metric: Metric
    limit: float
    event_time: Column | None
    dates: Dates | None
    key: str | None
    features: tuple[dict[str, str], ...]
    numeric: tuple[str, ...]
    categorical: tuple[str, ...]
    left_out: dict[str, str]
    fit_rows: int
    columns: tuple[Column, ...]


def make_plan(profile: Profile, label_name: str, shown: str) -> Plan:
    """Return the plan for predicting ``label_name``, which may be the column's name in the file.

    Raise BadConfig for a label that is missing or unsuitable, BadData if no input is left.
    """
    label, task = _label(profile, label_name, shown)
    by_name = {column.name: column for column in profile.columns} | {label.name: label}
    columns = tuple(by_name.values())
    event_time, dates = _find_event_time(columns)
    left_out = find_left_out(columns, label, is_class=task == "classification")
    excluded = {label.name} | left_out.keys()
    inputs = [column for column in columns if column.name not in excluded]
    features = _calendar(inputs, columns)
    numeric = [column.name for column in inputs if column.is_number]
    numeric += [feature["to"] for feature in features]
    categorical = [column.name for column in inputs if column.type == "string"]
    if not numeric and not categorical:
        reasons = [f"{name}: {reason}" for name, reason in left_out.items()]
        raise BadData(f"{shown}: no column is left to learn {label.name} from", *reasons)

    metric, limit = _gate(label, task)
    fit_rows = int(label.rows * (1 - HOLDOUT))
    if dates is not None:
        fit_rows = dates.fit_rows
    return Plan(
        label=label,
        task=task,
        metric=metric,
        limit=limit,
        event_time=event_time,
        dates=dates,
        key=_find_key(columns, label),
        features=tuple(features),
        numeric=tuple(numeric),
        categorical=tuple(categorical),
        left_out=left_out,
        fit_rows=fit_rows,
        columns=columns,
    )


def _label(profile: Profile, name: str, shown: str) -> tuple[Column, Task]:
    label = _find_column(profile, name, shown)
    if label.is_dated:
        raise BadConfig(f"--label {name!r} is a {label.type}: numbers and classes can be predicted")
    if label.distinct < 2:
        raise BadData(
            f"{shown}: the label {name!r} has {label.distinct} values: nothing to distinguish"
        )
    is_few = label.distinct <= FEW_NUMBERS and label.distinct * ROWS_PER_CLASS <= label.rows
    if label.is_number and not (is_few and label.is_whole):
        return label, "regression"
    if label.distinct > min(MAX_CLASSES, label.rows // 2):
        raise _too_many_classes(label, name)
    if label.type == "double":
        return label.as_text(), "classification"
    return label, "classification"


def _too_many_classes(label: Column, name: str) -> BadConfig:
    examples = [repr(value) for value in label.counts]
    return BadConfig(
        f"--label {name!r} has {label.distinct:,} different texts in {label.rows:,} rows, "
        f"such as {', '.join(examples[:3])}",
        f"there can be {MAX_CLASSES} classes, most of them with several rows",
        *label.notes,
        remedy="write numbers with a decimal point and without a unit",
    )


def _find_column(profile: Profile, name: str, shown: str) -> Column:
    by_name = {column.given: column for column in profile.columns}
    by_name |= {column.name: column for column in profile.columns}
    if name in by_name:
        return by_name[name]
    known = [column.given for column in profile.columns]
    notes = list(did_you_mean(name, known))
    if profile.text is not None and not profile.text.has_header:
        notes.append("the file has no header, so its columns are numbered")
    raise BadConfig(f"--label {name!r} is not a column of {shown}", *notes)


def _gate(label: Column, task: Task) -> tuple[Metric, float]:
    """Return the metric, and what a constant prediction reaches."""
    if task == "regression":
        return "rmse", float(np.nanstd(label.numbers))
    counts = list(label.counts.values())
    return "accuracy", counts[0] / sum(counts)


def _find_event_time(columns: Sequence[Column]) -> tuple[Column | None, Dates | None]:
    """Return the column that dates a row, if one clearly does, and the range of its days."""
    candidates = []
    for column in columns:
        is_complete_date = column.is_dated and not column.missing
        if is_complete_date and not NOT_EVENT.search(snake_case(column.name)):
            candidates.append(column)
    if len(candidates) > 1:
        candidates = [column for column in candidates if EVENT.search(snake_case(column.name))]
    if not candidates:
        return None, None
    dates = _split_days(candidates[0])
    if dates is None:
        return None, None
    return candidates[0], dates


def _split_days(column: Column) -> Dates | None:
    """Return the range of the first training, or None if it has too few days or rows."""
    days = np.sort(column.values.to_numpy(zero_copy_only=False).astype("datetime64[D]"))
    between = _without_outliers(days)
    end = between[-1] - DAY
    first = max(between[0], end - (MAX_DAYS - 1) * DAY)
    span = int((end - first) // DAY) + 1
    holdout = max(1, round(span * HOLDOUT_DAYS))
    boundary = end - (holdout - 1) * DAY
    fit_rows = _count_between(days, first, boundary - DAY)
    holdout_rows = _count_between(days, boundary, end)
    if len(np.unique(between)) < MIN_DAYS:
        return None
    if fit_rows < MIN_FIT_ROWS or holdout_rows < MIN_HOLDOUT_ROWS:
        return None

    return Dates(
        first=first.item(),
        end=end.item(),
        window_days=span - holdout,
        holdout_days=holdout,
        before=int(np.sum(days < first)),
        after=int(np.sum(days > end + DAY)),
        fit_rows=fit_rows,
    )


def _without_outliers(days: Any) -> Any:
    outliers = int(OUTLIERS * len(days))
    low = days[outliers]
    high = days[-1 - outliers]
    margin = max((high - low) // 10, DAY)
    is_near = (days >= low - margin) & (days <= high + margin)
    return days[is_near]


def _count_between(days: Any, first: Any, last: Any) -> int:
    return int(np.sum((days >= first) & (days <= last)))


def _find_key(columns: Sequence[Column], label: Column) -> str | None:
    for column in columns:
        if column.name != label.name and _is_key(column):
            return column.name
    return None


def _is_key(column: Column) -> bool:
    if not is_id(column):
        return False
    if column.type != "string":
        return True
    return all(KEY_TEXT.fullmatch(text) for text in column.values.to_pylist())


def _calendar(inputs: Sequence[Column], columns: Sequence[Column]) -> list[dict[str, str]]:
    """Return the features hour and weekday of dates and times, if they vary."""
    features = []
    for column in inputs:
        if not column.is_dated:
            continue
        moments = column.values.unique().drop_null().to_pylist()
        hours = {moment.hour for moment in moments}
        weekdays = {moment.weekday() for moment in moments}
        if len(hours) > 1:
            features.append(_feature("hour_of_day", column.name, "hour"))
        if len(weekdays) > 1:
            features.append(_feature("day_of_week", column.name, "weekday"))
    taken = {column.name.casefold() for column in columns}
    return [feature for feature in features if feature["to"].casefold() not in taken]


def _feature(kind: str, column: str, suffix: str) -> dict[str, str]:
    return {"kind": kind, "of": column, "to": f"{column}_{suffix}"}
