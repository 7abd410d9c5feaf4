"""Split rows into those to fit on and the holdout, and recognise rows a model has seen."""

import datetime as dt
from collections.abc import Collection, Sequence
from dataclasses import dataclass

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from batchml.config import Pipeline, Training

BUCKETS = 10_000


@dataclass(frozen=True)
class DateRange:
    """A range of event dates. ``start`` and ``end`` are inclusive."""

    start: dt.date
    end: dt.date

    def __str__(self) -> str:
        return f"{self.start}..{self.end}"

    def contains_row(self) -> Column:
        """Return a condition that is true for rows of these dates."""
        start = F.lit(self.start)
        end = F.lit(self.end)
        return F.col("event_date").between(start, end)


@dataclass(frozen=True)
class Windows:
    """The dates to fit on and those of the holdout.

    A hash split divides the rows of one date, the last one of the training, so that both ranges are
    that date.
    """

    fit: DateRange
    holdout: DateRange


@dataclass(frozen=True)
class SplitRule:
    """How one training divides rows, and therefore which rows its model has seen.

    ``columns``: in a hash split, the hash of their values decides if a row is held out. Rows with
    the same values stay on the same side. ``is_undated``: the source has no event time, so
    that several dates may contain the same row. ``is_snapshot``: the source is undated, and each
    date has all rows of the source.
    """

    training: Training
    end: dt.date
    columns: tuple[str, ...]
    is_undated: bool
    is_snapshot: bool

    @classmethod
    def of(
        cls,
        pipeline: Pipeline,
        end: dt.date,
        columns: Sequence[str] | None = None,
    ) -> "SplitRule":
        """Return the rule of a training up to ``end``.

        Pass ``columns`` from a training record: an earlier release may have split by other columns.
        The default is the pipeline's.
        """
        split_columns = columns or pipeline.split_columns
        return cls(
            training=pipeline.training,
            end=end,
            columns=tuple(split_columns),
            is_undated=pipeline.is_undated,
            is_snapshot=pipeline.is_snapshot,
        )

    @property
    def windows(self) -> Windows:
        """Return the dates to fit on and those of the holdout."""
        return windows_up_to(self.end, self.training)

    def split(self, frame: DataFrame) -> tuple[DataFrame, DataFrame]:
        """Return the rows to fit on and the holdout."""
        dates = self.windows
        fit = frame.where(dates.fit.contains_row())
        holdout = frame.where(dates.holdout.contains_row())
        if self.training.split == "hash":
            fit = fit.where(~self._in_holdout())
            holdout = holdout.where(self._in_holdout())
        return fit, holdout

    def split_for_tuning(self, fit: DataFrame) -> tuple[DataFrame, DataFrame]:
        """Split ``fit``, the rows to fit on, into two parts for the choice of parameters.

        Return the rows that each combination of parameters is fitted on, and the validation slice
        that the combinations are compared on. For a time split the slice is the last
        ``validation_days`` days. For a hash split it is the share ``validation_fraction``.
        """
        training = self.training
        if training.split == "hash":
            # Use another seed. With the training's seed no row of ``fit`` has a fraction below
            # ``holdout_fraction``, so the slice would be too small or empty.
            fraction = _hash_fraction(self.columns, training.seed + 1)
            is_validation = fraction < training.validation_fraction
        else:
            validation = dt.timedelta(days=training.validation_days)
            last_tuning_date = self.windows.fit.end - validation
            is_validation = F.col("event_date") > F.lit(last_tuning_date)
        return fit.where(~is_validation), fit.where(is_validation)

    @property
    def holdout_was_fitted_on(self) -> bool:
        """Return True if the holdout contains the rows that the model was fitted on.

        A snapshot has the same rows on every date, so a split by time holds none of them out.
        """
        return self.is_snapshot and self.training.split == "time"

    def fitted(self, columns: Collection[str]) -> Column:
        """Return a condition that is true for rows that the model may have been fitted on.

        ``columns`` are the columns of the frame to which the condition is applied. If one that the
        hash needs is missing, no row counts as held out.
        """
        return self._by_kind_of_split(self.windows.fit.contains_row(), columns)

    def seen(self, columns: Collection[str]) -> Column:
        """Return a condition that is true for rows that are not new to the model.

        Errors on them do not show how large errors on new data are.

        For a time split, these are all rows up to the last date of the training. The model was
        fitted or evaluated on them, or they are older than the rows that it was fitted on. If the
        source is a snapshot, these are the rows of all dates, because each date has the same rows.

        For a hash split, these are the rows that the hash does not hold out, up to the last date of
        the training. If the source is undated or ``training.group`` is set, such rows on later
        dates count, too, because the same rows or groups can appear there. Rows that are held out
        count as new, even those that the model was evaluated on, because a source whose rows
        repeat, such as a snapshot, may never have any other new rows.
        """
        until_end = F.col("event_date") <= F.lit(self.end)
        return self._by_kind_of_split(until_end, columns)

    def has_same_holdout_as(self, other: "SplitRule") -> bool:
        """Return True if both rules split by hash, and their hashes hold out the same rows.

        The dates of the rules may differ.
        """
        mine = self.training
        theirs = other.training
        if mine.split != "hash" or theirs.split != "hash":
            return False
        is_same_hash = self.columns == other.columns and mine.seed == theirs.seed
        return is_same_hash and mine.holdout_fraction == theirs.holdout_fraction

    def _by_kind_of_split(self, is_in_dates: Column, columns: Collection[str]) -> Column:
        """Return the condition for ``fitted`` and ``seen``.

        Time split: ``is_in_dates``, or all rows of a snapshot. Hash split: the rows that the hash
        does not hold out, limited to ``is_in_dates`` unless the same rows or groups can appear on
        several dates.
        """
        if self.holdout_was_fitted_on:
            return F.lit(True)
        if self.training.split == "time":
            return is_in_dates
        is_on_fit_side = self._on_the_fit_side(columns)
        can_repeat_on_other_dates = self.is_undated or bool(self.training.group)
        if can_repeat_on_other_dates:
            return is_on_fit_side
        return is_in_dates & is_on_fit_side

    def _on_the_fit_side(self, columns: Collection[str]) -> Column:
        """Return a condition that is true for rows that the hash does not hold out.

        It is also true for rows of which this is unknown.
        """
        has_split_columns = set(self.columns) <= set(columns)
        if not has_split_columns:
            return F.lit(True)
        # A split column that had a value in training may be null when the row is scored. The hash
        # then differs, and does not show on which side the row was. Count it as fitted on.
        has_null = F.lit(False)
        for name in self.columns:
            has_null |= F.col(name).isNull()
        return has_null | ~self._in_holdout()

    def _in_holdout(self) -> Column:
        fraction = _hash_fraction(self.columns, self.training.seed)
        return fraction < self.training.holdout_fraction


