"""Add features of timestamps.

All are of wall-clock time without a zone, so no session time zone can shift them.
"""

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from batchml.config.features import DayOfWeek, DurationMinutes, HourOfDay, Lag


def with_duration_minutes(frame: DataFrame, step: DurationMinutes) -> DataFrame:
    """Add ``step.to``: minutes, as a double, from ``step.start`` to ``step.end``.

    The duration is negative if the two are swapped.
    """
    start = F.col(step.start)
    end = F.col(step.end)
    seconds = F.timestamp_diff("SECOND", start, end)
    return frame.withColumn(step.to, seconds / 60.0)


def with_hour_of_day(frame: DataFrame, step: HourOfDay) -> DataFrame:
    """Add ``step.to``: hour 0 to 23 of ``step.of``."""
    hour = F.hour(step.of)
    return frame.withColumn(step.to, hour)


def with_lag(frame: DataFrame, step: Lag) -> DataFrame:
    """Add ``step.to``: the mean of ``step.of`` on the day ``step.days`` days before.

    ``frame`` contains the rows of those days too.
    """
    date = F.date_add("event_date", step.days)
    mean = F.avg(step.of)
    earlier = frame.groupBy(date.alias("event_date"), *step.by)
    before = earlier.agg(mean.alias(step.to))
    keys = ["event_date"]
    keys.extend(step.by)
    return frame.join(before, on=keys, how="left")


def with_day_of_week(frame: DataFrame, step: DayOfWeek) -> DataFrame:
    """Add ``step.to``: weekday of ``step.of``, 0 (Monday) to 6 (Sunday)."""
    weekday = F.weekday(step.of)
    return frame.withColumn(step.to, weekday)
