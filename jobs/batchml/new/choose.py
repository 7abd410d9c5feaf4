"""What the pipeline is to be: task, dates, key, inputs and gate, each chosen by what the file holds."""

import datetime as dt
import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from batchml.config.learning import Metric, Task
from batchml.config.messages import did_you_mean
from batchml.errors import BadConfig, BadData
from batchml.new.columns import Column
from batchml.new.leaks import MOST_CLASSES, leaks
from batchml.new.read import Delivered

MOST_CATEGORIES = 50
FEW_NUMBERS = 20  # a label of so many whole numbers, on many rows each, is taken for classes
ROWS_PER_CLASS = 5
MOSTLY_EMPTY = 0.95
HOLDOUT = 0.3
LEAST_DAYS = 10
LEAST_TO_FIT, LEAST_TO_JUDGE = 20, 10
HOLDOUT_DAYS = 0.2  # of the days there are
STRAY = 0.001  # of the rows, on either side, may have a date that is far off the others
MOST_DAYS = 366  # of the first range: a date is a folder of every table
ID = re.compile(r"(^|_)(id|ids|uuid|guid|key|index|idx|nr|no|num|number|instant|row|rownum|rowid)$")
NO_EVENT = re.compile(
    r"birth|dob|expir|due|until|deadline|updated|modified|(^|_)(end|ended|to|until)($|_)"
)
EVENT = re.compile(
    r"date|time|day|datum|zeit|when|start|begin|creat|occur|pickup|(^|_)(dt|ts|at|on)($|_)"
)


@dataclass(frozen=True)
class Dates:
    """The range that is trained on first, the day after which has rows to score, and how its days are split.

    ``before`` and ``after`` count the rows outside of the range and that day.
    """

    first: dt.date
    end: dt.date
    window_days: int
    holdout_days: int
    before: int
    after: int


@dataclass(frozen=True)
class Plan:
    """``left_out`` says of each column that is no input why."""

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


def choose(found: Delivered, label_name: str, shown: str) -> Plan:
    """The plan for predicting the column ``label_name``, which may be named as in the file.

    Raises BadConfig for a label that is not there or cannot be one, BadData where nothing is left to learn from.
    """
    label, task = _label(found, label_name, shown)
    columns = tuple(label if column.name == label.name else column for column in found.columns)
    event_time, dates, fit_rows = _event_time(columns, label)
    left_out = _left_out(columns, label, is_class=task == "classification")
    inputs = [column for column in columns if column.name not in {label.name, *left_out}]
    features = _calendar(inputs, {column.name.casefold() for column in columns})
    numeric = (*(c.name for c in inputs if c.is_number), *(feature["to"] for feature in features))
    categorical = tuple(column.name for column in inputs if column.type == "string")
    if not numeric and not categorical:
        raise BadData(f"{shown}: no column is left to learn {label.name} from", *_told(left_out))
    counts = label.counts
    is_class = task == "classification"
    return Plan(
        label=label,
        task=task,
        metric="accuracy" if is_class else "rmse",
        limit=next(iter(counts.values())) / sum(counts.values())
        if is_class
        else float(np.nanstd(label.numbers)),
        event_time=event_time,
        dates=dates,
        key=next(
            (column.name for column in columns if column.name != label.name and _is_key(column)),
            None,
        ),
        features=tuple(features),
        numeric=numeric,
        categorical=categorical,
        left_out=left_out,
        fit_rows=fit_rows,
        columns=columns,
    )


