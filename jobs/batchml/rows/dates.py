"""Conditions on the date of a row."""

import datetime as dt
from collections.abc import Sequence

from pyspark.sql import Column
from pyspark.sql import functions as F


def is_one_of(dates: Sequence[dt.date]) -> Column:
    """Return a condition that is true for rows of ``dates``, which are in order."""
    first, last = dates[0], dates[-1]
    if len(dates) == (last - first).days + 1:
        return F.col("event_date").between(F.lit(first), F.lit(last))
    return F.col("event_date").isin(list(dates))
