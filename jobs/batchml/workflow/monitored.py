"""Read which version scored each date, and the level and the error of its drift."""

import datetime as dt
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import get_args

from batchml.clients.delta_tables import READ_ERRORS, DateRange, DeltaTables, Row
from batchml.config.monitoring import Level
from batchml.lake.row_counts import greatest_in
from batchml.report.overview import is_error

LEVELS = get_args(Level)
DRIFT_COLUMNS = ("event_date", "subject", "measure", "value", "model_version", "level")


@dataclass(frozen=True)
class Monitored:
    """Version, worst level and realised error of the dates, which the ledger does not have."""

    versions: Mapping[dt.date, int] = field(default_factory=dict)
    levels: Mapping[dt.date, str] = field(default_factory=dict)
    errors: Mapping[dt.date, float] = field(default_factory=dict)


def read_monitored(tables: DeltaTables, dates: Sequence[dt.date], monitored_days: int) -> Monitored:
    """Return versions, levels and errors of the dates; none where they cannot be read quickly."""
    versions = _versions(tables, dates)
    levels: dict[dt.date, str] = {}
    errors: dict[dt.date, float] = {}
    # The log of drift has no statistics of levels, so the rows are read.
    for row in _drift(tables, dates[-monitored_days:]):
        date = row["event_date"]
        worst_before = levels.get(date, "ok")
        levels[date] = max(worst_before, row["level"], key=LEVELS.index)
        if is_error(row) and row["model_version"] == versions.get(date):
            errors[date] = row["value"]
    return Monitored(versions, levels, errors)


def _versions(tables: DeltaTables, dates: Sequence[dt.date]) -> dict[dt.date, int]:
    """Return the version that scored each date."""
    try:
        predictions = tables.get("predictions")
        if predictions is None:
            return {}
        return greatest_in(predictions, "model_version", dates) or {}
    except READ_ERRORS:
        return {}


def _drift(tables: DeltaTables, dates: Sequence[dt.date]) -> list[Row]:
    """Return the rows of ``drift`` of consecutive dates."""
    try:
        return tables.rows("drift", DateRange(dates[0], dates[-1]), DRIFT_COLUMNS)
    except READ_ERRORS:
        return []
