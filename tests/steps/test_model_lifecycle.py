"""From features to a champion's predictions, on trips of 3 minutes a mile and 2 an hour."""

import datetime as dt
import json
import socket
from dataclasses import replace
from pathlib import Path

import mlflow
import pytest
from mlflow.exceptions import MlflowException
from mlflow.protos.databricks_pb2 import (
    INVALID_PARAMETER_VALUE,
    PERMISSION_DENIED,
    UNAUTHENTICATED,
)
from pyspark.sql import functions as F

from batchml.config import Places
from batchml.errors import BadConfig, BadData, NothingToDo, Unavailable
from batchml.models import estimators, splits
from batchml.spark.free_memory import Memory
from batchml.steps.train_model import require_same_predictions
from batchml.tracking import CHALLENGER, CHAMPION, open_tracker
from batchml.tracking.connection import reaching
from batchml.workflow import training
from local.samples.iris import write_iris
from tests.support.rides import END, START, aliases, train_and_promote


def test_model_passes_from_training_to_scoring(bench):
    with pytest.raises(NothingToDo, match="rides has no champion to score with"):
        bench.run("score_batch", "rides", "2021-01-21")
    trained = bench.run("train_model", "rides", END)
    assert (trained.rows_in, trained.rows_out) == (13 * 24, 10 * 24)
    assert trained.details.fit == "2021-01-08..2021-01-17"
    with pytest.raises(BadData, match="rides version 1 has no verdict"):
        bench.run("promote_model", "rides", END)

    judged = bench.run("evaluate_model", "rides", END)
    measured = judged.details.metrics
    assert measured["challenger"]["rows"] == measured["baseline"]["rows"] == 3 * 24
    assert measured["challenger"]["rmse"] < 0.1
    assert measured["baseline"]["rmse"] > 5
    assert judged.details.passed
    assert bench.run("promote_model", "rides", END).details.replaced is None
    assert aliases(bench) == {"challenger": 1, "champion": 1, "previous": None}

    scored = bench.run("score_batch", "rides", "2021-01-20", "2021-01-21")
    assert scored.rows_out == 24
    assert scored.details.unscored == (dt.date(2021, 1, 20),), "it was in the holdout of this model"
    assert str(scored.details.trained_end) == END
    assert scored.details.unseen
    assert scored.details.realised["rows"] == 0, "nobody has noted the minutes of the 21st yet"
    rows = bench.table("rides", "predictions")
    assert rows.columns == [
        "event_date",
        "source_file",
        "source_row",
        "prediction",
        "label",
        "model_version",
        "seen",
        "trained_end",
    ]
    assert rows.where("label IS NULL AND event_date = '2021-01-21'").count() == 24
    assert rows.where("prediction IS NULL OR model_version <> 1").count() == 0


def test_training_beyond_the_memory_is_refused(bench, monkeypatch):
    trees = ("estimator.kind=xgboost", "estimator.params.n_estimators=2")
    monkeypatch.setattr(training, "SURELY_FREE", 0)
    little, much = training.HEAP + 2000, training.HEAP + 10**6
    with monkeypatch.context() as scarce:
        scarce.setattr(training, "least_memory", lambda _: Memory(little, little))
        with pytest.raises(BadConfig, match="240 rows to fit on do not fit into memory") as refused:
            bench.run("train_model", "rides", END, settings=trees)
        assert "an executor's machine or container has 1.0 GB" in refused.value.details[0]
        assert "training.window_days" in refused.value.remedy
        bench.run("train_model", "rides", END)  # a linear model needs no memory for its rows
        scarce.setattr(training, "least_memory", lambda _: Memory(much, little))
        with pytest.raises(Unavailable, match="240 rows to fit on do not fit into memory"):
            bench.run("train_model", "rides", END, settings=trees)
    # And with the memory of this machine.
    assert bench.run("train_model", "rides", END, settings=trees).rows_out == 240


