"""Features that look back, and a baseline that is a forecast: the pipeline `bikes`."""

import csv
import datetime as dt
from pathlib import Path

import pytest

from local.samples.bikes import bike_hours
from tests.support.workbench import Workbench, make_workbench

DAYS = 11  # hours are missing on the 3rd and the 9th, and each lag meets one of them
FIRST, LAST = "2011-01-01", f"2011-01-{DAYS}"
LAGS = ("event_date", "instant", "count_a_day_ago", "count_a_week_ago")


def write(landing: Path, lines: list[list[object]]) -> None:
    with (landing / "bike_hour.csv").open("w", newline="") as handle:
        csv.writer(handle).writerows(lines)


@pytest.fixture(scope="module")
def bench(spark, empty_mlflow: Path, tmp_path_factory: pytest.TempPathFactory) -> Workbench:
    """Return features of some days of synthetic hours, which only the last test changes."""
    made = make_workbench(spark, empty_mlflow, tmp_path_factory.mktemp("bikes"))
    write(Path(made.places.landing), list(bike_hours())[: DAYS * 24])
    made.run("ingest", "bikes", FIRST, LAST)
    made.run("build_features", "bikes", FIRST, LAST)
    return made


def lags(bench, date: str) -> list[tuple[object, ...]]:
    rows = bench.table("bikes", "features").where(f"event_date = '{date}'").select(*LAGS).collect()
    return sorted(tuple(row) for row in rows)


def test_lag_is_null_without_earlier_count(bench):
    silver = bench.table("bikes", "silver").select("event_date", "hr", "instant", "cnt").collect()
    counted = {(row["event_date"], row["hr"]): float(row["cnt"]) for row in silver}
    expected = {
        (row["event_date"], row["instant"]): tuple(
            counted.get((row["event_date"] - dt.timedelta(days=days), row["hr"])) for days in (1, 7)
        )
        for row in silver
    }
    found = {
        tuple(row[:2]): tuple(row[2:])
        for row in bench.table("bikes", "features").select(*LAGS).collect()
    }
    assert found == expected
    assert any(
        None in pair for (date, _), pair in expected.items() if date > dt.date(2011, 1, 8)
    ), "a gap is met"


def test_single_day_has_the_same_features(bench):
    before = lags(bench, LAST)
    bench.run("build_features", "bikes", LAST)
    assert lags(bench, LAST) == before
    assert None not in {row[2] for row in before[:3]}


def test_baseline_is_last_weeks_count(bench):
    small = ("training.window_days=8", "training.holdout_days=3", "training.min_rows=100")
    # A model of one small tree is worse than last week's count.
    poor = (*small, "estimator.params.n_estimators=1", "gate.limit=1000")
    bench.run("train_model", "bikes", LAST, settings=poor)
    evaluated = bench.run("evaluate_model", "bikes", LAST, settings=poor).details
    baseline = evaluated.metrics["baseline"]["rmse"]
    holdout = bench.table("bikes", "features").where("event_date > '2011-01-08'")
    pairs = holdout.select("cnt", "count_a_week_ago").collect()
    known = [(count - before) ** 2 for count, before in pairs if before is not None]
    assert baseline == pytest.approx((sum(known) / len(known)) ** 0.5, rel=0.1)
    assert evaluated.reason.endswith(f"is no better than count_a_week_ago's {baseline:.4g}")


def test_no_feature_looks_ahead(bench):
    """Whatever is counted from the 10th on changes no feature of the 10th."""
    before = lags(bench, "2011-01-10")
    lines = list(bike_hours())[: DAYS * 24]
    changed = [
        [*line[:14], 7, 7, 14] if str(line[1]) in ("1/10/11", "1/11/11") else line for line in lines
    ]
    write(Path(bench.places.landing), changed)
    bench.run("ingest", "bikes", "2011-01-10", LAST)
    bench.run("build_features", "bikes", "2011-01-10", LAST)
    features = bench.table("bikes", "features")
    assert {
        row[0] for row in features.where("event_date = '2011-01-10'").select("cnt").collect()
    } == {14}
    assert lags(bench, "2011-01-10") == before
    after = features.where(f"event_date = '{LAST}'").select("count_a_day_ago").distinct().collect()
    assert {row[0] for row in after} <= {14, None}


def test_published_bikes_beat_the_naive_forecast(workbench, real_data: Path):
    (Path(workbench.places.landing) / "bike_hour.csv").symlink_to(real_data / "bike_hour.csv")
    first, last = "2011-11-07", "2011-12-18"  # the dates of the training, and a week for the lags
    summary = workbench.run("ingest", "bikes", first, last)
    assert summary.details.rows["quarantine"] == 0
    workbench.run("build_features", "bikes", first, last)
    short = ("training.window_days=28", "training.holdout_days=7", "gate.limit=200")
    workbench.run("train_model", "bikes", last, settings=short)
    found = workbench.run("evaluate_model", "bikes", last, settings=short).details
    assert found.passed, found.reason
    metrics = found.metrics
    assert metrics["challenger"]["rmse"] < 0.8 * metrics["baseline"]["rmse"], metrics
