"""The state of a pipeline: what is wrong, since when, and what to do."""

import datetime as dt
from dataclasses import replace
from operator import attrgetter
from pathlib import Path

import pytest

from batchml.config import conf_folder, load_pipeline
from batchml.config.freshness import DayVolume, Freshness, Late
from batchml.config.sources import days_between
from batchml.lake.ledger import Entry, LedgerTable
from batchml.report.conditions import Approval, Background, PipelineState, state_of
from batchml.report.days import Cell, DayMap
from batchml.workflow.conditions import Evaluation, is_answered, read_approval, read_state, waits
from batchml.workflow.day_map import Span
from batchml.workflow.stored import read_stored
from tests.support.lakes import places, write_lake, write_table

FIRST = dt.date(2021, 1, 1)
DATES = days_between(FIRST, FIRST + dt.timedelta(days=4))
LAST = DATES[-1]
NOW = dt.datetime(2021, 1, 6, 9, tzinfo=dt.UTC)
LATE = Late(
    since=NOW - dt.timedelta(hours=9),
    dates=2,
    first=DATES[3],
    table="bronze",
    reason="no run has worked on it",
    remedy="make heal PIPELINE=taxi",
)
APPROVAL = Approval(3, NOW, "it passed the gate", "approve 3", is_in_airflow=True)
EVALUATION = Evaluation(3, LAST, passed=True, needs_approval=False, reason="good", time=NOW)


def fresh(late: Late | None = None, *volume: DayVolume) -> Freshness:
    return Freshness(pipeline="taxi", late=late, volume=volume)


def day_map(*cells: Cell) -> DayMap:
    """Return a map in which version 2 scored all dates, replaced by ``cells`` where they differ."""
    known = {}
    for date in DATES:
        known["bronze", date] = Cell(date, "bronze", "done", rows=3)
        known["drift", date] = Cell(date, "drift", "done", rows=3, version=2, level="ok")
    known |= {(cell.table, cell.date): cell for cell in cells}
    return DayMap("taxi", DATES, known)


def alarm(date: dt.date, version: int | None = 2) -> Cell:
    return Cell(date, "drift", "done", rows=3, version=version, level="alarm")


def only(state: PipelineState):
    """Return the only condition as kind, since and action."""
    (condition,) = state.conditions
    return condition.kind, condition.since_text, condition.action


def test_pipeline_without_findings_is_good():
    assert only(state_of(fresh(), day_map())) == ("good", "2021-01-01", "none")


def test_good_begins_after_the_last_alarm():
    state = state_of(fresh(), day_map(alarm(DATES[1])))
    assert only(state) == ("good", "2021-01-03", "none")


def test_late_pipeline_names_time_and_command():
    condition = state_of(fresh(LATE), day_map()).conditions[0]
    assert (condition.kind, condition.since_text) == ("late", "2021-01-06 00:00 UTC")
    assert condition.remedy == "make heal PIPELINE=taxi"


def test_lateness_covers_open_dates():
    missing = Cell(LAST, "bronze", "missing", run="r")
    assert only(state_of(fresh(LATE), day_map(missing)))[0] == "late"


def test_late_pipeline_without_a_run_is_late():
    assert state_of(fresh(LATE), None).kind == "late"


def test_late_snapshot_is_triggered():
    late = LATE.model_copy(update={"remedy": "trigger the DAG iris"})
    assert state_of(fresh(late), day_map()).conditions[0].action == "trigger"


def test_pipeline_without_a_run_is_not_run():
    condition = state_of(fresh(), None).conditions[0]
    assert (condition.kind, condition.remedy) == ("not run", "make run PIPELINE=taxi")


@pytest.mark.parametrize(
    ("state", "remedy"),
    [
        (
            "missing",
            "make heal PIPELINE=taxi when it has arrived, "
            "make accept PIPELINE=taxi DATE=2021-01-02 if it never comes",
        ),
        ("rejected", "correct the delivery, then make heal PIPELINE=taxi"),
        ("outdated", "make heal PIPELINE=taxi"),
    ],
)
def test_open_date_has_its_command(state, remedy: str):
    cell = Cell(DATES[1], "bronze", state, "why", rows=0)
    (condition,) = state_of(fresh(), day_map(cell)).conditions
    assert (condition.kind, condition.since, condition.remedy) == (state, DATES[1], remedy)
    assert condition.reason == f"1 {state} (why)"


