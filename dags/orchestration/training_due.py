"""Decide if a run trains a model, and why."""

import datetime as dt
from dataclasses import dataclass
from typing import Any, Literal

from batchml.config import Training
from batchml.errors import Unchanged
from batchml.job_line import JobLine, MonitorDriftDetails, ScoreBatchDetails, TrainingDecision
from orchestration.dates import last_date

Request = Literal["auto", "yes", "no"]


@dataclass(frozen=True)
class EarlierJobs:
    """The last lines of the jobs before training: build_features, score_batch, and monitor_drift.

    The line of score_batch describes the champion. Without a champion it has no details.
    """

    built: JobLine | None
    scored: JobLine | None
    monitored: JobLine | None


def decide(
    request: Request, end: dt.date, training: Training, earlier: EarlierJobs
) -> TrainingDecision:
    """Decide by the run's request, by the jobs before, and by the rules of the pipeline."""
    newest = newest_built(earlier.built, end)
    if request != "auto":
        return _as_requested(request, newest or end)
    if newest is None:
        return TrainingDecision(due=False, reason=f"the run built no features for {end}")

    scored = earlier.scored
    if scored is None or not isinstance(scored.details, ScoreBatchDetails):
        reason = "there is no champion yet"
        if scored is not None and scored.error is not None:
            reason = scored.error.message
        return TrainingDecision(due=True, reason=reason, end=newest)

    decision = _by_the_champion(newest, training, scored, scored.details, earlier.monitored)
    if not decision.due:
        return decision
    return decision.model_copy(update={"end": newest})


def newest_built(built: JobLine | None, end: dt.date) -> dt.date | None:
    """Return the newest date with features that this run has built or left unchanged; else None.

    The delivery of the run's own date may be missing, while earlier dates were caught up with.
    """
    if built is None:
        return None
    if built.is_done or _is_unchanged(built):
        return end
    caught_up = [each.date for each in built.caught_up or () if each.outcome == "done"]
    return max(caught_up, default=None)


def _is_unchanged(line: JobLine) -> bool:
    """Return True if the job has left its dates as they were."""
    return line.error is not None and line.error.kind == Unchanged.kind


def _by_the_champion(
    end: dt.date,
    training: Training,
    scored: JobLine,
    details: ScoreBatchDetails,
    monitored: JobLine | None,
) -> TrainingDecision:
    """Decide by a rollback, a champion that does not fit the pipeline, alarms, and the calendar."""
    if details.hold:
        reason = f"{details.hold}: the next training needs a run with train=yes"
        return TrainingDecision(due=False, reason=reason)

    # Lines of an earlier release name the champion as the version that scored.
    version = details.champion or scored.model_version
    trained_end = details.champion_end or details.trained_end
    last_attempt_end = details.last_attempt_end
    champion = f"the champion, version {version}, was trained up to {trained_end}"
    # A rerun of an earlier date must not train a model that is older than the champion.
    if _is_later(end, trained_end):
        was_attempted = _is_later(last_attempt_end, trained_end)
        if details.misfit and not was_attempted:
            return TrainingDecision(due=True, reason=details.misfit)
        alarms = _alarms(training, monitored)
        if alarms:
            return TrainingDecision(due=True, reason=f"{champion}; {alarms}")

    return _by_trainings(champion, end, trained_end, last_attempt_end, training.every_days)


def _by_trainings(
    champion: str,
    end: dt.date,
    trained_end: dt.date | None,
    last_attempt_end: dt.date | None,
    every_days: int | None,
) -> TrainingDecision:
    """Decide by the last training, of the champion or of a rejected challenger."""
    # Count rejected challengers too: a training on the next day would give nearly the same model.
    trainings = [date for date in (trained_end, last_attempt_end) if date is not None]
    if not trainings:
        return TrainingDecision(due=True, reason="the date of the last training is unknown")
    return _by_the_calendar(champion, end, max(trainings), every_days)


def _is_later(date: dt.date | None, champion_end: dt.date | None) -> bool:
    """Return True if ``date`` is after the champion's training; False if one of them is unknown."""
    return date is not None and champion_end is not None and date > champion_end


def _as_requested(request: Literal["yes", "no"], end: dt.date) -> TrainingDecision:
    if request == "yes":
        return TrainingDecision(due=True, reason="the run requests it (train=yes)", end=end)
    return TrainingDecision(due=False, reason="the run excludes it (train=no)")


def _alarms(training: Training, monitored: JobLine | None) -> str:
    """Return why the last days require a training; an empty string if they do not."""
    rule = training.on_alarm
    if rule is None or monitored is None or not isinstance(monitored.details, MonitorDriftDetails):
        return ""

    days = monitored.details.alarm_days
    if days < rule.days:
        return ""
    first_finding = "; ".join(monitored.details.findings[:1])
    return f"{days} of the last {rule.of} days were alarms: {first_finding}"


def _by_the_calendar(
    champion: str, end: dt.date, last: dt.date, every_days: int | None
) -> TrainingDecision:
    if every_days is None:
        return TrainingDecision(due=False, reason=f"{champion}; training.every_days is not set")

    age = (end - last).days
    if age >= every_days:
        reason = (
            f"{champion}; the last training is {age} days old, training.every_days is {every_days}"
        )
        return TrainingDecision(due=True, reason=reason)
    due = last + dt.timedelta(days=every_days)
    return TrainingDecision(due=False, reason=f"{champion}; the next training is due {due}")


def training_end(ti: Any, params: Any, dag_run: Any) -> str:
    """Return the last date of the training, as decided by ``training_due``."""
    decision = TrainingDecision.read(ti.xcom_pull(task_ids="training_due"))
    if decision is not None and decision.end is not None:
        return str(decision.end)
    return last_date(params, dag_run)
