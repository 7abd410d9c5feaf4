"""Dates that are late, missed, corrected or outdated are worked on by a later run."""

import datetime as dt
import os
import shutil
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from batchml.errors import BadConfig, BadData, Missing, NothingToDo, Unchanged
from batchml.lake.ledger import Entry, LedgerTable
from batchml.lake.staging import Staged
from tests.support.rides import RIDES, train_and_promote, write_rides

CATCH_UP = {"catch_up": "yes"}
DAILY = {
    **RIDES,
    "source": {"kind": "csv", "path": "{yyyy}-{MM}-{dd}.csv", "event_time": "begin"},
}
IF_CHANGED = {"if_changed": "yes"}
JOBS = ("ingest", "build_features")
DAILY_JOBS = (*JOBS, "score_batch", "monitor_drift")


def write_day(bench, date: str, rows: int = 3, miles: float = 1.0) -> None:
    lines = [f"{date} {hour:02}:00:00,{miles},{3 * miles}" for hour in range(rows)]
    text = "\n".join(["begin,miles,minutes", *lines]) + "\n"
    Path(bench.places.landing, f"{date}.csv").write_text(text)


def daily(bench, **changes):
    bench.write_pipeline("rides", {**DAILY, **changes})
    return bench


def run_day(bench, date: str, options=CATCH_UP) -> dict[str, dict[str, str]]:
    """Run the jobs without a model; return the dates each has caught up with, and why."""
    reasons = {}
    for job in JOBS:
        with suppress(NothingToDo):
            bench.run(job, "rides", date, options=options)
        reasons[job] = {each: found.reason for each, found in bench.caught_up.items()}
    return reasons


def counts(bench, table: str) -> dict[str, int]:
    return {
        str(row[0]): row[1]
        for row in bench.table("rides", table).groupBy("event_date").count().collect()
    }


def ledger_entry(bench, table: str, date: str) -> Entry:
    ledger = LedgerTable(f"{bench.places.lake}/rides").read()
    assert ledger is not None
    entry = ledger.get(table, dt.date.fromisoformat(date))
    assert entry is not None
    return entry


def test_late_file_is_ingested_by_a_later_run(workbench):
    bench = daily(workbench)
    run_day(bench, "2021-01-01")
    assert bench.ledger("rides", "bronze") == {"2021-01-01": "missing"}
    write_day(bench, "2021-01-02")
    run_day(bench, "2021-01-02")
    write_day(bench, "2021-01-01")
    write_day(bench, "2021-01-03")
    reasons = run_day(bench, "2021-01-03")
    assert reasons == {
        "ingest": {"2021-01-01": "its delivery has arrived"},
        "build_features": {"2021-01-01": "not made yet"},
    }
    expected = {"2021-01-01": 3, "2021-01-02": 3, "2021-01-03": 3}
    assert counts(bench, "silver") == counts(bench, "features") == expected
    assert run_day(bench, "2021-01-03") == {"ingest": {}, "build_features": {}}


def test_missed_days_are_made_up_oldest_first(workbench):
    bench = daily(workbench, catch_up={"max_days": 2})
    for day in range(1, 7):
        write_day(bench, f"2021-01-0{day}")
    run_day(bench, "2021-01-01")
    bench.run("ingest", "rides", "2021-01-06", options=CATCH_UP)
    assert (list(bench.caught_up), bench.still_owed) == (["2021-01-02", "2021-01-03"], 2)
    bench.run("ingest", "rides", "2021-01-06", options=CATCH_UP)
    assert (list(bench.caught_up), bench.still_owed) == (["2021-01-04", "2021-01-05"], 0)


def test_first_run_owes_nothing_before_it(workbench):
    bench = daily(workbench)
    for day in ("2021-01-01", "2021-01-02"):
        write_day(bench, day)
    assert run_day(bench, "2021-01-02") == {"ingest": {}, "build_features": {}}
    asked = {**CATCH_UP, "catch_up_from": "2021-01-01"}
    assert run_day(bench, "2021-01-02", asked)["ingest"] == {
        "2021-01-01": "missed: no run has worked on it"
    }


def test_healing_works_on_owed_dates_alone(workbench):
    bench = daily(workbench)
    for day in range(1, 5):
        write_day(bench, f"2021-01-0{day}")
    run_day(bench, "2021-01-03")
    before = bench.rows("rides", "silver")
    for job in JOBS:
        bench.run(job, "rides", "2021-01-01", "2021-01-04", options={"catch_up": "only"})
    assert counts(bench, "features") == dict.fromkeys(
        ["2021-01-01", "2021-01-02", "2021-01-03", "2021-01-04"], 3
    )
    assert set(before) < set(bench.rows("rides", "silver"))
    with pytest.raises(NothingToDo, match="owes nothing"):
        bench.run("ingest", "rides", "2021-01-01", "2021-01-04", options={"catch_up": "only"})