def test_date_being_written_is_healed():
    reason = "a run is writing it, or was ended while it wrote it"
    cell = Cell(LAST, "bronze", "owed", reason, run="r")
    (condition,) = state_of(fresh(), day_map(cell)).conditions
    assert (condition.kind, condition.remedy) == ("owed", "make heal PIPELINE=taxi")


def test_worst_of_open_dates_is_the_state():
    cells = (Cell(DATES[0], "bronze", "outdated"), Cell(DATES[2], "bronze", "rejected", "why"))
    (condition,) = state_of(fresh(), day_map(*cells)).conditions
    assert (condition.kind, condition.reason) == ("rejected", "1 rejected, 1 outdated (why)")


def test_date_before_its_run_is_good():
    assert state_of(fresh(), day_map(Cell(LAST, "bronze", "missing", "no file"))).kind == "good"


def test_present_month_is_not_missing():
    cell = Cell(LAST, "bronze", "missing", "no file", run="r")
    assert state_of(fresh(), day_map(cell), None, Background([LAST])).kind == "good"


SNAPSHOT = Background(is_snapshot=True)


def test_earlier_snapshot_cannot_be_closed():
    cell = Cell(DATES[1], "bronze", "rejected", "why")
    assert state_of(fresh(), day_map(cell), None, SNAPSHOT).kind == "good"


def test_features_of_an_earlier_snapshot_are_healed():
    cells = (Cell(DATES[1], "bronze", "rejected"), Cell(DATES[1], "features", "outdated", "why"))
    state = state_of(fresh(), day_map(*cells), None, SNAPSHOT)
    assert only(state) == ("outdated", "2021-01-02", "heal")


def test_newest_snapshot_is_triggered():
    cell = Cell(LAST, "bronze", "rejected", "why")
    (condition,) = state_of(fresh(), day_map(cell), None, SNAPSHOT).conditions
    assert (condition.kind, condition.action) == ("rejected", "trigger")
    assert condition.remedy.startswith("trigger the DAG taxi: ")


def test_drift_alarm_begins_with_its_first_date():
    state = state_of(fresh(), day_map(alarm(DATES[3]), alarm(LAST)))
    assert only(state) == ("alarm", "2021-01-04", "look")


def test_alarm_of_a_new_version_can_be_rolled_back():
    (condition,) = state_of(fresh(), day_map(alarm(LAST, version=3))).conditions
    assert condition.remedy == "make rollback PIPELINE=taxi"
    assert "began with version 3" in condition.reason


def test_alarms_of_several_versions_are_not_rolled_back():
    # A rollback would restore version 3, which has alarms as well.
    state = state_of(fresh(), day_map(alarm(DATES[3], version=3), alarm(LAST, version=4)))
    assert only(state) == ("alarm", "2021-01-04", "look")


@pytest.mark.parametrize("versions", [(2, None), (None, 3)])
def test_unknown_version_is_not_rolled_back(versions):
    ok = replace(alarm(DATES[3], versions[0]), level="ok")
    assert only(state_of(fresh(), day_map(ok, alarm(LAST, versions[1]))))[2] == "look"


def test_volume_alarm_names_the_rows():
    volume = DayVolume(date=LAST, rows=12, usual=2140, level="alarm")
    (condition,) = state_of(fresh(None, volume), day_map()).conditions
    assert (condition.kind, condition.since) == ("alarm", LAST)
    assert condition.reason.startswith("12 rows on 2021-01-05")


def test_approval_is_given_in_airflow():
    assert only(state_of(fresh(), day_map(), APPROVAL)) == (
        "approval",
        "2021-01-06 09:00 UTC",
        "approve",
    )


def test_undecided_gate_is_approved_by_command():
    approval = replace(APPROVAL, is_in_airflow=False)
    (condition,) = state_of(fresh(), day_map(), approval).conditions
    assert (condition.action, condition.remedy) == ("command", "approve 3")


