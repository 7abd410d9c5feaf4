"""monitor_drift: compare each date with the champion's training, and its error with evaluation."""

import datetime as dt
import math
from collections.abc import Iterator
from typing import Any

from pyspark.sql import functions as F

from batchml.clients.champion_probe import no_champion
from batchml.config import Pipeline
from batchml.context import Context, Summary
from batchml.errors import NothingToDo
from batchml.job_line import MlflowIds, MonitorDriftDetails
from batchml.models import drift, metrics
from batchml.models.drift import Finding
from batchml.models.reference import bin_counts, reference_of
from batchml.rows import schemas
from batchml.tracking import CHALLENGER, CHAMPION, REFERENCE, Tag, Tracker, Version, open_tracker

MOST_FINDINGS = 50  # in the job's last line


def run(context: Context) -> Summary:
    """Replace the dates in ``drift`` and add them to the pipeline's monitoring run in MLflow."""
    pipeline, lake = context.pipeline, context.lake
    lake.require_writable()
    tracker = open_tracker(pipeline.name, context.places)
    champion = tracker.version(CHAMPION)
    if champion is None:
        raise no_champion("monitor_drift", pipeline.name)
    if not tracker.holds(champion, REFERENCE):
        raise NothingToDo(
            f"{pipeline.name} version {champion.version} was trained before references were kept",
            remedy="the next training brings one: start a run with train=yes",
        )
    with context.phase("read"):
        columns = _column_findings(context, tracker, champion)
        findings = [*columns, *_error_findings(context, tracker), *_quarantine_findings(context)]
    if not findings:
        raise NothingToDo(
            f"{pipeline.name}: there is nothing to monitor on {context.start}..{context.end}",
            remedy="run ingest, build_features and score_batch for these dates first",
        )

    with context.phase("write"):
        rows = lake.frame([tuple(vars(finding).values()) for finding in findings], schemas.drift())
        version = lake.replace("drift", rows, schemas.drift(), context.dates)
        points = {(finding.event_date, finding.series): finding.value for finding in findings}
        tracker.log_series(points)
    loud = [str(finding) for finding in findings if finding.level != "ok"]
    for line in loud:
        context.say("%s", line)

    attempt = tracker.version(CHALLENGER)
    last_attempt = attempt.tags.get(Tag.END) if attempt else None
    return Summary(
        rows_in=len(findings),
        rows_out=len(findings),
        tables={"drift": version},
        mlflow=MlflowIds(model=pipeline.name, version=int(champion.version)),
        details=MonitorDriftDetails(
            level=drift.worst([finding.level for finding in findings]),
            findings=tuple(loud[:MOST_FINDINGS]),
            alarm_days=_alarm_days(context, last_attempt),
        ),
    )


def _column_findings(context: Context, tracker: Tracker, champion: Version) -> Iterator[Finding]:
    """Compare every watched input and the prediction with the champion's references."""
    stored = tracker.json(champion, REFERENCE)
    references = {name: reference_of(record) for name, record in stored.items()}
    pipeline, number = context.pipeline, int(champion.version)
    watched = {"features": set(pipeline.watched.columns), "predictions": {"prediction"}}
    for table, names in watched.items():
        known = {name: reference for name, reference in references.items() if name in names}
        if known and context.lake.exists(table):
            counts = bin_counts(context.lake.read(table, context.start, context.end), known)
            yield from drift.column_findings(counts, known, pipeline.monitoring, number)


def _error_findings(context: Context, tracker: Tracker) -> Iterator[Finding]:
    """Compare the realised error of each date whose labels are known with the one at evaluation."""
    pipeline = context.pipeline
    if not context.lake.exists("predictions"):
        return
    predictions = context.lake.read("predictions", context.start, context.end)
    labelled = predictions.where(F.col("label").isNotNull())
    by_model = labelled.groupBy("event_date", "model_version").agg(*metrics.loss(pipeline.task))
    losses = [drift.DayLoss(**row.asDict()) for row in by_model.collect()]
    versions = {day.model_version for day in losses}
    promised = {number: _promised(tracker, number, pipeline) for number in versions}
    yield from drift.error_findings(losses, promised, pipeline.monitoring.error, pipeline.task)


def _quarantine_findings(context: Context) -> Iterator[Finding]:
    """Compare the quarantined share of each date with the share at which ingest fails."""
    lake, dates = context.lake, context.dates
    if not lake.exists("bronze"):
        return
    received = lake.rows_by_date("bronze", lake.version("bronze"), dates)
    quarantined = lake.rows_by_date("quarantine", lake.version("quarantine"), dates)
    yield from drift.quarantine_findings(received, quarantined, context.pipeline.max_rejected_share)


def _promised(tracker: Tracker, number: int, pipeline: Pipeline) -> float:
    """Return the error at evaluation; infinite for a version that was not evaluated."""
    measured = tracker.metrics(number)
    if pipeline.task == "regression":
        return measured.get(metrics.key("holdout", "rmse"), math.inf)
    return 1 - measured.get(metrics.key("holdout", "accuracy"), -math.inf)


def _alarm_days(context: Context, last_attempt: str | None) -> int:
    """Count the days with an alarm among the last ``training.on_alarm.of`` since the last training.

    0 if alarms do not start a training.
    """
    rule = context.pipeline.training.on_alarm
    if rule is None:
        return 0
    first = context.end - dt.timedelta(days=rule.of - 1)
    if last_attempt is not None:
        first = max(first, dt.date.fromisoformat(last_attempt) + dt.timedelta(days=1))
    if first > context.end:
        return 0
    alarms: Any = context.lake.read("drift", first, context.end).where(F.col("level") == "alarm")
    return int(alarms.select("event_date").distinct().count())
