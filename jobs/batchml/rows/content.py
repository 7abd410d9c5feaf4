"""Compare the content of dates without regard to the order of their rows."""

import datetime as dt
from collections.abc import Sequence
from decimal import Decimal

from pyspark.sql import DataFrame
from pyspark.sql import functions as F


def content_by_date(rows: DataFrame, names: Sequence[str]) -> dict[dt.date, tuple[int, Decimal]]:
    """Return the rows of each date, and the sum of their hashes over the columns ``names``.

    The sum does not depend on the order of rows, and counts a row as often as it occurs (xxHash64).
    """
    # xxHash64 skips nulls: without these two columns with a value in turn would be equal.
    values = [F.col(name) for name in names]
    values += [F.isnull(name) for name in names]
    hashed = F.xxhash64(*values).cast("decimal(20,0)")
    by_date = rows.groupBy("event_date")
    summed = by_date.agg(
        F.count("*").alias("rows"),
        F.sum(hashed).alias("sum"),
    )
    content = {}
    for row in summed.collect():
        date = row["event_date"]
        content[date] = (row["rows"], row["sum"])
    return content
