import datetime as dt

from batchml.config import OnAlarm, Training
from batchml.job_line import (
    CaughtUp,
    JobError,
    JobLine,
    MlflowIds,
    MonitorDriftDetails,
    ScoreBatchDetails,
    TrainingDecision,
)
from orchestration import training_due
from orchestration.training_due import EarlierJobs

END = dt.date(2021, 2, 11)
RULE = OnAlarm(days=2, of=3)
BUILT = JobLine(job="build_features", status="done")
NOT_BUILT = JobLine(job="build_features", status="nothing_to_do")


def decide(*, every_days: int | None, on_alarm: OnAlarm | None = RULE, **rest) -> TrainingDecision:
    earlier = EarlierJobs(rest.pop("built"), rest.pop("scored"), rest.pop("monitored", None))
    training = Training(every_days=every_days, on_alarm=on_alarm)
    return training_due.decide(training=training, earlier=earlier, **rest)


def decided(due: bool, reason: str) -> TrainingDecision:
    return TrainingDecision(due=due, reason=reason, end=END if due else None)


def monitored(alarm_days: int) -> JobLine:
    details = MonitorDriftDetails(
        alarm_days=alarm_days, findings=("2021-02-11 miles: psi 0.4 (alarm)",)
    )
    return JobLine(job="monitor_drift", status="done", details=details)


def scored(trained_end: str, last_attempt_end: str | None = None) -> JobLine:
    details = ScoreBatchDetails(trained_end=trained_end, last_attempt_end=last_attempt_end)
    return JobLine(job="score_batch", status="done", mlflow=MlflowIds(version=3), details=details)


def test_requested_training_is_due():
    decision = decide(request="yes", end=END, every_days=7, built=None, scored=None)
    assert decision == decided(True, "the run requests it (train=yes)")


def test_declined_training_is_not_due():
    decision = decide(request="no", end=END, every_days=7, built=BUILT, scored=None)
    assert decision == decided(False, "the run excludes it (train=no)")


def test_training_without_champion_is_due():
    nothing = JobLine(job="score_batch", status="nothing_to_do")
    assert decide(request="auto", end=END, every_days=7, built=BUILT, scored=nothing).due
    assert decide(request="auto", end=END, every_days=7, built=BUILT, scored=None).due


def test_unchanged_features_count_as_built():
    unchanged = JobLine(
        job="build_features",
        status="nothing_to_do",
        error=JobError(kind="unchanged", message="same"),
    )
    decision = decide(request="auto", end=END, every_days=7, built=unchanged, scored=None)
    assert decision == decided(True, "there is no champion yet")


def test_day_without_features_is_not_due():
    for built in (None, NOT_BUILT):
        decision = decide(request="auto", end=END, every_days=7, built=built, scored=None)
        assert decision == decided(False, "the run built no features for 2021-02-11")


def test_late_delivery_trains_up_to_its_newest_date():
    late = [
        CaughtUp(date=dt.date(2020, 12, day), outcome=outcome)
        for day, outcome in ((30, "done"), (31, "rejected"))
    ]
    built = NOT_BUILT.model_copy(update={"caught_up": tuple(late)})
    decision = decide(request="auto", end=END, every_days=7, built=built, scored=None)
    assert (decision.due, decision.end) == (True, dt.date(2020, 12, 30))


def test_old_champion_makes_training_due():
    six = decide(request="auto", end=END, every_days=7, built=BUILT, scored=scored("2021-02-05"))
    assert six == decided(
        False,
        "the champion, version 3, was trained up to 2021-02-05; "
        "the next training is due 2021-02-12",
    )
    assert decide(
        request="auto", end=END, every_days=7, built=BUILT, scored=scored("2021-02-04")
    ).due


def test_rejected_attempt_counts_as_training():
    line = scored("2021-01-01", last_attempt_end="2021-02-06")
    decision = decide(request="auto", end=END, every_days=7, built=BUILT, scored=line)
    assert decision == decided(
        False,
        "the champion, version 3, was trained up to 2021-01-01; "
        "the next training is due 2021-02-13",
    )


