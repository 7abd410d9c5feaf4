"""Features of timestamps. All are of wall-clock time without a zone, so no session time zone can shift them."""

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from batchml.config.features import DayOfWeek, DurationMinutes, HourOfDay


def with_duration_minutes(frame: DataFrame, step: DurationMinutes) -> DataFrame:
    """Adds ``step.to``: minutes, as a double, from ``step.start`` to ``step.end``; negative if they are swapped."""
    seconds = F.timestamp_diff("SECOND", F.col(step.start), F.col(step.end))
    return frame.withColumn(step.to, seconds / 60.0)


def with_hour_of_day(frame: DataFrame, step: HourOfDay) -> DataFrame:
    """Adds ``step.to``: hour 0 to 23 of ``step.of``."""
    return frame.withColumn(step.to, F.hour(step.of))


def with_day_of_week(frame: DataFrame, step: DayOfWeek) -> DataFrame:
    """Adds ``step.to``: weekday of ``step.of``, 0 (Monday) to 6 (Sunday)."""
    return frame.withColumn(step.to, F.weekday(step.of))
