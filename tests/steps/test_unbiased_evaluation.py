"""Ways in which a figure could flatter a model, and what prevents each of them."""

import datetime as dt
import random
from pathlib import Path

import pytest
from pyspark.sql import functions as F
from sklearn.ensemble import RandomForestClassifier
from sklearn.model_selection import KFold, cross_val_score

from batchml.errors import BadData, NothingToDo
from batchml.job_line import ScoreBatchDetails
from batchml.job_specs import APPROVED_BY_DEFAULT
from local.samples.iris import write_iris
from tests.support.rides import END, RIDES, START, TRAINED, aliases, train_and_promote

EQUAL_PASSES = ("gate.min_improvement=-0.5",)
WITHOUT_HOUR = ("features=[]", "inputs={numeric: [miles]}", "gate.limit=20")


def scored_by(bench, name: str = "rides") -> dict[str, int]:
    rows = bench.table(name, "predictions").select("event_date", "model_version").distinct()
    return {str(date)[-2:]: version for date, version in rows.collect()}


def by_measure(bench, name: str, measure: str) -> list[float]:
    rows = bench.table(name, "drift").where(F.col("measure") == measure)
    return [row["value"] for row in rows.orderBy("event_date").collect()]


def test_scored_date_keeps_its_version(trained):
    trained.run("score_batch", "rides", "2021-01-16")
    before = trained.rows("rides", "predictions")
    train_and_promote(trained, END, settings=EQUAL_PASSES)
    again = trained.run("score_batch", "rides", "2021-01-16")
    assert (again.mlflow.version, again.details.champion, again.details.unseen) == (1, 2, True)
    assert trained.rows("rides", "predictions") == before


def test_unscored_date_gets_the_version_of_its_time(trained):
    train_and_promote(trained, "2021-01-17", settings=EQUAL_PASSES)
    done = trained.run("score_batch", "rides", TRAINED, "2021-01-19")
    assert done.details.versions == {1: 72, 2: 48}
    assert done.details.unscored == (dt.date(2021, 1, 14),)
    assert scored_by(trained) == {"15": 1, "16": 1, "17": 1, "18": 2, "19": 2}


def test_date_seen_by_all_versions_needs_a_request(trained):
    with pytest.raises(
        NothingToDo, match="the training of every usable promoted version ended on"
    ) as refused:
        trained.run("score_batch", "rides", "2021-01-05")
    assert "--with VERSION" in refused.value.remedy
    details = refused.value.summary.details
    assert isinstance(details, ScoreBatchDetails)
    assert (details.champion, str(details.champion_end)) == (1, TRAINED)
    done = trained.run("score_batch", "rides", "2021-01-05", options={"with": 1})
    assert (done.details.unseen, done.details.seen_rows) == (False, 24)
    assert done.details.realised["rows"] == 0
    rows = trained.table("rides", "predictions").where("seen AND trained_end = '2021-01-14'")
    assert rows.count() == 24
    trained.run("monitor_drift", "rides", "2021-01-05")
    assert by_measure(trained, "rides", "seen") == [1.0]
    assert by_measure(trained, "rides", "rmse") == []


@pytest.fixture
def irises(workbench):
    """Irises of two days, the same rows on both; version 1 was trained on the first day."""
    write_iris(Path(workbench.places.landing))
    few = ("estimator.grid={}", "estimator.params.numTrees=5", "gate.limit=0.8")
    for job in ("ingest", "build_features"):
        workbench.run(job, "iris", "2021-01-01", "2021-01-02")
    for job in ("train_model", "evaluate_model", "promote_model"):
        workbench.run(job, "iris", "2021-01-01", settings=few)
    return workbench


def test_error_of_a_snapshot_omits_fitted_rows(irises):
    done = irises.run("score_batch", "iris", "2021-01-02").details
    holdout = irises.run("evaluate_model", "iris", "2021-01-01").details.metrics["challenger"]
    assert done.seen_rows == 150 - holdout["rows"]
    assert done.realised["accuracy"] == holdout["accuracy"], "the same rows as in the holdout"
    irises.run("monitor_drift", "iris", "2021-01-02")
    assert by_measure(irises, "iris", "seen") == [done.seen_rows / 150]
    assert by_measure(irises, "iris", "error_rate") == [pytest.approx(1 - holdout["accuracy"])]


