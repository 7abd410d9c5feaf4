"""The rows a model is fitted on and those it is evaluated on: never the same ones."""

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from batchml.config import Training

BUCKETS = 10_000


@dataclass(frozen=True)
class DateRange:
    """Event dates, both inclusive."""

    start: dt.date
    end: dt.date

    def __str__(self) -> str:
        return f"{self.start}..{self.end}"

    def holds(self) -> Column:
        """Return a condition that is true for rows of these dates."""
        return F.col("event_date").between(F.lit(self.start), F.lit(self.end))


@dataclass(frozen=True)
class Windows:
    """The dates that are fitted on and those that are evaluated on; equal for a hash split."""

    fit: DateRange
    holdout: DateRange


def windows(end: dt.date, training: Training) -> Windows:
    """Return the two date ranges for a model trained as of ``end``."""
    if training.split == "hash":
        return Windows(DateRange(end, end), DateRange(end, end))
    first_holdout = end - dt.timedelta(days=training.holdout_days - 1)
    last_fit = first_holdout - dt.timedelta(days=1)
    first_fit = last_fit - dt.timedelta(days=training.window_days - 1)
    return Windows(DateRange(first_fit, last_fit), DateRange(first_holdout, end))


def rows_to_fit(rows: int, training: Training) -> int:
    """Return how many of ``rows``, those of the dates to fit on, are not of the holdout."""
    if training.split == "time":
        return rows
    return round(rows * (1 - training.holdout_fraction))


def split(
    frame: DataFrame,
    end: dt.date,
    training: Training,
    columns: Sequence[str],
) -> tuple[DataFrame, DataFrame]:
    """Return the rows to fit on and the holdout.

    ``columns`` are the inputs and the label. A hash split goes by them: rows with equal values in
    all of them are on the same side.
    """
    parts = windows(end, training)
    fit, holdout = frame.where(parts.fit.holds()), frame.where(parts.holdout.holds())
    if training.split == "time":
        return fit, holdout
    is_holdout = _share(columns, training.seed) < training.holdout_fraction
    return fit.where(~is_holdout), holdout.where(is_holdout)


def split_for_tuning(
    fit: DataFrame,
    end: dt.date,
    training: Training,
    columns: Sequence[str],
) -> tuple[DataFrame, DataFrame]:
    """Return the rows to try parameters on, and the validation slice to choose them by.

    Both are of the rows to fit on. For a time split the slice is their last ``validation_days``.
    """
    if training.split == "hash":
        # Take another seed: by the same one all these rows are above the threshold.
        is_validation = _share(columns, training.seed + 1) < training.validation_fraction
    else:
        last_fit = windows(end, training).fit.end
        last_attempt = last_fit - dt.timedelta(days=training.validation_days)
        is_validation = F.col("event_date") > F.lit(last_attempt)
    return fit.where(~is_validation), fit.where(is_validation)


def _share(columns: Sequence[str], seed: int) -> Column:
    """Return a number in [0, 1) that depends on the row's values and the seed only (xxHash64)."""
    hashed = F.xxhash64(F.lit(seed), *(F.col(name) for name in columns))
    return F.pmod(hashed, F.lit(BUCKETS)) / BUCKETS