def test_mlflow_documents_the_model(bench):
    summary = bench.run("train_model", "rides", END)
    bench.run("evaluate_model", "rides", END)
    run = mlflow.get_run(summary.mlflow.run_id)
    params = run.data.params
    assert params["estimator"] == "linear"
    assert (params["fit_start"], params["fit_end"], params["fit_rows"]) == (
        "2021-01-08",
        "2021-01-17",
        "240",
    )
    assert (params["holdout_start"], params["holdout_end"], params["holdout_rows"]) == (
        "2021-01-18",
        END,
        "72",
    )
    assert params["features_version"] == "0"
    assert {"train_rmse", "holdout_rmse", "holdout_baseline_rmse"} <= set(run.data.metrics)
    assert run.data.tags["code_version"] == "test"
    plots = [
        item.path
        for item in mlflow.artifacts.list_artifacts(run_id=run.info.run_id, artifact_path="plots")
    ]
    assert plots == [
        "plots/feature_importance.png",
        "plots/predicted_against_actual.png",
        "plots/residuals.png",
    ]
    source = run.inputs.dataset_inputs[0]
    assert {tag.key: tag.value for tag in source.tags}["delta_version"] == "0"
    assert json.loads(source.dataset.profile) == {"num_rows": 240}

    tracker = bench.tracker("rides")
    version = tracker.by_alias(CHALLENGER)
    assert version.tags["gate.verdict"] == "passed"
    assert "is within the limit 1" in version.tags["gate.reason"]
    record = tracker.load_json(version, "training.json")
    fit = {"start": "2021-01-08", "end": "2021-01-17", "rows": 240}
    assert (record["record_version"], record["fit"]) == (1, fit)
    assert record["config"]["estimator"]["kind"] == "linear"
    signature = mlflow.models.get_model_info(f"models:/rides/{version.version}").signature
    assert signature.inputs.input_names() == ["miles", "hour"]
    assert signature.outputs.input_names() == ["prediction"]


def test_every_job_run_twice_leaves_identical_tables(trained):
    for _ in range(2):
        trained.run("score_batch", "rides", START, END)
    before = {table: trained.rows("rides", table) for table in ("features", "predictions")}
    trained.run("ingest", "rides", START, END)
    trained.run("build_features", "rides", START, END)
    trained.run("score_batch", "rides", START, END)
    assert {table: trained.rows("rides", table) for table in ("features", "predictions")} == before


def test_former_champion_becomes_previous(trained):
    train_and_promote(trained, END, settings=("gate.min_improvement=-0.5",))
    assert aliases(trained) == {"challenger": 2, "champion": 2, "previous": 1}
    trained.run("promote_model", "rides", END)
    assert aliases(trained) == {"challenger": 2, "champion": 2, "previous": 1}


def test_evaluating_the_champion_keeps_its_verdict(trained):
    train_and_promote(trained, END, settings=("gate.min_improvement=-0.5",))
    before = trained.tracker("rides").by_alias(CHAMPION).tags["gate.reason"]
    judged = trained.run("evaluate_model", "rides", END, settings=("gate.min_improvement=-0.5",))
    assert "champion" in judged.details.metrics
    assert trained.tracker("rides").by_alias(CHAMPION).tags["gate.reason"] == before


def test_retraining_a_day_keeps_previous_model(trained):
    for _ in range(2):
        train_and_promote(trained, END, settings=("gate.min_improvement=-0.5",))
    assert aliases(trained) == {"challenger": 3, "champion": 3, "previous": 1}
    other = ("gate.min_improvement=-0.5", "estimator.params.regParam=0.001")
    train_and_promote(trained, END, settings=other)
    assert aliases(trained) == {"challenger": 4, "champion": 4, "previous": 3}, (
        "another model of the day is no twin"
    )


