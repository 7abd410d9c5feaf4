"""Find the state of a pipeline from its tables, without Spark and without MLflow."""

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass, replace
from operator import itemgetter

from batchml.clients.delta_tables import READ_ERRORS, DeltaTables, unreadable_message
from batchml.config import Pipeline
from batchml.config.freshness import Freshness
from batchml.config.learning import Gate
from batchml.errors import Unavailable
from batchml.lake.ledger import Entry
from batchml.lake.row_counts import greatest_in
from batchml.report.calendar import DAYS
from batchml.report.conditions import Approval, Background, PipelineState, state_of
from batchml.report.days import DayMap
from batchml.workflow.day_map import Span, last_date, map_of
from batchml.workflow.stored import Stored


@dataclass(frozen=True)
class Evaluation:
    """The gate's verdict on the newest version, and when it was written, None if unknown.

    ``date`` is the last date of the training.
    """

    version: int
    date: dt.date
    passed: bool
    needs_approval: bool
    reason: str
    time: dt.datetime | None = None


def read_state(stored: Stored, freshness: Freshness, span: Span, now: dt.datetime) -> PipelineState:
    """Return the state of the pipeline at ``now``, with the map of ``span``.

    The state is of the last ``state_days`` dates, whatever the map shows. If the map ends before
    the newest date, there are no conditions.
    """
    pipeline = stored.pipeline
    background = _background(pipeline)
    newest = last_date(stored.ledger, pipeline, span.yesterday)
    if newest is not None and span.end is not None and span.end < newest:
        return PipelineState(pipeline.name, (), map_of(stored, span), background.has_dag)

    # One map for both, because reading the tables twice takes twice the time.
    days = state_days(pipeline)
    longer = replace(span, days=max(span.days, days), monitored_days=max(span.monitored_days, days))
    day_map = map_of(stored, longer)
    if day_map is None:
        return state_of(freshness, None, background=background)
    state = _state_of_dates(stored, freshness, day_map.last(days), now)
    return replace(state, day_map=day_map.last(span.days))


def state_days(pipeline: Pipeline) -> int:
    """Return how many dates the state is of.

    These are the dates that are checked again for changes or read by the next training, and at
    least those that a map shows by default.
    """
    training_days = pipeline.training.days + pipeline.reach_days
    return max(DAYS, pipeline.source.lookback_days + 1, training_days)


def _background(pipeline: Pipeline) -> Background:
    """Return what the configuration adds to the state."""
    has_dag = pipeline.schedule is not None
    return Background(is_snapshot=pipeline.is_snapshot, has_dag=has_dag)


def _state_of_dates(
    stored: Stored, freshness: Freshness, day_map: DayMap, now: dt.datetime
) -> PipelineState:
    """Return the state by the dates of ``day_map``."""
    source = stored.pipeline.source
    incomplete = [date for date in day_map.dates if source.last_day(date) >= now.date()]
    unreadable = [each.message for each in day_map.unreadable]
    approval = None
    try:
        approval = read_approval(stored, now)
    except Unavailable as error:
        unreadable.append(error.message)
    background = _background(stored.pipeline)
    background = replace(background, incomplete=incomplete, unreadable=unreadable)
    return state_of(freshness, day_map, approval, background)


def read_approval(stored: Stored, now: dt.datetime) -> Approval | None:
    """Return the version that waits for a user, None without one.

    Raise Unavailable if that cannot be read.
    """
    pipeline = stored.pipeline
    try:
        evaluation = _newest_evaluation(stored.tables)
    except READ_ERRORS as error:
        raise Unavailable(unreadable_message("verdicts", error)) from error
    if evaluation is None or not waits(evaluation, pipeline.gate, now):
        return None
    if not _is_newer_than_serving(evaluation, stored):
        return None
    predictions = stored.ledger.of_table("predictions")
    if has_approval_task(pipeline) and is_answered(evaluation, predictions):
        return None
    return _approval(evaluation, pipeline, now)


def _newest_evaluation(tables: DeltaTables) -> Evaluation | None:
    """Return the newest row of ``verdicts``, None without one."""
    row = max(tables.rows("verdicts"), key=itemgetter("event_date", "model_version"), default=None)
    if row is None:
        return None
    return Evaluation(
        version=row["model_version"],
        date=row["event_date"],
        passed=bool(row["passed"]),
        needs_approval=bool(row.get("needs_approval")),
        reason=row["reason"] or "",
        time=_written(tables, row["event_date"]),
    )


def _written(tables: DeltaTables, date: dt.date) -> dt.datetime | None:
    """Return when the newest verdicts of ``date`` were written, by the log of the table."""
    times = []
    for file in tables.files("verdicts", ("partition.event_date", "modification_time")):
        if file.get("partition.event_date") == date:
            times.append(file["modification_time"])
    if not times:
        return None
    return dt.datetime.fromtimestamp(max(times) / 1000, dt.UTC)


def _is_newer_than_serving(evaluation: Evaluation, stored: Stored) -> bool:
    """Return True if no version, or an older one, scored the newest date.

    Raise Unavailable if the versions cannot be read.
    """
    dates = stored.ledger.of_table("predictions")
    try:
        predictions = stored.tables.get("predictions")
        if predictions is None:
            return True
        versions = greatest_in(predictions, "model_version", dates)
    except READ_ERRORS as error:
        raise Unavailable(unreadable_message("predictions", error)) from error
    if versions is None:
        raise Unavailable("the log of predictions does not show the version that scored each date")
    newest = max(versions, default=None)
    return newest is None or versions[newest] < evaluation.version


def is_answered(evaluation: Evaluation, predictions: Mapping[dt.date, Entry]) -> bool:
    """Return True if an older version has scored later dates since the evaluation.

    A task of the DAG waits for the answer before the next run scores. So the older version was
    kept, or restored by a rollback. ``predictions`` are the entries of the ledger.
    """
    if evaluation.time is None:
        return False
    for date, entry in predictions.items():
        is_later = date > evaluation.date
        if is_later and entry.time is not None and entry.time > evaluation.time:
            return True
    return False


def waits(evaluation: Evaluation, gate: Gate, now: dt.datetime) -> bool:
    """Return True if only a user can promote the version: the gate is manual or was undecided.

    After its hours, a manual gate applies its default to a version that passed.
    """
    if evaluation.needs_approval:
        return True
    if not evaluation.passed or gate.approval != "manual":
        return False
    return _is_within_hours(evaluation, gate, now)


def has_approval_task(pipeline: Pipeline) -> bool:
    """Return True if a task of the pipeline's DAG waits for the answer."""
    return pipeline.gate.approval == "manual" and pipeline.schedule is not None


def _is_within_hours(evaluation: Evaluation, gate: Gate, now: dt.datetime) -> bool:
    """Return True if a task that waits for the answer has not timed out."""
    if evaluation.time is None:
        return True
    return now < evaluation.time + dt.timedelta(hours=gate.approval_hours)


def _approval(evaluation: Evaluation, pipeline: Pipeline, now: dt.datetime) -> Approval:
    is_open = _is_within_hours(evaluation, pipeline.gate, now)
    command = (
        f"spark-submit jobs/promote_model.py --pipeline {pipeline.name} --end {evaluation.date} "
        "--approved-by NAME"
    )
    return Approval(
        version=evaluation.version,
        since=evaluation.time or evaluation.date,
        reason=evaluation.reason,
        command=command,
        is_in_airflow=has_approval_task(pipeline) and is_open,
    )