def test_unusable_champion_is_replaced():
    error = JobError(message="the champion wants inputs that are gone")
    unusable = JobLine(job="score_batch", status="nothing_to_do", error=error)
    decision = decide(request="auto", end=END, every_days=7, built=BUILT, scored=unusable)
    assert decision == decided(True, "the champion wants inputs that are gone")


def cannot_score(last_attempt_end: str | None) -> JobLine:
    details = ScoreBatchDetails(
        champion=3,
        champion_end="2021-02-01",
        last_attempt_end=last_attempt_end,
        misfit="version 3 cannot score: it predicts another label",
    )
    return JobLine(job="score_batch", status="nothing_to_do", details=details)


def test_champion_of_another_label_is_replaced_at_once():
    unusable = cannot_score("2021-02-01")
    decision = decide(request="auto", end=END, every_days=7, built=BUILT, scored=unusable)
    assert decision == decided(True, "version 3 cannot score: it predicts another label")


def test_rerun_before_the_champion_does_not_train():
    before = dt.date(2021, 1, 20)
    unusable = cannot_score("2021-02-01")
    assert not decide(request="auto", end=before, every_days=7, built=BUILT, scored=unusable).due


def test_waiting_challenger_is_not_trained_daily():
    waiting = cannot_score("2021-02-10")
    decision = decide(request="auto", end=END, every_days=7, built=BUILT, scored=waiting)
    assert decision == decided(
        False,
        "the champion, version 3, was trained up to 2021-02-01; "
        "the next training is due 2021-02-17",
    )


def test_dates_seen_by_every_version_do_not_train():
    details = ScoreBatchDetails(champion=3, champion_end=END, unscored=(END,))
    line = JobLine(job="score_batch", status="nothing_to_do", details=details)
    assert not decide(request="auto", end=END, every_days=7, built=BUILT, scored=line).due


def test_only_a_request_trains_after_rollback():
    details = ScoreBatchDetails(champion=1, champion_end="2020-01-01", hold="version 1 is back")
    line = JobLine(job="score_batch", status="done", details=details)
    known = {"end": END, "every_days": 7, "built": BUILT, "scored": line}
    decision = decide(request="auto", **known, monitored=monitored(3))
    assert decision == decided(
        False, "version 1 is back: the next training needs a run with train=yes"
    )
    assert decide(request="yes", **known).due


def test_backfill_before_the_champion_does_not_train():
    assert not decide(
        request="auto", end=END, every_days=7, built=BUILT, scored=scored("2021-03-01")
    ).due


def test_enough_alarm_days_make_training_due():
    known = {
        "request": "auto",
        "end": END,
        "every_days": 7,
        "built": BUILT,
        "scored": scored("2021-02-10"),
    }
    assert not decide(**known, monitored=monitored(1)).due
    assert decide(**known, monitored=monitored(2)) == decided(
        True,
        "the champion, version 3, was trained up to 2021-02-10; 2 of the last 3 days were alarms: "
        "2021-02-11 miles: psi 0.4 (alarm)",
    )
    assert not decide(**known, monitored=monitored(3), on_alarm=None).due
    assert not decide(**known, monitored=JobLine(job="monitor_drift", status="nothing_to_do")).due


def test_missing_calendar_leaves_other_triggers():
    known = {"end": END, "every_days": None, "built": BUILT, "scored": scored("2020-01-01")}
    assert decide(request="auto", **known) == decided(
        False,
        "the champion, version 3, was trained up to 2020-01-01; training.every_days is not set",
    )
    assert decide(request="yes", **known).due
    assert decide(request="auto", **known, monitored=monitored(2)).due


def test_unknown_training_date_is_due():
    line = JobLine.read({"job": "score_batch", "status": "done", "details": {"unseen": True}})
    decision = decide(request="auto", end=END, every_days=7, built=BUILT, scored=line)
    assert decision == decided(True, "the date of the last training is unknown")