def test_emptied_day_is_emptied_in_every_table(trained):
    trained.run("score_batch", "rides", START, END, options={"with": 1})
    strict = (
        "checks=[{name: not_on_the_tenth, expect: day(begin) <> 10}]",
        "max_rejected_share=1.0",
    )
    trained.run("ingest", "rides", START, END, settings=strict)
    trained.run("build_features", "rides", "2021-01-10")
    trained.run("score_batch", "rides", "2021-01-09", "2021-01-11")
    for table in ("silver", "features", "predictions"):
        assert trained.table("rides", table).where("event_date = '2021-01-10'").count() == 0, table


def test_champion_scores_without_an_added_input(trained):
    added = (
        "features=[{kind: hour_of_day, of: begin, to: hour}, "
        "{kind: day_of_week, of: begin, to: weekday}]",
    )
    more = (*added, "inputs={numeric: [miles, hour, weekday]}")
    trained.run("build_features", "rides", START, END, settings=more)
    assert "weekday" in trained.table("rides", "features").columns
    assert trained.run("score_batch", "rides", END, settings=more).rows_out == 24


def test_integer_classes_keep_their_type(workbench):
    settings = ("columns.species=long", "checks=[]", "estimator.grid={}", "training.min_rows=10")
    lines = [f"{n % 10},{n % 7},{(n % 2) * 5 + n % 3},1.0,{n % 2}" for n in range(120)]
    Path(workbench.places.landing, "iris.csv").write_text("\n".join(lines))
    for job in (
        "ingest",
        "build_features",
        "train_model",
        "evaluate_model",
        "promote_model",
    ):
        workbench.run(job, "iris", END, settings=settings)
    workbench.run("score_batch", "iris", END, settings=settings, options={"with": 1})
    types = dict(workbench.table("iris", "predictions").dtypes)
    assert (types["prediction"], types["label"]) == ("bigint", "bigint")
    assert workbench.table("iris", "predictions").where("prediction <> label").count() == 0


def test_class_missing_in_tuning_is_accepted(workbench, monkeypatch):
    write_iris(Path(workbench.places.landing))
    for job in ("ingest", "build_features"):
        workbench.run(job, "iris", END)
    without = F.col("species") != "Iris-virginica"
    monkeypatch.setattr(
        splits.SplitRule, "split_for_tuning", lambda self, fit: (fit.where(without), fit)
    )
    few = ("estimator.params.numTrees=5",)
    assert workbench.run("train_model", "iris", END, settings=few).details.train["accuracy"] > 0.9


def test_single_class_is_bad_data(workbench):
    settings = ("checks=[]", "estimator.grid={}", "training.min_rows=10")
    lines = [f"{n % 10},{n % 7},{n % 3},1.0,Iris-setosa" for n in range(120)]
    Path(workbench.places.landing, "iris.csv").write_text("\n".join(lines))
    for job in ("ingest", "build_features"):
        workbench.run(job, "iris", END, settings=settings)
    with pytest.raises(BadData, match="iris: all rows to fit on are of one class, 'Iris-setosa'"):
        workbench.run("train_model", "iris", END, settings=settings)


def test_rejected_challenger_is_not_promoted(trained):
    settings = ("gate.min_improvement=0.99",)
    trained.run("train_model", "rides", END)
    judged = trained.run("evaluate_model", "rides", END, settings=settings)
    assert not judged.details.passed
    assert set(judged.details.metrics) == {"challenger", "baseline", "champion"}
    with pytest.raises(
        NothingToDo, match=r"rides version 2 was rejected: rmse .* less than the required \+99.00%"
    ):
        trained.run("promote_model", "rides", END)
    assert aliases(trained) == {"challenger": 2, "champion": 1, "previous": None}


@pytest.mark.parametrize("job", ["evaluate_model", "promote_model"])
def test_challenger_of_another_date_is_refused(bench, job: str):
    bench.run("train_model", "rides", "2021-01-19")
    with pytest.raises(
        BadData, match=r"was trained with --end 2021-01-19, not 2021-01-20\n  run train_model with"
    ):
        bench.run(job, "rides", END)


