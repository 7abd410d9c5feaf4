"""monitor_drift: compare each date with the training and the evaluation of its version."""

import datetime as dt
from typing import Any

from pyspark.sql import functions as F

from batchml.clients.champion_probe import no_champion
from batchml.context import Context, Summary
from batchml.errors import NothingToDo
from batchml.job_line import MlflowIds, MonitorDriftDetails
from batchml.models import drift
from batchml.tracking import CHAMPION, Tag, Tracker, open_tracker
from batchml.workflow import monitoring, serving

MOST_FINDINGS = 50  # in the job's last line


def run(context: Context) -> Summary:
    """Replace the dates in ``drift`` and add them to the pipeline's monitoring run in MLflow.

    Dates that no version may score are left out.
    """
    pipeline = context.pipeline
    context.lake.require_writable()
    tracker = open_tracker(pipeline.name, context.places)
    champion = tracker.by_alias(CHAMPION)
    if champion is None:
        raise no_champion("monitor_drift", pipeline.name)

    assigned = serving.versions_by_date(context, tracker, context.dates)
    if not assigned:
        _record_nothing(context)
        raise NothingToDo(
            f"{pipeline.name}: every promoted version was trained on "
            f"{context.start}..{context.end} or later",
            remedy="score the dates with one of them first: score_batch --with VERSION",
        )
    numbers = set(assigned.values())
    if not any(monitoring.has_reference(tracker, number) for number in numbers):
        _record_nothing(context)
        raise NothingToDo(
            f"{pipeline.name} version {max(numbers)} was trained before references were kept",
            remedy="the next training brings one: start a run with train=yes",
        )
    with context.phase("read"):
        findings = monitoring.find(context, tracker, assigned)
    if not findings:
        if context.lake.has_rows("drift", context.start, context.end):
            monitoring.store(context, tracker, [], context.dates)
        _record_nothing(context)
        raise NothingToDo(
            f"{pipeline.name}: there is nothing to monitor on {context.start}..{context.end}",
            remedy="run ingest, build_features and score_batch for these dates first",
        )

    with context.phase("write"):
        version = monitoring.store(context, tracker, findings, assigned.keys())
    loud = [str(finding) for finding in findings if finding.level != "ok"]
    for line in loud:
        context.log("%s", line)
    return Summary(
        rows_in=len(findings),
        rows_out=len(findings),
        tables={"drift": version},
        mlflow=MlflowIds(model=pipeline.name, version=assigned[max(assigned)]),
        details=MonitorDriftDetails(
            level=drift.worst([finding.level for finding in findings]),
            findings=tuple(loud[:MOST_FINDINGS]),
            alarm_days=_alarm_days(context, tracker),
        ),
    )


def _record_nothing(context: Context) -> None:
    """Record the dates without findings. They are owed again if their input changes."""
    context.record_derived("drift", dict.fromkeys(context.dates, 0))


def _alarm_days(context: Context, tracker: Tracker) -> int:
    """Count the days with an alarm among the last ``training.on_alarm.of`` since the last training.

    Alarms of a withdrawn version do not count. 0 if alarms do not start a training.
    """
    rule = context.pipeline.training.on_alarm
    if rule is None:
        return 0
    first = context.end - dt.timedelta(days=rule.of - 1)
    last_attempt_end = tracker.last_attempt_end()
    if last_attempt_end is not None:
        first = max(first, last_attempt_end + dt.timedelta(days=1))
    if first > context.end:
        return 0
    alarms: Any = context.lake.read("drift", first, context.end).where(F.col("level") == "alarm")
    withdrawn = tracker.tagged(Tag.WITHDRAWN)
    if withdrawn:
        alarms = alarms.where(~F.col("model_version").isin(list(withdrawn)))
    return int(alarms.select("event_date").distinct().count())
