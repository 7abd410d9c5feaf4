"""Features of timestamps. All are of wall-clock time without a zone, so no session time zone can shift them."""

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from batchml.config.features import DayOfWeek, DurationMinutes, HourOfDay, Lag


def with_duration_minutes(frame: DataFrame, step: DurationMinutes) -> DataFrame:
    """Adds ``step.to``: minutes, as a double, from ``step.start`` to ``step.end``; negative if they are swapped."""
    seconds = F.timestamp_diff("SECOND", F.col(step.start), F.col(step.end))
    return frame.withColumn(step.to, seconds / 60.0)


def with_hour_of_day(frame: DataFrame, step: HourOfDay) -> DataFrame:
    """Adds ``step.to``: hour 0 to 23 of ``step.of``."""
    return frame.withColumn(step.to, F.hour(step.of))


def with_lag(frame: DataFrame, step: Lag) -> DataFrame:
    """Adds ``step.to``: what ``step.of`` was ``step.days`` days before; ``frame`` holds the rows of those days too."""
    date = F.date_add("event_date", step.days).alias("event_date")
    before = frame.groupBy(date, *step.by).agg(F.avg(step.of).alias(step.to))
    return frame.join(before, on=["event_date", *step.by], how="left")


def with_day_of_week(frame: DataFrame, step: DayOfWeek) -> DataFrame:
    """Adds ``step.to``: weekday of ``step.of``, 0 (Monday) to 6 (Sunday)."""
    return frame.withColumn(step.to, F.weekday(step.of))
