"""Which rows a model is fitted on and which it is judged on. Never the same row, and never by chance alone."""

import datetime as dt
from dataclasses import dataclass

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from batchml.config import Pipeline, Training

BUCKETS = 10_000


@dataclass(frozen=True)
class DateRange:
    """Event dates, both inclusive."""

    start: dt.date
    end: dt.date

    def __str__(self) -> str:
        return f"{self.start}..{self.end}"

    def holds(self) -> Column:
        """True for rows of these dates."""
        return F.col("event_date").between(F.lit(self.start), F.lit(self.end))


@dataclass(frozen=True)
class Windows:
    """The dates that are fitted on, and those that are judged on. A hash split has both on one day."""

    fit: DateRange
    holdout: DateRange


def windows(end: dt.date, training: Training) -> Windows:
    """The two date ranges for a model trained as of ``end``."""
    if training.split == "hash":
        return Windows(DateRange(end, end), DateRange(end, end))
    first_holdout = end - dt.timedelta(days=training.holdout_days - 1)
    last_fit = first_holdout - dt.timedelta(days=1)
    first_fit = last_fit - dt.timedelta(days=training.window_days - 1)
    return Windows(DateRange(first_fit, last_fit), DateRange(first_holdout, end))


def split(frame: DataFrame, end: dt.date, pipeline: Pipeline) -> tuple[DataFrame, DataFrame]:
    """Rows to fit on, and the holdout, of the labelled rows of ``features``.

    A hash split is taken of all a model sees and the label: rows equal in them all land on the same side.
    """
    training = pipeline.training
    parts = windows(end, training)
    fit, holdout = frame.where(parts.fit.holds()), frame.where(parts.holdout.holds())
    if training.split == "time":
        return fit, holdout
    is_holdout = _share(pipeline, training.seed) < training.holdout_fraction
    return fit.where(~is_holdout), holdout.where(is_holdout)


def split_for_tuning(fit: DataFrame, end: dt.date, pipeline: Pipeline) -> tuple[DataFrame, DataFrame]:
    """The rows to fit on, split once more for choosing parameters: rows to try on, and a validation slice.

    Ordered by time for a time split: the slice is the last ``validation_days`` of the rows to fit on.
    """
    training = pipeline.training
    if training.split == "hash":
        # Another seed, or the slice would be empty: these rows all lie above the first threshold.
        is_validation = _share(pipeline, training.seed + 1) < training.validation_fraction
    else:
        last_fit = windows(end, training).fit.end
        is_validation = F.col("event_date") > F.lit(last_fit - dt.timedelta(days=training.validation_days))
    return fit.where(~is_validation), fit.where(is_validation)


def _share(pipeline: Pipeline, seed: int) -> Column:
    """A number in [0, 1) that depends on the row's values and the seed only (xxHash64 of both)."""
    columns = (*pipeline.inputs.columns, pipeline.label)
    hashed = F.xxhash64(F.lit(seed), *(F.col(name) for name in columns))
    return F.pmod(hashed, F.lit(BUCKETS)) / BUCKETS