def test_most_urgent_condition_comes_first():
    state = state_of(fresh(LATE), day_map(alarm(LAST)), APPROVAL)
    assert [condition.kind for condition in state.conditions] == ["late", "alarm", "approval"]


def test_longest_late_pipeline_comes_first():
    later = LATE.model_copy(update={"since": NOW})
    states = [
        replace(state_of(fresh(), day_map()), pipeline="good"),
        replace(state_of(fresh(later), day_map()), pipeline="later"),
        replace(state_of(fresh(LATE), day_map()), pipeline="first"),
    ]
    ordered = sorted(states, key=attrgetter("urgency"))
    assert [state.pipeline for state in ordered] == ["first", "later", "good"]


@pytest.mark.parametrize(
    ("gate", "evaluation", "expected"),
    [
        ({"approval": "manual"}, {}, True),
        ({}, {}, False),
        ({"approval": "manual"}, {"passed": False}, False),
        ({}, {"passed": False, "needs_approval": True}, True),
        ({"approval": "manual"}, {"time": NOW - dt.timedelta(hours=13)}, False),
        ({"approval": "manual"}, {"time": None}, True),
    ],
)
def test_version_waits_for_a_user(gate, evaluation, expected: bool):
    taxi = load_pipeline("taxi", conf_folder())
    settings = taxi.gate.model_copy(update=gate)
    assert waits(replace(EVALUATION, **evaluation), settings, NOW) is expected


@pytest.mark.parametrize(("version", "expected"), [(2, None), (3, 3)])
def test_version_that_serves_does_not_wait(tmp_path: Path, version: int, expected: int | None):
    taxi = load_pipeline("taxi", conf_folder())
    manual = taxi.gate.model_copy(update={"approval": "manual"})
    pipeline = taxi.model_copy(update={"gate": manual})
    write_lake(tmp_path, pipeline, DATES)  # version 2 scores
    verdict = {"event_date": LAST, "model_version": version, "passed": True, "reason": "good"}
    folder = places(tmp_path).tables_of("taxi")
    write_table(f"{folder}/verdicts", [verdict])
    approval = read_approval(read_stored(places(tmp_path), pipeline), NOW)
    assert (approval and approval.version) == expected


def undecided(folder: Path, approval: str, now: dt.datetime) -> Approval | None:
    """Return the approval of version 3, undecided, after version 2 has scored the next date."""
    taxi = load_pipeline("taxi", conf_folder())
    pipeline = taxi.model_copy(update={"gate": taxi.gate.model_copy(update={"approval": approval})})
    write_lake(folder, pipeline, DATES[:-1])
    root = places(folder).tables_of("taxi")
    verdict = {"event_date": DATES[-2], "model_version": 3, "passed": False, "reason": "no AUC"}
    write_table(f"{root}/verdicts", [verdict | {"needs_approval": True}])
    if approval == "automatic":
        scored = Entry("predictions", LAST, "done", 3, run="r", time=now)
        LedgerTable(root).write([scored])
    return read_approval(read_stored(places(folder), pipeline), now)


def test_undecided_version_waits_after_the_next_date(tmp_path: Path):
    tomorrow = dt.datetime.now(dt.UTC) + dt.timedelta(days=1)
    approval = undecided(tmp_path, "automatic", tomorrow)
    assert approval is not None
    assert approval.version == 3


@pytest.mark.parametrize(("hours", "is_in_airflow"), [(1, True), (13, False)])
def test_rejection_by_timeout_leads_to_the_command(tmp_path: Path, hours: int, is_in_airflow: bool):
    now = dt.datetime.now(dt.UTC) + dt.timedelta(hours=hours)
    approval = undecided(tmp_path, "manual", now)
    assert approval is not None
    assert approval.is_in_airflow is is_in_airflow


def test_unreadable_table_is_not_good():
    background = Background(unreadable=["drift cannot be read: cut", "drift cannot be read: cut"])
    (condition,) = state_of(fresh(), day_map(), None, background).conditions
    assert (condition.kind, condition.reason) == ("unknown", "drift cannot be read: cut")