def test_corrected_month_changes_only_its_dates(workbench):
    workbench.write_pipeline("rides", RIDES)
    landing = Path(workbench.places.landing)
    write_rides(landing, days=6)
    for job in JOBS:
        workbench.run(job, "rides", "2021-01-01", "2021-01-05")
    before = workbench.rows("rides", "bronze")
    table = pq.read_table(landing / "rides_2021-01.parquet")
    late = pa.table(
        {
            "begin": pa.array([dt.datetime(2021, 1, 2, 5)], pa.timestamp("us")),
            "miles": [9.0],
            "minutes": [37.0],
        }
    )
    pq.write_table(
        pa.concat_tables([table.slice(0, 30), late, table.slice(30)]),
        landing / "rides_2021-01.parquet",
    )
    reasons = run_day(workbench, "2021-01-06")
    looked_at = [f"2021-01-0{day}" for day in range(1, 6)]
    assert reasons["ingest"] == dict.fromkeys(looked_at, "its delivery has changed")
    assert reasons["build_features"] == {"2021-01-02": "made from older input"}
    changed = {row[0] for row in workbench.rows("rides", "bronze") if row not in before}
    assert {str(date) for date in changed} == {"2021-01-02", "2021-01-06"}
    assert counts(workbench, "features")["2021-01-02"] == 25
    assert run_day(workbench, "2021-01-06") == {"ingest": {}, "build_features": {}}


def test_changed_rejected_delivery_is_retried(workbench):
    bench = daily(workbench)
    write_day(bench, "2021-01-01")
    run_day(bench, "2021-01-01")
    bad = Path(bench.places.landing, "2021-01-02.csv")
    bad.write_text("begin,miles\n2021-01-02 00:00:00,1\n")
    with pytest.raises(BadData):
        bench.run("ingest", "rides", "2021-01-02")
    assert bench.ledger("rides", "bronze")["2021-01-02"] == "rejected"
    write_day(bench, "2021-01-03")
    assert run_day(bench, "2021-01-03")["ingest"] == {}
    write_day(bench, "2021-01-02")
    assert run_day(bench, "2021-01-03")["ingest"] == {"2021-01-02": "its delivery has changed"}
    assert bench.ledger("rides", "features") == dict.fromkeys(
        ["2021-01-01", "2021-01-02", "2021-01-03"], "done"
    )


def test_damaged_owed_file_blocks_no_other(workbench):
    bench = daily(workbench)
    for day in ("2021-01-01", "2021-01-03", "2021-01-04"):
        write_day(bench, day)
    Path(bench.places.landing, "2021-01-02.csv").write_text("begin,miles\n2021-01-02 00:00:00,1\n")
    run_day(bench, "2021-01-01")
    run_day(bench, "2021-01-04")
    assert bench.ledger("rides", "bronze") == {
        "2021-01-01": "done",
        "2021-01-02": "rejected",
        "2021-01-03": "done",
        "2021-01-04": "done",
    }
    assert bench.ledger("rides", "features")["2021-01-03"] == "done"


def test_accepted_date_is_not_owed(workbench):
    bench = daily(workbench)
    for day in ("2021-01-01", "2021-01-03"):
        write_day(bench, day)
        run_day(bench, day)
    bench.run("ingest", "rides", "2021-01-02", options={"accept": True})
    write_day(bench, "2021-01-02")
    assert run_day(bench, "2021-01-03")["ingest"] == {}
    with pytest.raises(NothingToDo, match="no date is missing"):
        bench.run("ingest", "rides", "2021-01-02", options={"accept": True})


def test_days_off_are_not_owed(workbench):
    source = {**DAILY["source"], "days": "weekdays", "holidays": ["2021-01-06"]}
    bench = daily(workbench, source=source)
    write_day(bench, "2021-01-01")  # a Friday
    run_day(bench, "2021-01-01")
    for day in range(2, 8):
        write_day(bench, f"2021-01-0{day}")
    assert list(run_day(bench, "2021-01-07")["ingest"]) == ["2021-01-04", "2021-01-05"]
    with pytest.raises(NothingToDo, match="no file is expected"):
        bench.run("ingest", "rides", "2021-01-09")
    assert "2021-01-09" not in bench.ledger("rides", "bronze"), "a Saturday"


