"""Compare dates with the training of the version that scores them, and its error on them."""

import datetime as dt
import math
from collections import Counter
from collections.abc import Collection, Iterator, Mapping

from pyspark.sql import functions as F

from batchml.config import Pipeline
from batchml.context import Context
from batchml.models import drift, metrics
from batchml.models.drift import Finding
from batchml.models.reference import bin_counts, reference_of
from batchml.models.versions import dates_by_version
from batchml.rows import schemas
from batchml.tracking import REFERENCE, Tracker


def find(context: Context, tracker: Tracker, assigned: Mapping[dt.date, int]) -> list[Finding]:
    """Return the findings of the dates in ``assigned``, which has the version that scores each.

    Each date is compared with the training of its own version, whichever is champion now.
    """
    findings: list[Finding] = []
    for number, dates in dates_by_version(assigned).items():
        findings += _column_findings(context, tracker, number, dates)
        findings += _error_findings(context, tracker, number, dates)
    findings += _quarantine_findings(context, assigned.keys())
    return findings


def has_reference(tracker: Tracker, number: int) -> bool:
    """Return True if the training of a version stored a reference for its dates."""
    return tracker.has_artifact(tracker.get(number), REFERENCE)


def store(
    context: Context, tracker: Tracker, findings: Collection[Finding], dates: Collection[dt.date]
) -> int:
    """Replace ``dates`` in ``drift``, log the findings to MLflow, return the table's version."""
    lake = context.lake
    rows = lake.create_frame([tuple(vars(each).values()) for each in findings], schemas.drift())
    version = lake.replace("drift", rows, schemas.drift(), dates)
    tracker.log_series({(each.event_date, each.series): each.value for each in findings})
    counts = Counter(each.event_date for each in findings)
    context.record_derived("drift", {date: counts[date] for date in dates})
    return version


def _column_findings(
    context: Context, tracker: Tracker, number: int, dates: Collection[dt.date]
) -> Iterator[Finding]:
    """Compare every watched input and the prediction with the version's references."""
    if not has_reference(tracker, number):
        return
    stored = tracker.load_json(tracker.get(number), REFERENCE)
    references = {name: reference_of(record) for name, record in stored.items()}
    pipeline = context.pipeline
    watched = {"features": set(pipeline.watched.columns), "predictions": {"prediction"}}
    for table, names in watched.items():
        known = {name: reference for name, reference in references.items() if name in names}
        if known and context.lake.exists(table):
            rows = context.lake.read(table, min(dates), max(dates))
            own = rows.where(F.col("event_date").isin(list(dates)))
            if table == "predictions":
                own = own.where(F.col("model_version") == F.lit(number))
            counts = bin_counts(own, known)
            yield from drift.column_findings(counts, known, pipeline.monitoring, number)


def _error_findings(
    context: Context, tracker: Tracker, number: int, dates: Collection[dt.date]
) -> Iterator[Finding]:
    """Compare the error on rows whose label is known with the one at evaluation.

    Rows that the version has seen are left out. Their share is a finding where there are any.
    """
    pipeline = context.pipeline
    if not context.lake.exists("predictions"):
        return
    stored = context.lake.read("predictions", min(dates), max(dates))
    is_of_version = F.col("model_version") == F.lit(number)
    of_version = stored.where(F.col("event_date").isin(list(dates)) & is_of_version)

    rule = tracker.record(tracker.get(number)).split_rule()
    seen = rule.seen(stored.columns)
    if "seen" in stored.columns:  # rows of earlier releases do not have it
        seen = F.coalesce(F.col("seen"), seen)
    marked = of_version.withColumn("seen", seen)
    shares = marked.groupBy("event_date").agg(F.count("*"), F.avg(F.col("seen").cast("double")))
    yield from drift.seen_findings({row[0]: (row[1], row[2]) for row in shares.collect()}, number)

    honest = marked.where(~F.col("seen") & F.col("label").isNotNull())
    by_date = honest.groupBy("event_date", "model_version").agg(*metrics.loss(pipeline.task))
    losses = [drift.DayLoss(**row.asDict()) for row in by_date.collect()]
    promised: dict[int, float] = {}
    if losses:
        promised[number] = _promised(tracker, number, pipeline)
    yield from drift.error_findings(losses, promised, pipeline.monitoring.error, pipeline.task)


def _quarantine_findings(context: Context, dates: Collection[dt.date]) -> Iterator[Finding]:
    """Compare the quarantined share of each date with the share at which ingest fails."""
    lake = context.lake
    if not lake.exists("bronze"):
        return
    received = lake.rows_by_date("bronze", lake.latest_version("bronze"), dates)
    quarantined = lake.rows_by_date("quarantine", lake.latest_version("quarantine"), dates)
    yield from drift.quarantine_findings(received, quarantined, context.pipeline.max_rejected_share)


def _promised(tracker: Tracker, number: int, pipeline: Pipeline) -> float:
    """Return the error at evaluation; infinite for a version that was not evaluated."""
    measured = tracker.metrics(number)
    if pipeline.task == "regression":
        return measured.get(metrics.key("holdout", "rmse"), math.inf)
    return 1 - measured.get(metrics.key("holdout", "accuracy"), -math.inf)
