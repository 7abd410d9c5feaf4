"""monitor_drift: how far each date is from what the champion was trained on, and whether its error is as promised."""

import datetime as dt
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from pyspark.sql import functions as F

from batchml.clients.champion_probe import no_champion
from batchml.config import Level, Levels, Pipeline
from batchml.context import Context, Summary
from batchml.errors import NothingToDo
from batchml.job_line import MlflowIds, MonitorDriftDetails
from batchml.models import drift, metrics
from batchml.rows import schemas
from batchml.tracking import CHALLENGER, CHAMPION, REFERENCE, Tracker, Version, open_tracker

MOST_FINDINGS = 50  # in the job's last line


@dataclass(frozen=True)
class Finding:
    """One row of ``drift``, in the order of its columns."""

    event_date: dt.date
    subject: str
    measure: str
    value: float
    expected: float
    level: Level
    rows: int
    model_version: int


def run(context: Context) -> Summary:
    """Replaces the dates in ``drift`` and adds them to the pipeline's monitoring run in MLflow."""
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
        references = {name: drift.reference_of(found) for name, found in tracker.json(champion, REFERENCE).items()}
        findings = [*_columns(context, champion, references), *_errors(context, tracker), *_quarantine(context)]
    if not findings:
        raise NothingToDo(
            f"{pipeline.name}: there is nothing to monitor on {context.start}..{context.end}",
            remedy="run ingest, build_features and score_batch for these dates first",
        )
    with context.phase("write"):
        rows = lake.frame([tuple(vars(found).values()) for found in findings], schemas.drift())
        version = lake.replace("drift", rows, schemas.drift(), context.dates)
        tracker.log_series({(found.event_date, f"{found.measure}.{found.subject}"): found.value for found in findings})
    by_date = {date: drift.worst([f.level for f in findings if f.event_date == date]) for date in context.dates}
    loud = [f"{f.event_date} {f.subject}: {f.measure} {f.value:.3g} ({f.level})" for f in findings if f.level != "ok"]
    for line in loud:
        context.say("%s", line)
    attempt = tracker.version(CHALLENGER)
    last_attempt = attempt.tags.get("end") if attempt else None
    return Summary(
        rows_in=len(findings),
        rows_out=len(findings),
        tables={"drift": version},
        mlflow=MlflowIds(model=pipeline.name, version=int(champion.version)),
        details=MonitorDriftDetails(
            level=drift.worst(list(by_date.values())),
            findings=tuple(loud[:MOST_FINDINGS]),
            alarm_days=_alarm_days(context, last_attempt),
        ),
    )


def _columns(context: Context, champion: Version, references: Mapping[str, drift.Reference]) -> Iterator[Finding]:
    """Every watched input and the prediction, as far as the champion's training has a reference of them."""
    pipeline, limits = context.pipeline, context.pipeline.monitoring
    for table in ("features", "predictions"):
        if not context.lake.exists(table):
            continue
        watched = {"prediction"} if table == "predictions" else set(pipeline.watched.columns)
        known = {name: reference for name, reference in references.items() if name in watched}
        if not known:
            continue
        counted = drift.bin_counts(context.lake.read(table, context.start, context.end), known)
        for date in sorted(counted):
            for name, reference in known.items():
                counts = counted[date][name]
                rows = sum(counts.values())
                index, noise = drift.psi(counts, reference)
                found = [("psi", index, 0.0, drift.level(index, limits.psi, noise))]
                for measure, share, levels in (
                    ("nulls", drift.null_share, limits.nulls),
                    ("unseen", drift.unseen_share, limits.unseen),
                ):
                    value, expected = share(counts), share(reference.counts)
                    found.append((measure, value, expected, drift.share_level(value, rows, expected, levels)))
                for measure, value, expected, level in found:
                    yield Finding(date, name, measure, value, expected, level, rows, int(champion.version))


def _errors(context: Context, tracker: Tracker) -> Iterator[Finding]:
    """The realised error of each date whose labels are known, beside what its model promised at evaluation."""
    pipeline = context.pipeline
    if not context.lake.exists("predictions"):
        return
    squared = pipeline.task == "regression"
    measure = "rmse" if squared else "error_rate"
    scored = context.lake.read("predictions", context.start, context.end).where(F.col("label").isNotNull())
    by_model = scored.groupBy("event_date", "model_version").agg(*metrics.loss(pipeline.task)).collect()
    promises = {number: _promised(tracker, number, pipeline) for number in {row["model_version"] for row in by_model}}
    for row in sorted(by_model):
        promised = promises[row["model_version"]]
        error = drift.least_error(row["loss"], 0.0, row["rows"], squared=squared)
        least = drift.least_error(row["loss"], row["spread"], row["rows"], squared=squared)
        level = drift.error_level(least, promised, pipeline.monitoring.error)
        yield Finding(
            row["event_date"], "prediction", measure, error, promised, level, row["rows"], row["model_version"]
        )


def _promised(tracker: Tracker, number: int, pipeline: Pipeline) -> float:
    """The error on the holdout that the model was judged by; infinite if it was never judged."""
    measured = tracker.metrics(number)
    if pipeline.task == "regression":
        return measured.get("holdout_rmse", float("inf"))
    return 1 - measured.get("holdout_accuracy", float("-inf"))


def _quarantine(context: Context) -> Iterator[Finding]:
    """The share of each date's rows that was kept apart; beyond ``max_rejected_share`` ingest fails by itself."""
    limit = context.pipeline.max_rejected_share
    if not context.lake.exists("bronze"):
        return
    tables = {}
    for table in ("bronze", "quarantine"):
        tables[table] = context.lake.rows_by_date(table, context.lake.version(table), context.dates)
    levels = Levels(watch=max(limit, 1e-9) / 2, alarm=max(limit, 1e-9) * 0.8)
    for date, rows in sorted(tables["bronze"].items()):
        share = tables["quarantine"].get(date, 0) / rows
        level = drift.share_level(share, rows, 0.0, levels)
        yield Finding(date, "rows", "quarantined", share, 0.0, level, rows, 0)


def _alarm_days(context: Context, last_attempt: str | None) -> int:
    """Days with an alarm among the last ``training.on_alarm.of`` since the last training; 0 if nobody asks."""
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