WAGES = {
    "description": "wages",
    "source": {"kind": "csv", "path": "wages.csv"},
    "columns": {"year": "long", "wage": "double", "sex": "string"},
    "task": "classification",
    "label": "sex",
    "inputs": {"numeric": ["year", "wage"]},
    "estimator": {"kind": "random_forest", "params": {"numTrees": 20, "maxDepth": 12}},
    "training": {"split": "hash"},
    "gate": {"metric": "accuracy", "limit": 0.1},
}


def test_repeated_inputs_agree_with_cross_validation(workbench):
    """Some 150 different inputs have 1,500 rows, whose label depends on them weakly."""
    draw = random.Random(7)
    rows = [(2000 + draw.randrange(15), draw.randrange(10)) for _ in range(1500)]
    labels = ["f" if draw.random() < 0.35 + 0.03 * wage else "m" for _, wage in rows]
    lines = [f"{year},{wage},{sex}" for (year, wage), sex in zip(rows, labels, strict=True)]
    landing = Path(workbench.places.landing)
    (landing / "wages.csv").write_text("\n".join(["year,wage,sex", *lines]))
    workbench.write_pipeline("wages", WAGES)
    for job in ("ingest", "build_features", "train_model"):
        workbench.run(job, "wages", END)
    measured = workbench.run("evaluate_model", "wages", END).details.metrics["challenger"]

    forest = RandomForestClassifier(20, max_depth=12, random_state=1)
    expected = cross_val_score(forest, rows, labels, cv=KFold(5, shuffle=True, random_state=1))
    noise = (0.25 / measured["rows"]) ** 0.5
    assert abs(measured["accuracy"] - expected.mean()) < 3 * noise


def test_champion_of_another_seed_shares_fewer_rows(irises):
    other = (
        "training.seed=7",
        "estimator.grid={}",
        "estimator.params.numTrees=5",
        "gate.limit=0.8",
        *EQUAL_PASSES,
    )
    irises.run("train_model", "iris", "2021-01-01", settings=other)
    few = (*other, "training.min_holdout_rows=5", "training.min_class_rows=1")
    measured = irises.run("evaluate_model", "iris", "2021-01-01", settings=few).details.metrics
    assert 0 < measured["champion"]["rows"] < measured["challenger"]["rows"]
    assert measured["challenger_shared"]["rows"] == measured["champion"]["rows"]
    judged = irises.run("evaluate_model", "iris", "2021-01-01", settings=other).details
    assert (judged.passed, judged.needs_approval) == (False, True)
    assert "of the rows it was not fitted on there are" in judged.reason


@pytest.mark.parametrize(
    "settings", [WITHOUT_HOUR, WITHOUT_HOUR[1:]], ids=["feature gone", "feature left"]
)
def test_champion_with_a_removed_input_is_compared(trained, settings):
    trained.run("build_features", "rides", START, "2021-01-21", settings=settings)
    hours = trained.table("rides", "features").where("event_date = '2021-01-20'")
    assert hours.agg(F.sum("hour")).head()[0] == sum(range(24)), "kept for the champion"
    trained.run("train_model", "rides", END, settings=settings)
    judged = trained.run("evaluate_model", "rides", END, settings=settings).details
    assert not judged.passed
    assert judged.metrics["champion"]["rmse"] < 0.1 < judged.metrics["challenger"]["rmse"]
    scored = trained.run("score_batch", "rides", "2021-01-15", settings=settings)
    assert scored.details.realised["rmse"] < 0.1, "the champion goes on scoring"


def test_undeclared_former_input_is_kept(trained):
    columns = {"begin": "timestamp_ntz", "minutes": "double"}
    trained.write_pipeline("rides", {**RIDES, "columns": columns, "inputs": {"numeric": ["hour"]}})
    for job in ("ingest", "build_features"):
        trained.run(job, "rides", "2021-01-15", "2021-01-20")
    silver = trained.table("rides", "silver").where("event_date = '2021-01-16'")
    assert silver.agg(F.count("miles")).head()[0] == 0
    scored = trained.run("score_batch", "rides", "2021-01-16")
    assert scored.details.realised["rmse"] < 0.1


