"""Count the rows of a table without Spark, from the statistics of each file in Delta's log."""

import datetime as dt
from collections import Counter
from collections.abc import Collection
from typing import Any

from deltalake import DeltaTable
from deltalake.exceptions import DeltaError

from batchml.clients.delta_tables import READ_ERRORS, Row, read_log, read_rows
from batchml.errors import Unavailable, first_line


def rows_by_date(path: str, version: int, dates: Collection[dt.date]) -> dict[dt.date, int] | None:
    """Return the rows per date of one version of the table at ``path``; no entry without rows.

    Return None if the log is not enough: the table has a feature that delta-rs does not know, or a
    file has no statistics. Spark then counts, or raises the error.
    """
    counts: Counter[dt.date] = Counter()
    dates = set(dates)
    try:
        table = DeltaTable(path, version=version)
        if _has_deletion_vectors(table):
            return None  # some rows of a file may be deleted
        files = read_log(table)
    except (DeltaError, OSError):
        return None
    if not files.num_rows:
        return {}

    dates_of_files = files.column("partition.event_date").to_pylist()
    rows_of_files = files.column("num_records").to_pylist()
    for date, rows in zip(dates_of_files, rows_of_files, strict=True):
        if date not in dates:
            continue
        if rows is None:
            return None
        counts[date] += rows
    return dict(+counts)  # without dates of zero rows


def table_exists(path: str) -> bool:
    """Return True if there is a table at ``path``. Raise Unavailable if that cannot be checked."""
    try:
        return bool(DeltaTable.is_deltatable(path))
    except (DeltaError, OSError) as error:
        message = first_line(error)
        raise Unavailable(f"{path} cannot be read without Spark", message) from error


def all_rows_by_date(path: str) -> dict[dt.date, int | None]:
    """Return the rows of each date that the table at ``path`` has rows of; none without a table.

    The number is None where the log has no exact one. Raise Unavailable if it cannot be read.
    """
    if not table_exists(path):
        return {}
    try:
        table = DeltaTable(path)
        files = read_log(table).to_pylist()
    except (DeltaError, OSError) as error:
        message = first_line(error)
        raise Unavailable(f"{path} cannot be read without Spark", message) from error

    is_exact = not _has_deletion_vectors(table)
    counts: dict[dt.date, int | None] = {}
    for file in files:
        date = file["partition.event_date"]
        rows = file["num_records"]
        if rows == 0 or date is None:
            continue
        known = counts.get(date, 0)
        if is_exact and rows is not None and known is not None:
            counts[date] = known + rows
        else:
            counts[date] = None
    return counts


def greatest_by_date(
    path: str, column: str, dates: Collection[dt.date]
) -> dict[dt.date, Any] | None:
    """Return the greatest value of ``column`` per date; no entry for a date without rows.

    Return None if the log is not enough, as ``rows_by_date`` does.
    """
    try:
        return greatest_in(DeltaTable(path), column, dates)
    except (DeltaError, OSError):
        return None


def greatest_in(
    table: DeltaTable, column: str, dates: Collection[dt.date]
) -> dict[dt.date, Any] | None:
    """Return the greatest value of ``column`` per date as ``greatest_by_date`` does."""
    if _has_deletion_vectors(table):
        return None
    greatest: dict[dt.date, Any] = {}
    dates = set(dates)
    files = read_log(table)
    read = {"partition.event_date", "num_records", f"max.{column}"}
    known = [name for name in files.column_names if name in read]
    for file in files.select(known).to_pylist():
        date = file["partition.event_date"]
        value = file.get(f"max.{column}")
        if date not in dates or file["num_records"] == 0:
            continue
        if value is None:
            return None
        greatest[date] = max(value, greatest.get(date, value))
    return greatest


def small_table(path: str) -> list[Row] | None:
    """Return the rows of a small table at ``path``, or None if delta-rs cannot read it."""
    try:
        return read_rows(DeltaTable(path))
    except READ_ERRORS:
        return None


def _has_deletion_vectors(table: DeltaTable) -> bool:
    features = table.protocol().reader_features or ()
    return "deletionVectors" in features