@pytest.mark.parametrize("job", ["evaluate_model", "promote_model"])
def test_missing_challenger_is_nothing_to_do(workbench, job: str):
    with pytest.raises(NothingToDo, match="iris has no challenger"):
        workbench.run(job, "iris", END)


def test_too_few_rows_are_nothing_to_do(bench):
    with pytest.raises(
        NothingToDo,
        match=r"too few rows to train as of 2021-01-04: 24 to fit on \(2020-12-23..2021-01-01\)",
    ):
        bench.run("train_model", "rides", "2021-01-04", settings=("training.min_rows=50",))


def test_input_without_values_is_named(bench):
    broken = bench.spark.read.format("delta").load(f"{bench.places.lake}/rides/features")
    broken = broken.withColumn("miles", F.lit(None).cast("double"))
    broken.write.format("delta").mode("overwrite").save(f"{bench.places.lake}/rides/features")
    with pytest.raises(BadData, match="these inputs are null throughout: miles"):
        bench.run("train_model", "rides", END)


def test_differing_loaded_model_is_not_registered(bench):
    context = bench.context(bench.pipeline("rides"), END)
    rows = bench.table("rides", "features").where("minutes IS NOT NULL")
    recipe = training.recipe(context.pipeline, ())
    one = estimators.fit(recipe, {}, rows.where("miles < 5"))
    other = estimators.fit(recipe, {}, rows.where("hour < 5 AND miles < 3"))
    answers = one.transform(rows).select(*context.pipeline.inputs.columns, "prediction")
    require_same_predictions(context, answers, one)
    with pytest.raises(
        BadData, match=r"the model returns \d+ other predictions than before; it was not registered"
    ):
        require_same_predictions(context, answers, other)


@pytest.mark.parametrize("job", ["train_model", "evaluate_model", "promote_model", "score_batch"])
def test_unreachable_mlflow_is_unavailable(bench, monkeypatch: pytest.MonkeyPatch, job: str):
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    before = sorted(path.name for path in Path(bench.places.lake, "rides").iterdir())
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))  # bound but not listening: every connection is refused
        bench.places = replace(
            bench.places, tracking_uri=f"http://127.0.0.1:{probe.getsockname()[1]}"
        )
        with pytest.raises(Unavailable, match=r"MLflow at http://127.0.0.1:\d+ failed"):
            bench.run(job, "rides", END)
    assert sorted(path.name for path in Path(bench.places.lake, "rides").iterdir()) == before


def test_features_need_silver(workbench):
    with pytest.raises(NothingToDo, match=r"there is no table .*/silver yet"):
        workbench.run("build_features", "taxi", END)


def test_day_without_silver_is_nothing_to_do(bench):
    with pytest.raises(NothingToDo, match="silver has no rows for 2021-02-01"):
        bench.run("build_features", "rides", "2021-02-01")


def test_iris_training_is_repeatable(workbench):
    write_iris(Path(workbench.places.landing))
    for job in ("ingest", "build_features"):
        workbench.run(job, "iris", END)
    summary = workbench.run("train_model", "iris", END)
    trials = mlflow.search_runs(
        experiment_names=["iris"],
        filter_string=f"tags.mlflow.parentRunId = '{summary.mlflow.run_id}'",
    )
    assert sorted(trials["params.maxDepth"]) == ["2", "5"]
    assert trials["metrics.validation_accuracy"].notna().all()

    judged = workbench.run("evaluate_model", "iris", END).details.metrics["challenger"]
    assert judged["rows"] >= 30
    # 0.954 on average by cross-validation, with a standard deviation of 0.023 on so few rows.
    assert judged["accuracy"] >= 0.9
    plots = mlflow.artifacts.list_artifacts(run_id=summary.mlflow.run_id, artifact_path="plots")
    assert "plots/confusion_matrix.png" in [item.path for item in plots]

    workbench.run("train_model", "iris", END)
    assert workbench.run("evaluate_model", "iris", END).details.metrics["challenger"] == judged
    workbench.run("promote_model", "iris", END)
    workbench.run("score_batch", "iris", END, options={"with": 2})
    species = {row["prediction"] for row in workbench.table("iris", "predictions").collect()}
    assert species == {"Iris-setosa", "Iris-versicolor", "Iris-virginica"}