def windows_up_to(end: dt.date, training: Training) -> Windows:
    """Return the two date ranges for a model trained as of ``end``."""
    if training.split == "hash":
        # A hash split divides the rows of the last date alone.
        same_date = DateRange(end, end)
        return Windows(fit=same_date, holdout=same_date)

    first_holdout = end - dt.timedelta(days=training.holdout_days - 1)
    last_fit = first_holdout - dt.timedelta(days=1)
    first_fit = last_fit - dt.timedelta(days=training.window_days - 1)
    return Windows(
        fit=DateRange(first_fit, last_fit),
        holdout=DateRange(first_holdout, end),
    )


def rows_to_fit(rows: int, training: Training) -> int:
    """Return the expected number of rows to fit on.

    ``rows`` is the number of rows on the dates of ``Windows.fit``.
    """
    if training.split == "time":
        return rows
    return round(rows * (1 - training.holdout_fraction))


def _hash_fraction(columns: Sequence[str], seed: int) -> Column:
    """Return a number in [0, 1) from the xxHash64 of the seed and the columns' values."""
    values = [F.lit(seed)]
    values += [F.col(name) for name in columns]
    hashed = F.xxhash64(*values)
    bucket = F.pmod(hashed, F.lit(BUCKETS))
    return bucket / BUCKETS
