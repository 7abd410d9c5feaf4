"""The known numbers of the real files, if these exist: pytest's header states it."""

import datetime as dt
import math
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
from pyspark.sql import SparkSession

from batchml.job_line import JobLine, MlflowIds, ScoreBatchDetails
from orchestration.training_due import EarlierJobs, decide
from tests.support.workbench import INTERPRETED, Workbench, make_workbench

MONTHS = {
    "2021-01": (76_518, 73_906, 2_612),
    "2021-02": (64_572, 61_920, 2_652),
    "2022-01": (62_495, 59_601, 2_894),
    "2022-02": (69_399, 66_078, 3_321),
}
PAIRS = {2021: ("2021-01-01", "2021-02-28"), 2022: ("2022-01-01", "2022-02-28")}
Delivered = tuple[Workbench, dict[str, dict[str, int]]]
COURSE_SPLIT = ("training.window_days=31", "training.holdout_days=28")


@pytest.fixture(scope="module", autouse=True)
def compiled(spark: SparkSession) -> Iterator[None]:
    """Plans are compiled, as in every job: here are rows enough for it to pay."""
    settings = {"spark.sql.codegen.wholeStage": "true", "spark.sql.codegen.factoryMode": "FALLBACK"}
    for name, value in settings.items():
        spark.conf.set(name, value)
    yield
    for name, value in INTERPRETED.items():
        spark.conf.set(name, value)


@pytest.fixture(scope="module")
def delivered(
    spark: SparkSession, compiled: None, empty_mlflow: Path, real_data: Path, tmp_path_factory
) -> Delivered:
    """Return a bench with the features of the four months, and ingest's details of each month."""
    bench = make_workbench(spark, empty_mlflow, tmp_path_factory.mktemp("real"))
    own = bench.places
    bench.places = replace(own, landing=str(real_data))
    said = {}
    for month in MONTHS:
        last = "31" if month.endswith("01") else "28"
        said[month] = bench.run("ingest", "taxi", f"{month}-01", f"{month}-{last}").details.rows
    for start, end in PAIRS.values():
        bench.run("build_features", "taxi", start, end)
    bench.places = own
    return bench, said


@pytest.fixture
def bench(workbench: Workbench, delivered: Delivered, real_data: Path) -> Workbench:
    """Return a copy of it for one test."""
    workbench.copy_of(delivered[0]).places = replace(workbench.places, landing=str(real_data))
    return workbench


def holdout_rmse(bench, name: str, end: str) -> float:
    bench.run("train_model", name, end, settings=COURSE_SPLIT)
    found = bench.run("evaluate_model", name, end).details.metrics["challenger"]["rmse"]
    assert isinstance(found, float)
    return found


def test_row_counts_match_the_published(delivered: Delivered):
    tables = ("bronze", "silver", "quarantine")
    assert delivered[1] == {
        month: dict(zip(tables, rows, strict=True)) for month, rows in MONTHS.items()
    }


def test_errors_match_the_published(bench):
    assert holdout_rmse(bench, "taxi", PAIRS[2021][1]) <= 5.75
    assert holdout_rmse(bench, "taxi", PAIRS[2022][1]) <= 5.30

    # The course's baseline extends taxi: other inputs, but the same rows by the same checks.
    shutil.copytree(f"{bench.places.lake}/taxi", f"{bench.places.lake}/taxi_linear")
    assert math.isclose(holdout_rmse(bench, "taxi_linear", PAIRS[2021][1]), 10.474, abs_tol=0.03)
    assert math.isclose(holdout_rmse(bench, "taxi_linear", PAIRS[2022][1]), 8.185, abs_tol=0.03)


def in_kilometres(source: Path, target: Path) -> None:
    """Write the month as if TLC had changed its miles to kilometres."""
    table = pq.read_table(source)
    place = table.schema.get_field_index("trip_distance")
    pq.write_table(
        table.set_column(place, "trip_distance", pc.multiply(table["trip_distance"], 1.609344)),
        target,
    )


def test_month_in_kilometres_makes_training_due(bench, tmp_path: Path):
    for job in ("train_model", "evaluate_model", "promote_model"):
        bench.run(job, "taxi", "2021-01-31")
    month = "green_tripdata_2021-02.parquet"
    in_kilometres(Path(bench.places.landing, month), tmp_path / "landing" / month)
    bench.places = replace(bench.places, landing=str(tmp_path / "landing"))
    days = ("2021-02-02", "2021-02-03")  # the day before was a snowstorm, and is odd by itself
    for job in ("ingest", "build_features", "score_batch"):
        bench.run(job, "taxi", *days)
    first, second = (bench.run("monitor_drift", "taxi", day).details for day in days)
    assert (first.level, first.alarm_days, second.alarm_days) == ("alarm", 1, 2)
    assert any(f"{days[0]} trip_distance: psi" in finding for finding in first.findings)
    trained_end = dt.date(2021, 1, 31)
    scored = ScoreBatchDetails(trained_end=trained_end, last_attempt_end=trained_end)
    earlier = EarlierJobs(
        built=JobLine(job="build_features", status="done"),
        scored=JobLine(
            job="score_batch", status="done", mlflow=MlflowIds(version=1), details=scored
        ),
        monitored=JobLine(job="monitor_drift", status="done", details=second),
    )
    taxi = bench.pipeline("taxi", "training.every_days=30")
    decision = decide("auto", dt.date(2021, 2, 3), taxi.training, earlier)
    assert decision.due
    assert "2 of the last 3 days were alarms" in decision.reason


def test_real_irises_are_ingested(bench):
    summary = bench.run("ingest", "iris", "2021-01-01", "2021-01-02")
    assert summary.details.rows == {"bronze": 300, "silver": 300, "quarantine": 0}
