"""Compare dates with the training of the version that scores them, and its error on them."""

import datetime as dt
import math
from collections import Counter
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from batchml.config import Pipeline
from batchml.context import Context
from batchml.models import drift, metrics
from batchml.models.drift import Finding
from batchml.models.reference import Reference, bin_counts, reference_of
from batchml.models.versions import dates_by_version
from batchml.rows import schemas
from batchml.tracking import REFERENCE, Tag, Tracker


@dataclass(frozen=True)
class AlarmWindow:
    """The dates whose alarms count towards a training, both inclusive.

    Alarms of ``withdrawn`` versions do not count.
    """

    start: dt.date
    end: dt.date
    withdrawn: Collection[int]

    @classmethod
    def of(cls, pipeline: Pipeline, tracker: Tracker, end: dt.date) -> "AlarmWindow | None":
        """Return the last ``training.on_alarm.of`` days up to ``end`` after the last training.

        Return None if there are none, or if alarms do not start a training.
        """
        rule = pipeline.training.on_alarm
        if rule is None:
            return None
        start = end - dt.timedelta(days=rule.of - 1)
        last_attempt_end = tracker.last_attempt_end()
        if last_attempt_end is not None:
            start = max(start, last_attempt_end + dt.timedelta(days=1))
        if start > end:
            return None
        return cls(start, end, tracker.tagged(Tag.WITHDRAWN))


def compute_findings(
    context: Context,
    tracker: Tracker,
    version_by_date: Mapping[dt.date, int],
) -> list[Finding]:
    """Return the findings of the dates, each with the version that scores it.

    Each date is compared with the training of its own version, whichever is champion now.
    """
    findings: list[Finding] = []
    for number, dates in dates_by_version(version_by_date).items():
        scored_dates = _ScoredDates(context, tracker, number, dates)
        findings += scored_dates.column_findings()
        findings += scored_dates.error_findings()
    findings += _quarantine_findings(context, version_by_date.keys())
    return findings


def has_reference(tracker: Tracker, number: int) -> bool:
    """Return True if the training of a version stored a reference for its dates."""
    return tracker.has_artifact(tracker.get(number), REFERENCE)


def write_findings(
    context: Context,
    tracker: Tracker,
    findings: Collection[Finding],
    dates: Collection[dt.date],
) -> int:
    """Replace ``dates`` in ``drift``, log the findings to MLflow, return the table's version."""
    lake = context.lake
    schema = schemas.drift()
    values = [tuple(vars(each).values()) for each in findings]
    rows = lake.create_frame(values, schema)
    table_version = lake.replace("drift", rows, schema, dates)

    series = {(each.event_date, each.series): each.value for each in findings}
    tracker.log_series(series)
    counts = Counter(each.event_date for each in findings)
    context.record_derived("drift", {date: counts[date] for date in dates})
    return table_version


@dataclass(frozen=True)
class _ScoredDates:
    """The dates that one version scores."""

    context: Context
    tracker: Tracker
    number: int
    dates: Collection[dt.date]

    @property
    def pipeline(self) -> Pipeline:
        """Return the configuration of the pipeline."""
        return self.context.pipeline

    def column_findings(self) -> Iterator[Finding]:
        """Compare every watched input and the prediction with the version's references."""
        if not has_reference(self.tracker, self.number):
            return
        limits = self.pipeline.monitoring
        watched = {
            "features": self.pipeline.watched.columns,
            "predictions": ["prediction"],
        }
        references = self._references()
        for table, names in watched.items():
            known = {name: each for name, each in references.items() if name in names}
            if not known or not self.context.lake.exists(table):
                continue
            counts = bin_counts(self._rows(table), known)
            yield from drift.column_findings(counts, known, limits, self.number)

    def error_findings(self) -> Iterator[Finding]:
        """Compare the error on rows whose label is known with the one at evaluation.

        Rows that the version has seen are left out. Their share is a finding where there are any.
        """
        if not self.context.lake.exists("predictions"):
            return
        predictions = self._with_seen(self._rows("predictions"))
        yield from drift.seen_findings(_seen_shares(predictions), self.number)

        losses = self._losses(predictions)
        evaluated: dict[int, float] = {}
        if losses:
            evaluated[self.number] = self._error_at_evaluation()
        limits = self.pipeline.monitoring.error
        yield from drift.error_findings(losses, evaluated, limits, self.pipeline.task)

    def _references(self) -> dict[str, Reference]:
        """Return the references of the version's training, by column."""
        tracker = self.tracker
        stored = tracker.load_json(tracker.get(self.number), REFERENCE)
        return {name: reference_of(record) for name, record in stored.items()}

    def _rows(self, table: str) -> DataFrame:
        """Return the rows of the dates; of ``predictions`` only those of the version."""
        first, last = min(self.dates), max(self.dates)
        stored = self.context.lake.read(table, first, last)
        is_of_dates = F.col("event_date").isin(list(self.dates))
        rows = stored.where(is_of_dates)
        if table != "predictions":
            return rows
        is_of_version = F.col("model_version") == F.lit(self.number)
        return rows.where(is_of_version)

    def _with_seen(self, predictions: DataFrame) -> DataFrame:
        """Return the rows with ``seen``: True if the version has seen the row in training."""
        tracker = self.tracker
        record = tracker.record(tracker.get(self.number))
        rule = record.split_rule()
        seen = rule.seen(predictions.columns)
        # Rows of earlier releases do not have the column.
        if "seen" in predictions.columns:
            seen = F.coalesce(F.col("seen"), seen)
        return predictions.withColumn("seen", seen)

    def _losses(self, predictions: DataFrame) -> list[drift.DayLoss]:
        """Return the loss of each date on rows that are not seen and whose label is known."""
        is_out_of_sample = ~F.col("seen") & F.col("label").isNotNull()
        out_of_sample = predictions.where(is_out_of_sample)
        by_date = out_of_sample.groupBy("event_date", "model_version")
        losses = by_date.agg(*metrics.loss(self.pipeline.task)).collect()
        return [drift.DayLoss(**row.asDict()) for row in losses]

    def _error_at_evaluation(self) -> float:
        """Return the error at evaluation; infinite for a version that was not evaluated."""
        measured = self.tracker.metrics(self.number)
        if self.pipeline.task == "regression":
            name = metrics.key("holdout", "rmse")
            return measured.get(name, math.inf)
        name = metrics.key("holdout", "accuracy")
        accuracy = measured.get(name, -math.inf)
        return 1 - accuracy


def _seen_shares(predictions: DataFrame) -> dict[dt.date, tuple[int, float]]:
    """Return the number of rows of each date, and the share of them that were seen."""
    is_seen = F.col("seen").cast("double")
    by_date = predictions.groupBy("event_date")
    counted = by_date.agg(F.count("*"), F.avg(is_seen))
    shares = {}
    for date, rows, share in counted.collect():
        shares[date] = (rows, share)
    return shares


def _quarantine_findings(context: Context, dates: Collection[dt.date]) -> Iterator[Finding]:
    """Compare the quarantined share of each date with the share at which ingest fails."""
    lake = context.lake
    if not lake.exists("bronze"):
        return
    received = lake.rows_by_date("bronze", lake.latest_version("bronze"), dates)
    quarantined = lake.rows_by_date("quarantine", lake.latest_version("quarantine"), dates)
    yield from drift.quarantine_findings(received, quarantined, context.pipeline.max_rejected_share)
