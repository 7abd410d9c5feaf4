"""Read which version scored each date, and the level and the error of its drift."""

import datetime as dt
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import get_args

from batchml.clients.delta_tables import (
    READ_ERRORS,
    DateRange,
    DeltaTables,
    Row,
    unreadable_message,
)
from batchml.config.monitoring import Level
from batchml.lake.row_counts import greatest_in
from batchml.report.days import Unreadable
from batchml.report.overview import is_error

LEVELS = get_args(Level)
DRIFT_COLUMNS = ("event_date", "subject", "measure", "value", "model_version", "level")
MOST_DAMAGED = 3
"""After so many dates that cannot be read, no earlier ones are tried: each may take a time-out."""


@dataclass(frozen=True)
class Monitored:
    """Version, worst level and realised error of the dates, which the ledger does not have.

    ``unreadable`` are the tables and dates that could not be read.
    """

    versions: Mapping[dt.date, int] = field(default_factory=dict)
    levels: Mapping[dt.date, str] = field(default_factory=dict)
    errors: Mapping[dt.date, float] = field(default_factory=dict)
    unreadable: Sequence[Unreadable] = ()


def read_monitored(tables: DeltaTables, dates: Sequence[dt.date], monitored_days: int) -> Monitored:
    """Return versions, levels and errors of the dates, as far as they can be read."""
    unreadable: list[Unreadable] = []
    versions = _versions(tables, dates, unreadable)
    levels: dict[dt.date, str] = {}
    errors: dict[dt.date, float] = {}
    # The log of drift has no statistics of levels, so the rows are read.
    for row in _drift(tables, dates[-monitored_days:], unreadable):
        date = row["event_date"]
        worst_before = levels.get(date, "ok")
        levels[date] = max(worst_before, row["level"], key=LEVELS.index)
        if is_error(row) and row["model_version"] == versions.get(date):
            errors[date] = row["value"]
    return Monitored(versions, levels, errors, tuple(unreadable))


def _versions(
    tables: DeltaTables, dates: Sequence[dt.date], unreadable: list[Unreadable]
) -> dict[dt.date, int]:
    """Return the version that scored each date. Add to ``unreadable`` if that fails."""
    try:
        predictions = tables.get("predictions")
        if predictions is None:
            return {}
        return greatest_in(predictions, "model_version", dates) or {}
    except READ_ERRORS as error:
        unreadable.append(Unreadable(unreadable_message("predictions", error)))
        return {}


def _drift(
    tables: DeltaTables, dates: Sequence[dt.date], unreadable: list[Unreadable]
) -> list[Row]:
    """Return the rows of ``drift`` of consecutive dates. Add to ``unreadable`` if that fails."""
    try:
        if tables.get("drift") is None:
            return []
    except READ_ERRORS as error:
        unreadable.append(Unreadable(unreadable_message("drift", error)))
        return []

    try:
        return tables.rows("drift", DateRange(dates[0], dates[-1]), DRIFT_COLUMNS)
    except READ_ERRORS:
        # One damaged file must not hide the other dates.
        return _drift_by_date(tables, dates, unreadable)


def _drift_by_date(
    tables: DeltaTables, dates: Sequence[dt.date], unreadable: list[Unreadable]
) -> list[Row]:
    """Return the rows of the dates that can be read, the newest date first."""
    rows: list[Row] = []
    failures = 0
    for date in reversed(dates):
        try:
            rows += tables.rows("drift", DateRange(date, date), DRIFT_COLUMNS)
        except READ_ERRORS as error:
            message = unreadable_message(f"drift of {date}", error)
            unreadable.append(Unreadable(message, date))
            failures += 1
        if failures == MOST_DAMAGED:
            break
    return rows