def _label(found: Delivered, name: str, shown: str) -> tuple[Column, Task]:
    by_name = {column.given: column for column in found.columns} | {
        column.name: column for column in found.columns
    }
    if (label := by_name.get(name)) is None:
        known = [column.given for column in found.columns]
        without = found.form is not None and found.form.header is None
        note = ("the file has no header, so its columns are numbered",) if without else ()
        raise BadConfig(
            f"--label {name!r} is no column of {shown}", *did_you_mean(name, known), *note
        )
    if label.is_dated:
        raise BadConfig(f"--label {name!r} is a {label.type}: numbers and classes can be predicted")
    if label.distinct < 2:
        raise BadData(
            f"{shown}: the label {name!r} has {label.distinct} values: there is nothing to tell apart"
        )
    is_few = label.distinct <= FEW_NUMBERS and label.distinct * ROWS_PER_CLASS <= label.rows
    if label.is_number and not (is_few and label.is_whole):
        return label, "regression"
    if label.distinct > min(MOST_CLASSES, label.rows // 2):
        examples = ", ".join(repr(value) for value in list(label.counts)[:3])
        raise BadConfig(
            f"--label {name!r} has {label.distinct:,} different texts in {label.rows:,} rows, as {examples}",
            f"classes are at most {MOST_CLASSES}, and most of them have several rows",
            *label.notes,
            remedy="a number to predict must be one for Spark, with a decimal point and no unit",
        )
    return (label.as_text() if label.type == "double" else label), "classification"


def _event_time(
    columns: Sequence[Column], label: Column
) -> tuple[Column | None, Dates | None, int]:
    """The column that dates a row, if one clearly does and there are days enough, and the rows to fit on."""
    by_hash = int(label.rows * (1 - HOLDOUT))
    dated = [
        c for c in columns if c.is_dated and not c.missing and not NO_EVENT.search(_snake(c.name))
    ]
    telling = (
        dated
        if len(dated) == 1
        else [column for column in dated if EVENT.search(_snake(column.name))]
    )
    if not telling:
        return None, None, by_hash
    days = np.sort(telling[0].values.to_numpy(zero_copy_only=False).astype("datetime64[D]"))
    stray = int(STRAY * len(days))
    low, high = days[stray], days[-1 - stray]
    margin = max((high - low) // 10, np.timedelta64(1, "D"))
    between = days[(days >= low - margin) & (days <= high + margin)]
    end = between[-1] - np.timedelta64(1, "D")
    first = max(between[0], end - np.timedelta64(MOST_DAYS - 1, "D"))
    span = int((end - first).astype(int)) + 1
    holdout = max(1, round(span * HOLDOUT_DAYS))
    boundary = end - np.timedelta64(holdout - 1, "D")
    fit, judged = (
        int(np.sum((days >= first) & (days < boundary))),
        int(np.sum((days >= boundary) & (days <= end))),
    )
    if len(np.unique(between)) < LEAST_DAYS or fit < LEAST_TO_FIT or judged < LEAST_TO_JUDGE:
        return None, None, by_hash
    before, after = int(np.sum(days < first)), int(np.sum(days > end + np.timedelta64(1, "D")))
    return telling[0], Dates(first.item(), end.item(), span - holdout, holdout, before, after), fit


def _left_out(columns: Sequence[Column], label: Column, *, is_class: bool) -> dict[str, str]:
    giving_away = leaks([c for c in columns if c.distinct > 1], label, is_class=is_class)
    reasons = {
        c.name: _useless(c) or giving_away.get(c.name, "") for c in columns if c.name != label.name
    }
    return {name: reason for name, reason in reasons.items() if reason}


def _useless(column: Column) -> str:
    """Why a model can learn nothing from the column; empty if it may."""
    if not column.distinct:
        return "it has no value"
    if column.distinct == 1 and not column.missing:
        return f"it is always {next(iter(column.counts))}"
    if column.missing > MOSTLY_EMPTY * column.rows:
        return f"{column.missing / column.rows:.0%} of it is empty"
    if _is_id(column):
        return "it numbers or names the rows: every value is another one"
    if column.type == "string" and column.distinct > min(MOST_CATEGORIES, column.rows // 2):
        return f"{column.distinct:,} different texts: too many for categories"
    return ""


def _is_id(column: Column) -> bool:
    if not column.is_unique or column.type == "double" or column.is_dated:
        return False
    if column.type == "string":
        return True
    low, high = column.range
    return ID.search(_snake(column.name)) is not None or high - low + 1 == column.rows


def _is_key(column: Column) -> bool:
    texts = column.values.to_pylist() if column.type == "string" else []
    return _is_id(column) and all(re.fullmatch(r"[\w.:/-]{1,64}", text) for text in texts)


def _calendar(inputs: Sequence[Column], taken: set[str]) -> list[dict[str, str]]:
    """Hour and weekday of dates and times, as far as they vary."""
    features = []
    for column in (column for column in inputs if column.is_dated):
        moments = [moment for moment in column.values.unique().to_pylist() if moment is not None]
        kinds = {
            "hour_of_day": {moment.hour for moment in moments},
            "day_of_week": {m.weekday() for m in moments},
        }
        for kind, suffix in (("hour_of_day", "hour"), ("day_of_week", "weekday")):
            to = f"{column.name}_{suffix}"
            if len(kinds[kind]) > 1 and to.casefold() not in taken:
                features.append({"kind": kind, "of": column.name, "to": to})
    return features


def _snake(name: str) -> str:
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name).lower()


def _told(left_out: dict[str, str]) -> list[str]:
    return [f"{name}: {reason}" for name, reason in left_out.items()]