def test_emptied_date_empties_later_tables(workbench):
    bench = daily(workbench)
    for day in ("2021-01-01", "2021-01-02"):
        write_day(bench, day)
        run_day(bench, day)
    write_day(bench, "2021-01-01", rows=0)
    run_day(bench, "2021-01-02")
    assert counts(bench, "bronze") == counts(bench, "features") == {"2021-01-02": 3}
    assert bench.ledger("rides", "features")["2021-01-01"] == "empty"


def test_added_feature_rebuilds_the_window(workbench):
    write_rides(Path(workbench.places.landing))
    workbench.write_pipeline("rides", RIDES)
    for job in JOBS:
        workbench.run(job, "rides", "2021-01-01", "2021-01-15")
    features = [*RIDES["features"], {"kind": "day_of_week", "of": "begin", "to": "weekday"}]
    inputs = {"numeric": ["miles", "hour", "weekday"]}
    workbench.write_pipeline("rides", {**RIDES, "features": features, "inputs": inputs})
    workbench.run("build_features", "rides", "2021-01-15")
    with pytest.raises(BadConfig, match="another definition") as refused:
        workbench.run("train_model", "rides", "2021-01-15")
    assert "--start 2021-01-03 --end 2021-01-14" in refused.value.remedy
    reasons = run_day(workbench, "2021-01-15")
    window = [f"2021-01-{day:02}" for day in range(3, 15)]
    assert reasons["build_features"] == dict.fromkeys(window, "made by another definition")
    assert workbench.run("train_model", "rides", "2021-01-15").rows_in == 13 * 24
    built = workbench.table("rides", "features").where("event_date >= '2021-01-03'")
    assert built.where("weekday IS NULL").count() == 0


def test_changed_check_is_applied_to_the_window(workbench):
    bench = daily(workbench)
    for day in ("2021-01-01", "2021-01-02"):
        write_day(bench, day)
        run_day(bench, day)
    check = {"name": "trip_is_long", "expect": "miles > 5"}
    daily(bench, checks=[check], max_rejected_share=1)
    assert run_day(bench, "2021-01-02")["ingest"] == {"2021-01-01": "made by another definition"}
    assert counts(bench, "quarantine") == {"2021-01-01": 3, "2021-01-02": 3}


def test_incomplete_file_counts_as_missing(workbench):
    bench = daily(workbench, source={**DAILY["source"], "done_marker": "{yyyy}-{MM}-{dd}.done"})
    write_day(bench, "2021-01-01")
    run_day(bench, "2021-01-01")
    assert bench.ledger("rides", "bronze") == {"2021-01-01": "missing"}
    Path(bench.places.landing, "2021-01-01.done").touch()
    write_day(bench, "2021-01-02")
    Path(bench.places.landing, "2021-01-02.done").touch()
    assert list(run_day(bench, "2021-01-02")["ingest"]) == ["2021-01-01"]


def test_file_that_grows_is_not_read(workbench, monkeypatch):
    bench = daily(workbench)
    write_day(bench, "2021-01-01")
    path = Path(bench.places.landing, "2021-01-01.csv")
    os.utime(path, (2_000_000_000, 2_000_000_000))  # later than the clock of the workbench

    def grow(_: float) -> None:
        with path.open("a") as file:
            file.write("2021-01-01 05:00:00,1.0,3.0\n")
        os.utime(path, (2_000_000_000, 2_000_000_000))

    monkeypatch.setattr("batchml.sources.files.time.sleep", grow)
    with pytest.raises(Missing):
        bench.run("ingest", "rides", "2021-01-01")
    assert bench.ledger("rides", "bronze") == {"2021-01-01": "missing"}


def test_unscored_dates_get_their_times_version(trained):
    trained.run("score_batch", "rides", "2021-01-17", options=CATCH_UP)
    outcomes = {date: each.outcome for date, each in trained.caught_up.items()}
    seen = {f"2021-01-{day:02}": "empty" for day in range(1, 15)}
    assert outcomes == seen | {"2021-01-15": "done", "2021-01-16": "done"}
    assert counts(trained, "predictions") == dict.fromkeys(
        ["2021-01-15", "2021-01-16", "2021-01-17"], 24
    )
    trained.run("monitor_drift", "rides", "2021-01-17", options=CATCH_UP)
    assert list(trained.caught_up) == ["2021-01-15", "2021-01-16"]
    for job in ("score_batch", "monitor_drift"):
        trained.run(job, "rides", "2021-01-17", options=CATCH_UP)
        assert trained.caught_up == {}


