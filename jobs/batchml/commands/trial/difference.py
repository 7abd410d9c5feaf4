"""Compare the tables of a trial with those of production, on the same dates."""

import datetime as dt
import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass

from batchml.config.columns import LINEAGE
from batchml.lake.table_version import (
    ColumnSummary,
    PredictionsDifference,
    TableVersion,
)

COUNTED = ("bronze", "silver", "quarantine", "features")
SUMMARIZED = ("silver", "features")
ROUNDING = 1e-6
Tables = Mapping[str, TableVersion]
"""The versions to read, by table. A table that does not exist is left out."""


@dataclass(frozen=True)
class Counts:
    """A number of rows in production and in the trial."""

    before: int
    after: int


@dataclass(frozen=True)
class ColumnDifference:
    """A column that differs. ``before`` or ``after`` is None where the table does not have it."""

    table: str
    name: str
    before: ColumnSummary | None
    after: ColumnSummary | None


@dataclass(frozen=True)
class Difference:
    """The difference of a trial to production.

    ``rows`` are by table and date, ``reasons`` and ``warnings`` are rows by check. ``columns`` are
    those that differ, and ``equal_columns`` counts the others by table.
    """

    rows: Mapping[str, Mapping[dt.date, Counts]]
    reasons: Mapping[str, Counts]
    warnings: Mapping[str, Counts]
    columns: tuple[ColumnDifference, ...]
    equal_columns: Mapping[str, int]
    predictions: PredictionsDifference | None = None


def compare_tables(
    before: Tables,
    after: Tables,
    dates: Collection[dt.date],
    key: Collection[str],
) -> Difference:
    """Return how the tables differ on ``dates``, without their predictions.

    ``key`` are the columns that name a row.
    """
    rows = {}
    for table in COUNTED:
        if table in before or table in after:
            rows[table] = _rows(before.get(table), after.get(table), dates)

    columns: list[ColumnDifference] = []
    equal_columns = {}
    for table in SUMMARIZED:
        if table in before and table in after:
            present = before[table].summaries(dates)
            tried = after[table].summaries(dates)
            differing = differing_columns(table, present, tried, key)
            columns += differing
            equal_columns[table] = len(present.keys() | tried.keys()) - len(differing)
    return Difference(
        rows=rows,
        reasons=_names(before, after, ("quarantine", "reasons"), dates),
        warnings=_names(before, after, ("bronze", "warnings"), dates),
        columns=tuple(columns),
        equal_columns=equal_columns,
    )


def differing_columns(
    table: str,
    before: Mapping[str, ColumnSummary],
    after: Mapping[str, ColumnSummary],
    key: Collection[str] = (),
) -> list[ColumnDifference]:
    """Return the columns that differ, or which only one table has.

    With as many rows, a column differs if any value does. If rows were lost or gained, its share of
    nulls, mean or distinct values must differ, and columns that only name a row do not count.
    """
    differing = []
    for name in dict.fromkeys([*before, *after]):
        present, tried = before.get(name), after.get(name)
        if present is None or tried is None:
            differing.append(ColumnDifference(table, name, present, tried))
            continue
        if present.rows == tried.rows:
            is_same = _has_same_values(present, tried)
        else:
            is_same = name in key or name in LINEAGE or _has_same_figures(present, tried)
        if not is_same:
            differing.append(ColumnDifference(table, name, present, tried))
    return differing


def _has_same_values(before: ColumnSummary, after: ColumnSummary) -> bool:
    """Return True if type and values are the same.

    The mean is left out, since it depends on the order of the rows in its last digits.
    """
    is_same_type = before.type == after.type
    return is_same_type and (before.nulls, before.content) == (after.nulls, after.content)


def _has_same_figures(before: ColumnSummary, after: ColumnSummary) -> bool:
    """Return True if type, share of nulls, mean and distinct values are the same."""
    is_same_kind = (before.type, before.distinct) == (after.type, after.distinct)
    is_same_share = math.isclose(before.null_share, after.null_share, abs_tol=ROUNDING)
    if before.mean is None or after.mean is None:
        is_same_mean = before.mean == after.mean
    else:
        is_same_mean = math.isclose(before.mean, after.mean, rel_tol=ROUNDING)
    return is_same_kind and is_same_share and is_same_mean


def _rows(
    before: TableVersion | None,
    after: TableVersion | None,
    dates: Collection[dt.date],
) -> dict[dt.date, Counts]:
    present, tried = _rows_by_date(before, dates), _rows_by_date(after, dates)
    return {date: Counts(present.get(date, 0), tried.get(date, 0)) for date in dates}


def _rows_by_date(
    table: TableVersion | None,
    dates: Collection[dt.date],
) -> dict[dt.date, int]:
    if table is None:
        return {}
    return table.rows_by_date(dates)


def _names(
    before: Tables,
    after: Tables,
    place: tuple[str, str],
    dates: Collection[dt.date],
) -> dict[str, Counts]:
    """Return the rows by each name in a list column; ``place`` is its table and its name."""
    table, column = place
    present: dict[str, int] = {}
    tried: dict[str, int] = {}
    if table in before:
        present = before[table].count_names(column, dates)
    if table in after:
        tried = after[table].count_names(column, dates)
    names = sorted(present.keys() | tried.keys())
    return {name: Counts(present.get(name, 0), tried.get(name, 0)) for name in names}
