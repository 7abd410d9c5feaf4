"""Conditions on the date of a row."""

import datetime as dt
from collections.abc import Sequence

from pyspark.sql import Column
from pyspark.sql import functions as F


def is_one_of(dates: Sequence[dt.date]) -> Column:
    """Return a condition that is true for rows of ``dates``, which are in order."""
    first = dates[0]
    last = dates[-1]
    days = (last - first).days + 1
    date = F.col("event_date")
    if len(dates) == days:
        return date.between(F.lit(first), F.lit(last))
    return date.isin(list(dates))