def test_rebuilt_features_outdate_later_tables(trained):
    for job in ("score_batch", "monitor_drift"):
        trained.run(job, "rides", "2021-01-15", "2021-01-17", options=CATCH_UP)
    landing = Path(trained.places.landing) / "rides_2021-01.parquet"
    table = pq.read_table(landing)
    pq.write_table(table.slice(0, 15 * 24 + 3), landing)
    reasons = {}
    for job in (*JOBS, "score_batch", "monitor_drift"):
        with suppress(NothingToDo):
            trained.run(job, "rides", "2021-01-17", options=CATCH_UP)
        reasons[job] = sorted(trained.caught_up)
    assert reasons["build_features"] == reasons["score_batch"] == ["2021-01-16"]
    assert counts(trained, "predictions") == {"2021-01-15": 24, "2021-01-16": 3}


def test_unchanged_dates_are_left_alone(trained):
    for job in DAILY_JOBS:
        trained.run(job, "rides", "2021-01-15", "2021-01-16")
    before = ledger_entry(trained, "drift", "2021-01-16")
    details = {}
    for job in DAILY_JOBS:
        with pytest.raises(Unchanged, match=f"nothing has changed since {job} worked on") as left:
            trained.run(job, "rides", "2021-01-15", "2021-01-16", options=IF_CHANGED)
        details[job] = left.value.summary and left.value.summary.details
    assert ledger_entry(trained, "drift", "2021-01-16") == before
    # training_due decides by these.
    assert (details["score_batch"].champion, details["monitor_drift"].alarm_days) == (1, 0)


def test_moved_table_has_no_unchanged_date(workbench):
    bench = daily(workbench)
    days = ("2021-01-01", "2021-01-02")
    for day in days:
        write_day(bench, day)
        run_day(bench, day)
    shutil.rmtree(f"{bench.places.tables_of('rides')}/features")
    for day in days:
        bench.run("build_features", "rides", day, options=IF_CHANGED)
    assert counts(bench, "features") == dict.fromkeys(days, 3)


def test_day_off_leaves_the_others_unchanged(workbench):
    bench = daily(workbench, source={**DAILY["source"], "days": "weekdays"})
    write_day(bench, "2021-01-01")
    run_day(bench, "2021-01-01")
    for job in JOBS:
        with pytest.raises(Unchanged):  # the second is a Saturday
            bench.run(job, "rides", "2021-01-01", "2021-01-02", options=IF_CHANGED)


def test_changed_dates_alone_are_replaced(trained):
    for job in DAILY_JOBS:
        trained.run(job, "rides", "2021-01-15", "2021-01-16")
    before = [ledger_entry(trained, "drift", date) for date in ("2021-01-15", "2021-01-16")]
    landing = Path(trained.places.landing) / "rides_2021-01.parquet"
    pq.write_table(pq.read_table(landing).slice(0, 15 * 24 + 3), landing)
    for job in DAILY_JOBS:
        trained.run(job, "rides", "2021-01-15", "2021-01-16", options=IF_CHANGED)
    assert counts(trained, "predictions") == {"2021-01-15": 24, "2021-01-16": 3}
    assert ledger_entry(trained, "drift", "2021-01-15") == before[0]
    assert ledger_entry(trained, "drift", "2021-01-16") != before[1]


def test_other_version_makes_dates_changed(trained):
    trained.run("score_batch", "rides", "2021-01-16")
    trained.run("train_model", "rides", "2021-01-15")
    with pytest.raises(Unchanged):  # the date keeps its version
        trained.run("score_batch", "rides", "2021-01-16", options=IF_CHANGED)
    trained.run("score_batch", "rides", "2021-01-16", options=IF_CHANGED | {"with": 2})
    assert trained.table("rides", "predictions").first()["model_version"] == 2


def test_edited_check_makes_dates_changed(workbench):
    bench = daily(workbench)
    write_day(bench, "2021-01-01")
    bench.run("ingest", "rides", "2021-01-01")
    daily(bench, checks=[{"name": "long", "expect": "miles > 5"}], max_rejected_share=1.0)
    bench.run("ingest", "rides", "2021-01-01", options=IF_CHANGED)
    assert counts(bench, "quarantine") == {"2021-01-01": 3}