def test_alarm_is_before_an_unreadable_table():
    background = Background(unreadable=["verdicts cannot be read: cut"])
    state = state_of(fresh(), day_map(alarm(LAST)), None, background)
    assert [condition.kind for condition in state.conditions] == ["alarm", "unknown"]


@pytest.mark.parametrize("table", ["drift", "predictions", "verdicts"])
def test_cut_commit_makes_the_state_unknown(tmp_path: Path, table: str):
    taxi = load_pipeline("taxi", conf_folder())
    write_lake(tmp_path, taxi, DATES)
    folder = Path(places(tmp_path).tables_of("taxi"))
    verdict = {"event_date": LAST, "model_version": 2, "passed": True, "reason": "good"}
    write_table(str(folder / "verdicts"), [verdict])
    commit = next((folder / table / "_delta_log").glob("*.json"))
    commit.write_text(commit.read_text()[:40])
    stored = read_stored(places(tmp_path), taxi)
    state = read_state(stored, fresh(), Span(5, LAST), NOW)
    assert state.kind == "unknown"
    assert state.conditions[0].reason.startswith(f"{table} cannot be read: ")


@pytest.mark.parametrize(("name", "has_dag"), [("taxi", True), ("taxi_linear", False)])
def test_pipeline_without_schedule_has_no_dag(tmp_path: Path, name: str, has_dag: bool):
    pipeline = load_pipeline(name, conf_folder())
    stored = read_stored(places(tmp_path), pipeline)
    assert read_state(stored, fresh(), Span(1, LAST), NOW).has_dag is has_dag


def test_rejected_snapshot_is_over_after_the_next(tmp_path: Path):
    iris = load_pipeline("iris", conf_folder())
    write_lake(tmp_path, iris, DATES)
    rejected = Entry("bronze", DATES[1], "rejected", 0, run="r")
    LedgerTable(places(tmp_path).tables_of("iris")).write([rejected])
    stored = read_stored(places(tmp_path), iris)
    state = read_state(stored, fresh(), Span(5, LAST), NOW)
    assert state.day_map.mark(DATES[1]) == "rejected"
    assert "rejected" not in [condition.kind for condition in state.conditions]


def state_of_rejected(folder: Path, span: Span) -> PipelineState:
    """Return the state of taxi 35 days after a date that was rejected."""
    taxi = load_pipeline("taxi", conf_folder())
    dates = days_between(FIRST, FIRST + dt.timedelta(days=35))
    write_lake(folder, taxi, dates)
    rejected = Entry("bronze", FIRST, "rejected", 0, run="r")
    LedgerTable(places(folder).tables_of("taxi")).write([rejected])
    stored = read_stored(places(folder), taxi)
    return read_state(stored, fresh(), span, dt.datetime(2021, 2, 6, 9, tzinfo=dt.UTC))


@pytest.mark.parametrize("days", [1, 30, 400])
def test_state_does_not_depend_on_the_map(tmp_path: Path, days: int):
    state = state_of_rejected(tmp_path, Span(days, dt.date(2021, 2, 5), monitored_days=days))
    assert only(state)[:2] == ("rejected", "2021-01-01")
    assert len(state.day_map.dates) == days


def test_past_map_has_no_conditions(tmp_path: Path):
    end = dt.date(2021, 2, 4)
    state = state_of_rejected(tmp_path, Span(400, dt.date(2021, 2, 5), end))
    assert (state.conditions, state.day_map.dates[-1]) == ((), end)


@pytest.mark.parametrize(
    ("date", "hours", "expected"),
    [
        (LAST, 1, False),
        (LAST + dt.timedelta(days=1), 1, True),
        (LAST + dt.timedelta(days=1), -1, False),
    ],
)
def test_older_version_on_later_date_is_an_answer(date: dt.date, hours: int, expected: bool):
    entry = Entry("predictions", date, "done", 3, time=NOW + dt.timedelta(hours=hours))
    assert is_answered(EVALUATION, {date: entry}) is expected