def test_former_inputs_end_with_their_champion(trained):
    easy = (*WITHOUT_HOUR, "gate.min_improvement=-1000")
    trained.run("build_features", "rides", START, END, settings=easy)
    train_and_promote(trained, END, settings=easy)
    trained.run("build_features", "rides", START, END, settings=easy)
    hours = trained.table("rides", "features").where("event_date = '2021-01-20'")
    assert hours.agg(F.count("hour")).head()[0] == 0


def test_missing_former_lookup_prevents_the_comparison(bench):
    zones = Path(bench.places.landing, "zones.csv")
    zones.write_text("hour,zone\n" + "\n".join(f"{n},{n % 5}" for n in range(24)))
    step = "{kind: lookup, table: zones, of: hour, take: zone, type: int, to: zone}"
    looked_up = (
        "lookups={zones: {path: zones.csv, key: hour}}",
        f"features=[{{kind: hour_of_day, of: begin, to: hour}}, {step}]",
        "inputs={numeric: [miles, hour, zone]}",
    )
    bench.run("build_features", "rides", START, END, settings=looked_up)
    train_and_promote(bench, TRAINED, settings=looked_up)
    zones.unlink()
    built = bench.run("build_features", "rides", START, END)
    assert built.rows_out == 20 * 24
    bench.run("train_model", "rides", END)
    judged = bench.run("evaluate_model", "rides", END).details
    assert "its inputs zone are no longer filled in features" in judged.reason
    with pytest.raises(NothingToDo, match="version 1 cannot score: its inputs zone") as refused:
        bench.run("score_batch", "rides", "2021-01-16")
    assert "its inputs zone" in refused.value.summary.details.misfit


def test_redefined_input_prevents_the_comparison(trained):
    other = ("features=[{kind: day_of_week, of: begin, to: hour}]", "gate.limit=20")
    trained.run("build_features", "rides", START, END, settings=other)
    trained.run("train_model", "rides", END, settings=other)
    judged = trained.run("evaluate_model", "rides", END, settings=other).details
    assert judged.needs_approval
    assert "the definition of hour has changed" in judged.reason


def test_date_of_a_deleted_run_is_scored_again(trained):
    trained.run("score_batch", "rides", "2021-01-19")
    train_and_promote(trained, "2021-01-17", settings=EQUAL_PASSES)
    tracker = trained.tracker("rides")
    run_id = tracker.get(1).run_id
    tracker.client.delete_run(run_id)
    tracker.client._tracking_client.store._hard_delete_run(run_id)
    assert trained.run("score_batch", "rides", "2021-01-19").details.versions == {2: 24}


def test_snapshot_with_a_time_split_is_rejected(workbench):
    rows = [f"{n % 7},{3 * (n % 7) + n % 2}" for n in range(200)]
    Path(workbench.places.landing, "stock.csv").write_text("\n".join(["miles,minutes", *rows]))
    stock = {
        **RIDES,
        "source": {"kind": "csv", "path": "stock.csv"},
        "columns": {"miles": "double", "minutes": "double"},
        "features": [],
        "inputs": {"numeric": ["miles"]},
        "training": {"window_days": 2, "holdout_days": 1},
    }
    workbench.write_pipeline("stock", stock)
    for job in ("ingest", "build_features"):
        workbench.run(job, "stock", "2021-01-18", END)
    workbench.run("train_model", "stock", END)
    judged = workbench.run("evaluate_model", "stock", END).details
    assert not judged.passed
    assert "only rows that were fitted on" in judged.reason


def test_another_label_prevents_the_comparison(trained):
    other = ("label=hour", "inputs={numeric: [miles]}", "gate.limit=100", "training.window_days=9")
    trained.run("train_model", "rides", END, settings=(*other, "inputs.numeric=[miles,minutes]"))
    more = (*other, "inputs.numeric=[miles,minutes]")
    judged = trained.run("evaluate_model", "rides", END, settings=more).details
    assert (judged.passed, judged.needs_approval) == (False, True)
    assert "it predicts minutes (regression), and the pipeline hour" in judged.reason
    with pytest.raises(NothingToDo, match="version 2 waits for a person's approval") as waiting:
        trained.run("promote_model", "rides", END, settings=more)
    assert waiting.value.summary.details.awaits_approval == 2
    with pytest.raises(NothingToDo, match="version 1 cannot score: it predicts minutes"):
        trained.run("score_batch", "rides", "2021-01-16", settings=more)
    approved = {"approved_by": "ada"}
    assert trained.run(
        "promote_model", "rides", END, settings=more, options=approved
    ).details.changed
    assert aliases(trained)["champion"] == 2


