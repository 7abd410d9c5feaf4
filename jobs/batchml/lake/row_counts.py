"""Rows of a table, counted without Spark: from the footers of its files, as Spark itself counts them."""

import datetime as dt
from collections import Counter
from collections.abc import Collection
from typing import Any

import pyarrow.compute as pc
import pyarrow.dataset as ds
from deltalake import DeltaTable
from deltalake.exceptions import DeltaError


def rows_by_date(path: str, version: int, dates: Collection[dt.date]) -> dict[dt.date, int] | None:
    """Return the rows per date of one version of the table at ``path``; no entry without rows.

    Return None if delta-rs cannot count: the table has a feature it does not know, or a file is
    missing. Spark then counts, or raises the error.
    """
    found: Counter[dt.date] = Counter()
    try:
        dataset = DeltaTable(path, version=version).to_pyarrow_dataset()
        for file in dataset.get_fragments(pc.field("event_date").isin(list(dates))):
            found[ds.get_partition_keys(file.partition_expression)["event_date"]] += (
                file.count_rows()
            )
    except (DeltaError, OSError):
        return None
    return dict(+found)  # a file without rows is no entry


def small_table(path: str) -> list[dict[str, Any]] | None:
    """Return the rows of the table at ``path``, which are few. None where delta-rs cannot read it."""
    try:
        rows: list[dict[str, Any]] = DeltaTable(path).to_pyarrow_table().to_pylist()
    except (DeltaError, OSError):
        return None
    return rows
