"""monitor_drift: compare each date with the training and the evaluation of its version."""

from collections.abc import Collection

from pyspark.sql import functions as F

from batchml.clients.champion_probe import no_champion
from batchml.context import Context, Summary
from batchml.errors import NothingToDo
from batchml.job_line import MlflowIds, MonitorDriftDetails
from batchml.models import drift
from batchml.tracking import CHAMPION, Tracker, open_tracker
from batchml.workflow import monitoring, serving
from batchml.workflow.monitoring import AlarmWindow

MAX_FINDINGS = 50  # in the job's last line


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

    version_by_date = serving.versions_by_date(context, tracker, context.dates)
    _require_reference(context, tracker, set(version_by_date.values()))
    with context.phase("read"):
        findings = monitoring.compute_findings(context, tracker, version_by_date)
    if not findings:
        _clear_dates(context, tracker)
        raise NothingToDo(
            f"{pipeline.name}: there is nothing to monitor on {context.start}..{context.end}",
            remedy="run ingest, build_features and score_batch for these dates first",
        )

    with context.phase("write"):
        table_version = monitoring.write_findings(
            context, tracker, findings, version_by_date.keys()
        )
    last_date = max(version_by_date)
    reported = [str(finding) for finding in findings if finding.level != "ok"]
    for line in reported:
        context.log("%s", line)
    return Summary(
        rows_in=len(findings),
        rows_out=len(findings),
        tables={"drift": table_version},
        mlflow=MlflowIds(model=pipeline.name, version=version_by_date[last_date]),
        details=MonitorDriftDetails(
            level=drift.worst([finding.level for finding in findings]),
            findings=tuple(reported[:MAX_FINDINGS]),
            alarm_days=_alarm_days(context, tracker),
        ),
    )


def _require_reference(
    context: Context,
    tracker: Tracker,
    versions: Collection[int],
) -> None:
    """Raise NothingToDo unless one of the versions that score the dates has a reference.

    Before that, record in the ledger that the dates have no findings.
    """
    name = context.pipeline.name
    if not versions:
        _record_no_findings(context)
        raise NothingToDo(
            serving.explain_no_version(context),
            remedy="score the dates with one of them first: score_batch --with VERSION",
        )
    if not any(monitoring.has_reference(tracker, number) for number in versions):
        _record_no_findings(context)
        raise NothingToDo(
            f"{name} version {max(versions)} has no drift reference: it was trained by an earlier "
            "release",
            remedy="train again to store one: start a run with train=yes",
        )


def _clear_dates(context: Context, tracker: Tracker) -> None:
    """Remove the dates from ``drift``, and record that they have no findings."""
    if context.lake.has_rows("drift", context.start, context.end):
        monitoring.write_findings(context, tracker, [], context.dates)
    _record_no_findings(context)


def _record_no_findings(context: Context) -> None:
    """Record in the ledger that the dates have no findings.

    They are owed again if their input changes.
    """
    context.record_derived("drift", dict.fromkeys(context.dates, 0))


def _alarm_days(context: Context, tracker: Tracker) -> int:
    """Count the days with an alarm that count towards a training."""
    window = AlarmWindow.of(context.pipeline, tracker, context.end)
    if window is None:
        return 0
    rows = context.lake.read("drift", window.start, window.end)
    alarms = rows.where(F.col("level") == "alarm")
    if window.withdrawn:
        is_withdrawn = F.col("model_version").isin(list(window.withdrawn))
        alarms = alarms.where(~is_withdrawn)
    return alarms.select("event_date").distinct().count()