def test_fitted_holdout_prevents_the_comparison(trained):
    trained.run(
        "train_model",
        "rides",
        TRAINED,
        settings=("training.holdout_days=8", "training.window_days=5"),
    )
    judged = trained.run(
        "evaluate_model", "rides", TRAINED, settings=("training.holdout_days=8",)
    ).details
    assert judged.needs_approval
    fit = "2021-01-02..2021-01-11"
    assert f"it was fitted on {fit}, and the holdout is 2021-01-07..2021-01-14" in judged.reason


@pytest.mark.parametrize(
    ("setting", "reason"),
    [
        ("training.min_holdout_rows=100", "72 rows, fewer than training.min_holdout_rows (100)"),
        (
            "training.min_holdout_days=3",
            "rows on 2 dates, fewer than training.min_holdout_days (3)",
        ),
    ],
)
def test_too_small_holdout_is_rejected(bench, setting: str, reason: str):
    if "days" in setting:
        empty = bench.spark.read.format("delta").load(f"{bench.places.lake}/rides/features")
        kept = empty.where("event_date <> '2021-01-19'").cache()
        kept.count()
        kept.write.format("delta").mode("overwrite").save(f"{bench.places.lake}/rides/features")
    bench.run("train_model", "rides", END)
    judged = bench.run("evaluate_model", "rides", END, settings=(setting,)).details
    assert (judged.passed, judged.needs_approval) == (False, False)
    assert judged.reason == f"the holdout has {reason}"


def test_new_group_needs_new_features(bench):
    grouped = ("training.split=hash", "training.group=[begin]", "training.min_rows=10")
    with pytest.raises(BadData, match="features has no column begin yet"):
        bench.run("train_model", "rides", END, settings=grouped)


def test_rollback_computes_drift_again(trained):
    train_and_promote(trained, "2021-01-17", settings=EQUAL_PASSES)
    for job in ("score_batch", "monitor_drift"):
        trained.run(job, "rides", "2021-01-16", "2021-01-20")
    done = trained.run("promote_model", "rides", END, options={"rollback": True})
    assert set(done.tables) == {"predictions", "drift"}
    rows = trained.table("rides", "drift").where("model_version > 0").select("model_version")
    assert {row[0] for row in rows.distinct().collect()} == {1}
    held = trained.run("score_batch", "rides", "2021-01-20").details.hold
    assert held == "version 1 serves again after a rollback"


def test_twin_of_a_withdrawn_version_needs_approval(trained):
    train_and_promote(trained, "2021-01-17", settings=EQUAL_PASSES)
    trained.run("promote_model", "rides", END, options={"rollback": True})
    for job in ("train_model", "evaluate_model"):
        trained.run(job, "rides", "2021-01-18", settings=EQUAL_PASSES)
    with pytest.raises(NothingToDo, match="nearly the same as version 2, which was withdrawn"):
        trained.run("promote_model", "rides", "2021-01-18", settings=EQUAL_PASSES)
    by_default = {"approved_by": APPROVED_BY_DEFAULT}
    with pytest.raises(NothingToDo, match="waits for a person's approval"):
        trained.run("promote_model", "rides", "2021-01-18", options=by_default)
    approved = {"approved_by": "ada"}
    trained.run("promote_model", "rides", "2021-01-18", settings=EQUAL_PASSES, options=approved)
    assert aliases(trained)["champion"] == 3
    assert not trained.run("score_batch", "rides", "2021-01-20").details.hold


def test_reruns_in_any_order_change_nothing(trained):
    days = [dt.date(2021, 1, 15) + dt.timedelta(days=n) for n in range(3)]
    for date in days:
        for job in ("score_batch", "monitor_drift"):
            trained.run(job, "rides", str(date))
        if date != days[-1]:
            train_and_promote(trained, str(date), settings=EQUAL_PASSES)
    assert scored_by(trained) == {"15": 1, "16": 2, "17": 3}
    before = {table: trained.rows("rides", table) for table in ("predictions", "drift")}
    former = aliases(trained)
    random.Random(1).shuffle(days)
    for date in days:
        for job in ("score_batch", "monitor_drift"):
            trained.run(job, "rides", str(date))
    assert {table: trained.rows("rides", table) for table in before} == before
    assert aliases(trained) == former