def test_rollback_records_what_it_scores_again(trained):
    trained.run("score_batch", "rides", "2021-01-16")
    entry = ledger_entry(trained, "predictions", "2021-01-16")
    train_and_promote(trained, settings=("gate.min_improvement=-0.5",))
    trained.run("score_batch", "rides", "2021-01-21")
    trained.run("promote_model", "rides", "2021-01-21", options={"rollback": True})
    assert ledger_entry(trained, "predictions", "2021-01-16") == entry
    again = ledger_entry(trained, "predictions", "2021-01-21")
    assert (again.state, again.rows, again.definition) == ("done", 24, entry.definition)
    trained.run("score_batch", "rides", "2021-01-21", options=CATCH_UP)
    assert "2021-01-21" not in trained.caught_up
    assert ledger_entry(trained, "predictions", "2021-01-21").identity == again.identity


def test_partial_export_empties_no_earlier_date(workbench):
    source = {"kind": "csv", "path": "export.csv", "event_time": "begin"}
    bench = daily(workbench, source=source)
    export = Path(bench.places.landing, "export.csv")
    lines = [f"2021-01-0{day} 08:00:00,{day}.0,3.0" for day in range(1, 5)]
    export.write_text("\n".join(["begin,miles,minutes", *lines[:3]]) + "\n")
    for job in JOBS:
        bench.run(job, "rides", "2021-01-01", "2021-01-03")
    export.write_text("\n".join(["begin,miles,minutes", *lines[2:]]) + "\n")
    run_day(bench, "2021-01-04")
    everything = dict.fromkeys([f"2021-01-0{day}" for day in range(1, 5)], 1)
    assert counts(bench, "bronze") == counts(bench, "features") == everything
    assert run_day(bench, "2021-01-04")["ingest"] == {}


@pytest.mark.parametrize("commits", [0, 1, 2])
def test_run_killed_between_commits_is_repaired(workbench, monkeypatch, commits: int):
    bench = daily(workbench)
    for day in ("2021-01-01", "2021-01-02"):
        write_day(bench, day)
        run_day(bench, day)
    write_day(bench, "2021-01-01", miles=2.0)
    commit, calls = Staged.commit, []

    def end_after(staged, dates=None):
        calls.append(staged)
        if len(calls) > commits:
            raise RuntimeError("killed")
        return commit(staged, dates)

    monkeypatch.setattr(Staged, "commit", end_after)
    with pytest.raises(RuntimeError, match="killed"):
        bench.run("ingest", "rides", "2021-01-01")
    monkeypatch.undo()
    reasons = run_day(bench, "2021-01-02")
    assert reasons["ingest"] == {"2021-01-01": "a run was ended while it wrote it"}
    for table in ("bronze", "silver", "features"):
        rows = bench.table("rides", table).where("event_date = '2021-01-01'")
        assert {row["miles"] for row in rows.collect()} == {2.0}, table


def test_damaged_file_rejects_no_other_date(workbench):
    bench = daily(workbench)
    for day in ("2021-01-01", "2021-01-03", "2021-01-04"):
        write_day(bench, day)
    Path(bench.places.landing, "2021-01-02.csv").write_text("begin,miles\n2021-01-02 00:00:00,1\n")
    with pytest.raises(BadData):
        bench.run("ingest", "rides", "2021-01-01", "2021-01-03")
    options = {**CATCH_UP, "catch_up_from": "2021-01-01"}
    run_day(bench, "2021-01-04", options)
    states = bench.ledger("rides", "bronze")
    assert states == {
        "2021-01-01": "done",
        "2021-01-02": "rejected",
        "2021-01-03": "done",
        "2021-01-04": "done",
    }


def test_landing_folder_with_scheme_is_listed(workbench):
    landing = f"file://{workbench.places.landing}"
    bench = daily(replace(workbench, places=replace(workbench.places, landing=landing)))
    for day in ("2021-01-01", "2021-01-02", "2021-01-03"):
        write_day(replace(bench, places=workbench.places), day)
    run_day(bench, "2021-01-01")
    assert list(run_day(bench, "2021-01-03")["ingest"]) == ["2021-01-02"]


def test_table_that_was_moved_away_is_owed(workbench):
    bench = daily(workbench)
    write_day(bench, "2021-01-01")
    run_day(bench, "2021-01-01")
    shutil.rmtree(f"{bench.places.tables_of('rides')}/features")
    options = {"catch_up": "only"}
    bench.run("build_features", "rides", "2021-01-01", "2021-01-01", options=options)
    assert bench.caught_up["2021-01-01"].reason == "not made yet"
    assert counts(bench, "features") == {"2021-01-01": 3}