def test_deleted_experiment_names_the_restore_command(trained):
    client = trained.tracker("rides").client
    experiment = client.get_experiment_by_name("rides").experiment_id
    client.delete_experiment(experiment)
    for job in ("score_batch", "train_model"):
        with pytest.raises(BadConfig, match="the MLflow experiment 'rides' is deleted") as caught:
            trained.run(job, "rides", "2021-01-16")
        assert (
            caught.value.remedy
            == f"restore it: mlflow experiments restore --experiment-id {experiment}"
        )
    client.restore_experiment(experiment)
    assert trained.run("score_batch", "rides", "2021-01-16").rows_out == 24


def test_deleted_run_names_the_restore_command(trained):
    challenger = trained.run("train_model", "rides", "2021-01-15").mlflow
    client = trained.tracker("rides").client
    client.delete_run(challenger.run_id)
    with pytest.raises(BadConfig, match="was deleted in MLflow") as caught:
        trained.run("evaluate_model", "rides", "2021-01-15")
    restore = f"mlflow runs restore --run-id {challenger.run_id}"
    assert caught.value.remedy == f"set MLFLOW_TRACKING_URI and restore it: {restore}"


def test_tracking_password_is_not_shown(trained):
    trained.places = replace(trained.places, tracking_uri="http://me:secret@127.0.0.1:9")
    with pytest.raises(Unavailable) as caught:
        trained.run("score_batch", "rides", "2021-01-16")
    assert "secret" not in str(caught.value)
    assert "http://127.0.0.1:9" in str(caught.value)


def test_champion_without_run_can_be_replaced(trained):
    tracker = trained.tracker("rides")
    run_id = tracker.by_alias(CHAMPION).run_id
    tracker.client.delete_run(run_id)
    tracker.client._tracking_client.store._hard_delete_run(run_id)
    with pytest.raises(BadConfig, match="was deleted in MLflow") as caught:
        trained.run("score_batch", "rides", "2021-01-16")
    assert "train and promote another one" in caught.value.remedy

    trained.run("train_model", "rides", "2021-01-15")
    assert trained.run("evaluate_model", "rides", "2021-01-15").details.passed
    assert trained.run("promote_model", "rides", "2021-01-15").details.changed
    assert trained.run("score_batch", "rides", "2021-01-16").rows_out == 24


def test_deleted_model_can_be_trained_again(trained):
    trained.tracker("rides").client.delete_registered_model("rides")
    with pytest.raises(NothingToDo, match="has no champion"):
        trained.run("score_batch", "rides", "2021-01-16")
    assert trained.run("train_model", "rides", "2021-01-15").mlflow.version == 1


@pytest.mark.parametrize(
    ("code", "message"),
    [
        (INVALID_PARAMETER_VALUE, "MLflow refuses a name or a value"),
        (UNAUTHENTICATED, "refuses this user"),
        (PERMISSION_DENIED, "refuses this user"),
    ],
)
def test_mlflow_refusal_is_bad_configuration(code: int, message: str):
    with pytest.raises(BadConfig, match=message), reaching():
        raise MlflowException("http://me:secret@host says no", code)


@pytest.mark.parametrize(
    "uri", ["http://me:secret@[bad", "foo://me:secret@host", "mysql://me:secret@host/x"]
)
def test_invalid_tracking_uri_is_bad_configuration(uri: str):
    with pytest.raises(BadConfig) as caught:
        open_tracker("rides", Places("", "", uri, ""))
    assert "secret" not in str(caught.value)
    assert "MLFLOW_TRACKING_URI" in caught.value.remedy
