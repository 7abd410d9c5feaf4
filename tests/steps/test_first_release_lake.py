"""A lake and registry that commit 2501f07 wrote still score, report, roll back and reproduce."""

import datetime as dt
from pathlib import Path

import pytest
from pyspark.sql import SparkSession

from batchml.config import Places
from tests.fixtures.archive import DATABASE, unpack
from tests.fixtures.make_first_release import ARCHIVE
from tests.support.rides import aliases
from tests.support.workbench import Workbench

# Of version 1, as the jobs of that commit logged them.
METRICS = {
    "train_rows": 143,
    "train_rmse": 0.0631001182,
    "holdout_rows": 47,
    "holdout_rmse": 0.0633688766,
}
SCORED_THEN = {"11": 1, "12": 1, "13": 1, "14": 2, "15": 2}


@pytest.fixture
def released(spark: SparkSession, tmp_path: Path) -> Workbench:
    """Return a workbench on the unpacked archive: version 2 is champion and version 1 previous."""
    unpack(ARCHIVE, tmp_path)
    places = Places(
        landing=str(tmp_path / "landing"),
        lake=str(tmp_path / "lake"),
        tracking_uri=f"sqlite:///{tmp_path / DATABASE}",
        artifacts=str(tmp_path / "artifacts"),
    )
    return Workbench(spark, places, tmp_path / "conf")


def scored_by(bench: Workbench) -> dict[str, int]:
    predictions = bench.table("rides", "predictions")
    pairs = predictions.select("event_date", "model_version").distinct().collect()
    return {f"{date:%d}": version for date, version in pairs}


def test_stored_champion_scores_a_new_date(released: Workbench):
    summary = released.run("score_batch", "rides", "2021-01-16")
    assert (summary.rows_out, summary.mlflow.version) == (24, 2)
    assert (str(summary.details.trained_end), summary.details.unseen) == ("2021-01-13", True)
    assert summary.details.realised["rmse"] == pytest.approx(0.0657221945, rel=1e-8)
    assert scored_by(released) == SCORED_THEN | {"16": 2}


def test_stored_version_is_monitored(released: Workbench):
    before = released.rows("rides", "drift")
    summary = released.run("monitor_drift", "rides", "2021-01-14", "2021-01-15")
    assert summary.details.alarm_days == 0
    assert released.rows("rides", "drift") == before, "the same findings as then"


def test_stored_tables_are_reported(released: Workbench):
    summary = released.run("report_day", "rides", "2021-01-15")
    rows = {"bronze": 24, "silver": 23, "quarantine": 1, "features": 23, "predictions": 23}
    assert summary.details.rows == rows
    assert summary.details.rejected == {"miles_are_positive": 1}
    client = released.tracker("rides").client
    page = Path(client.download_artifacts(summary.mlflow.run_id, summary.mlflow.artifact))
    assert "Champion is version 2, trained up to 2021-01-13." in page.read_text()


def test_rollback_returns_to_stored_previous_version(released: Workbench):
    assert scored_by(released) == SCORED_THEN
    summary = released.run("promote_model", "rides", "2021-01-16", options={"rollback": True})
    assert (summary.details.withdrawn, summary.details.restored) == (2, 1)
    assert summary.details.dates == (dt.date(2021, 1, 14), dt.date(2021, 1, 15))
    assert aliases(released) == {"challenger": 2, "champion": 1, "previous": None}
    assert scored_by(released) == dict.fromkeys(SCORED_THEN, 1)


def test_stored_record_reproduces_the_metrics(released: Workbench):
    summary = released.run("train_model", "rides", "2021-02-01", options={"reproduce": 1})
    assert summary.mlflow.version == 1
    metrics = summary.details.metrics
    names = ("mae", "r2", "rmse", "rows")
    assert sorted(metrics) == [f"{part}_{name}" for part in ("holdout", "train") for name in names]
    for name, value in METRICS.items():
        assert metrics[name].was == pytest.approx(value, rel=1e-8)
        assert metrics[name].now == pytest.approx(value, rel=1e-8)


def results_of_verdicts(bench: Workbench) -> list[tuple]:
    """Return the verdicts without their wording and without a column of later releases."""
    verdicts = bench.table("rides", "verdicts").drop("reason", "needs_approval")
    return sorted(map(tuple, verdicts.collect()), key=repr)


def test_stored_versions_are_compared_with_equal_results(released: Workbench):
    before = results_of_verdicts(released)
    summary = released.run("evaluate_model", "rides", "2021-01-13")
    assert summary.details.passed
    assert set(summary.details.metrics) == {"challenger", "baseline", "champion"}
    again = released.table("rides", "verdicts")
    assert again.where("model_version = 2 AND NOT needs_approval").count() == 1
    assert results_of_verdicts(released) == before


def test_tables_of_stored_versions_are_maintained(released: Workbench):
    options: dict[str, object] = {"dry_run": True}
    summary = released.run("maintain_tables", "rides", "2021-01-16", options=options)
    assert summary.details.kept_models == (1, 2)
