"""monitor_drift on rides: no drift, a changed unit, a worse model, and unknown labels."""

from pathlib import Path

import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from batchml.errors import NothingToDo
from batchml.tracking import Tracker

DAYS = ("2021-01-15", "2021-01-21")


def score(bench, *dates: str):
    for job in ("score_batch", "monitor_drift"):
        summary = bench.run(job, "rides", *dates)
    return summary


def levels(bench) -> dict[tuple[str, str, str], str]:
    rows = bench.table("rides", "drift").collect()
    return {(str(row["event_date"]), row["subject"], row["measure"]): row["level"] for row in rows}


def kilometres(bench, first_day: int) -> None:
    """Deliver the month again, with miles in kilometres from a day on."""
    path = Path(bench.places.landing, "rides_2021-01.parquet")
    table = pq.read_table(path)
    late = pc.greater_equal(pc.day(table["begin"]), first_day)
    changed = pc.if_else(late, pc.multiply(table["miles"], 1.609344), table["miles"])
    pq.write_table(table.set_column(table.schema.get_field_index("miles"), "miles", changed), path)
    for job in ("ingest", "build_features"):
        bench.run(job, "rides", "2021-01-01", "2021-01-21")


def test_days_like_training_raise_no_alarm(shared_bench):
    summary = score(shared_bench, *DAYS)
    assert (summary.details.level, summary.details.alarm_days, summary.details.findings) == (
        "ok",
        0,
        (),
    )
    found = levels(shared_bench)
    assert {measure for _, subject, measure in found if subject == "miles"} == {
        "psi",
        "nulls",
        "unseen",
    }
    assert ("2021-01-20", "prediction", "rmse") in found
    assert ("2021-01-21", "prediction", "rmse") not in found, (
        "nobody has noted the minutes of the 21st yet"
    )


def test_mlflow_has_a_metric_per_measure(shared_bench):
    score(shared_bench, *DAYS)
    score(shared_bench, *DAYS)
    client = shared_bench.tracker("rides").client
    experiment = client.get_experiment_by_name("rides").experiment_id
    runs = client.search_runs([experiment], "tags.role = 'monitoring'")
    assert len(runs) == 1, "one run for all days"
    history = client.get_metric_history(runs[0].info.run_id, "psi.miles")
    assert len({point.step for point in history}) == 7


def test_repeated_monitoring_leaves_the_same_rows(shared_bench):
    score(shared_bench, *DAYS)
    before = shared_bench.rows("rides", "drift")
    score(shared_bench, *DAYS)
    assert shared_bench.rows("rides", "drift") == before


def test_changed_unit_alarms_until_trained(trained):
    kilometres(trained, first_day=18)
    assert score(trained, "2021-01-17").details.level == "ok"
    first = score(trained, "2021-01-18")
    assert (first.details.level, first.details.alarm_days) == ("alarm", 1)
    assert any("prediction: rmse" in finding for finding in first.details.findings)
    second = score(trained, "2021-01-19")
    assert second.details.alarm_days == 2, "what training.on_alarm asks for"
    trained.run("train_model", "rides", "2021-01-19")
    assert score(trained, "2021-01-19").details.alarm_days == 0, "the training has settled them"


def test_missing_champion_is_nothing_to_do(bench):
    with pytest.raises(NothingToDo, match="has no champion"):
        bench.run("monitor_drift", "rides", "2021-01-15")


def test_date_without_rows_is_nothing_to_do(shared_bench):
    with pytest.raises(NothingToDo, match="nothing to monitor"):
        shared_bench.run("monitor_drift", "rides", "2021-03-01")


def test_champion_without_references_is_nothing_to_do(shared_bench, monkeypatch):
    monkeypatch.setattr(Tracker, "has_artifact", lambda self, version, name: False)
    with pytest.raises(NothingToDo, match="version 1 has no drift reference"):
        shared_bench.run("monitor_drift", "rides", "2021-01-15")
