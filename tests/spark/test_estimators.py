"""Fit every estimator on a small frame with a known answer, from raw columns to predictions."""

import pytest
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from batchml.config import Pipeline, conf_folder, load_pipeline
from batchml.errors import BadConfig, BadData
from batchml.models.estimators import build, fit, with_label_index
from batchml.models.explain import coefficients, importances
from batchml.models.metrics import MEASURES
from batchml.models.scoring import (
    SharesBaseline,
    constant_baseline,
    with_baseline,
    with_predictions,
)
from batchml.workflow.training import recipe

SMALL = {
    "linear": ("regression", {}),
    "random_forest": ("regression", {"numTrees": 5}),
    "gbt": ("regression", {"maxIter": 5}),
    "xgboost": ("regression", {"n_estimators": 10}),
    "logistic": ("classification", {}),
}
SMALL_CLASSIFIERS = {
    "random_forest": {"numTrees": 5},
    "gbt": {"maxIter": 5},
    "xgboost": {"n_estimators": 10},
}


def pipeline(kind: str, task: str, params: dict[str, object]) -> Pipeline:
    """Return a pipeline with one numeric and one categorical input."""
    settings = [
        "columns={zone: string, miles: double, minutes: double, speed: string}",
        "features=[]",
        "gate.slices=[]",
        "checks=[]",
        "source.event_time=null",
        "key=[source_row]",
        "inputs={numeric: [miles], categorical: [zone]}",
        f"estimator={{kind: {kind}, params: {params}}}",
        f"task={task}",
        f"label={'minutes' if task == 'regression' else 'speed'}",
        f"gate.metric={'rmse' if task == 'regression' else 'accuracy'}",
    ]
    return load_pipeline("taxi", conf_folder(), settings)


@pytest.fixture(scope="module")
def trips(spark: SparkSession) -> DataFrame:
    """Return 200 trips of 3 minutes a mile, and 10 more from zone b. Some distances are unknown."""
    miles = F.when(F.col("id") % 20 == 0, None).otherwise((F.col("id") % 13 + 1).cast("double"))
    zone = F.when(F.col("id") % 2 == 0, "a").otherwise("b")
    minutes = F.coalesce("miles", F.lit(7.0)) * 3 + F.when(F.col("zone") == "b", 10).otherwise(0)
    frame = (
        spark.range(200)
        .select("id", miles.alias("miles"), zone.alias("zone"))
        .withColumn("minutes", minutes.cast("double"))
    )
    return frame.withColumn(
        "speed", F.when(F.col("minutes") > 25, "slow").otherwise("fast")
    ).cache()


@pytest.mark.parametrize("kind", SMALL)
def test_estimator_beats_the_constant(kind: str, trips: DataFrame):
    task, params = SMALL[kind]
    config = pipeline(kind, task, params)
    assert_fits_and_scores(config, trips)


@pytest.mark.parametrize("kind", SMALL_CLASSIFIERS)
def test_trees_classify(kind: str, trips: DataFrame):
    assert_fits_and_scores(pipeline(kind, "classification", SMALL_CLASSIFIERS[kind]), trips)


def assert_fits_and_scores(config: Pipeline, trips: DataFrame) -> None:
    classes = ["fast", "slow"] if config.task == "classification" else []
    rows = with_label_index(trips, config.label, classes) if classes else trips
    model = fit(recipe(config, tuple(classes)), {}, rows)
    measure = MEASURES[config.task]
    metric = config.gate.metric
    own = measure(with_predictions(model, trips, config.task, config.label))[metric]
    baseline = constant_baseline(rows, config.task, config.label)
    constant = measure(with_baseline(trips, baseline, config.label))[metric]
    assert own < 0.5 * constant if metric == "rmse" else own > 0.9 > constant

    unseen = trips.limit(3).withColumn("zone", F.lit("never seen"))
    predictions = [
        row["prediction"]
        for row in with_predictions(model, unseen, config.task, config.label).collect()
    ]
    assert len(predictions) == 3
    assert None not in predictions

    shares = importances(model, model.transform(rows), config.inputs.columns)
    assert set(shares) == {"miles", "zone"}
    assert sum(shares.values()) == pytest.approx(1.0)
    assert min(shares.values()) > 0


def test_linear_model_finds_the_slope(trips: DataFrame):
    config = pipeline("linear", "regression", {})
    model = build(recipe(config, ())).fit(trips.where("miles IS NOT NULL"))
    assert model.stages[-1].coefficients.toArray()[0] == pytest.approx(3.0)


def test_unknown_parameter_suggests_the_nearest():
    with pytest.raises(BadConfig) as caught:
        build(recipe(pipeline("random_forest", "regression", {"numTree": 5}), ()))
    assert caught.value.message == (
        "conf/pipelines/taxi.yaml: estimator.params.numTree is not a parameter of random_forest"
    )
    assert caught.value.details[-1] == "did you mean 'numTrees'?"


@pytest.mark.parametrize("params", [{"numTrees": "many"}, {"featuresCol": "other"}])
def test_invalid_parameter_is_refused(params: dict[str, object]):
    with pytest.raises(BadConfig, match=r"estimator\.params"):
        build(recipe(pipeline("random_forest", "regression", params), ()))


def test_refusal_at_fit_is_bad_configuration(trips: DataFrame):
    config = pipeline("random_forest", "regression", {"maxBins": 2})
    with pytest.raises(BadConfig, match="random_forest refuses its parameters for this data"):
        fit(recipe(config, ()), {"maxDepth": 99}, trips)


def test_grid_overrides_a_parameter():
    built = build(
        recipe(pipeline("random_forest", "regression", {"numTrees": 5}), ()), {"numTrees": 9}
    )
    assert built.getStages()[-1].getNumTrees() == 9


def test_multiclass_linear_model_has_no_coefficients(
    trips: DataFrame,
):
    config = pipeline("logistic", "classification", {})
    three = trips.withColumn(
        "speed", F.when(F.col("minutes") > 35, "crawling").otherwise(F.col("speed"))
    )
    classes = ("crawling", "fast", "slow")
    model = fit(recipe(config, classes), {}, with_label_index(three, "speed", classes))
    assert coefficients(model, model.transform(three)) == {}
    assert sum(
        importances(model, model.transform(three), config.inputs.columns).values()
    ) == pytest.approx(1.0)


def test_baseline_classifier_predicts_most_common_class(spark: SparkSession, trips: DataFrame):
    config = pipeline("logistic", "classification", {})
    skewed = trips.where("speed = 'slow' OR id < 10")
    baseline = constant_baseline(skewed, config.task, config.label)
    assert isinstance(baseline, SharesBaseline)
    assert sum(baseline.shares.values()) == pytest.approx(1.0)
    rows = (
        with_baseline(skewed, baseline, config.label)
        .select("prediction", "probabilities")
        .collect()
    )
    assert {row["prediction"] for row in rows} == {"slow"}
    assert all(row["probabilities"] == baseline.shares for row in rows)


def test_boosted_trees_refuse_three_classes():
    three_classes = recipe(pipeline("gbt", "classification", {}), ("fast", "mean", "slow"))
    with pytest.raises(
        BadConfig, match="gbt separates two classes, but speed has 3: fast, mean, slow"
    ) as caught:
        build(three_classes)
    assert caught.value.remedy == "take random_forest or xgboost"


@pytest.mark.parametrize("kind", ["linear", "random_forest", "xgboost"])
def test_empty_category_is_handled(trips: DataFrame, kind: str):
    task, params = SMALL[kind]
    rows = trips.withColumn("zone", F.when(F.col("zone") == "a", "").otherwise(F.col("zone")))
    with_empty_zone = recipe(pipeline(kind, task, params), ())
    if kind == "linear":
        with pytest.raises(BadData, match="linear cannot have an empty text for a category: zone"):
            fit(with_empty_zone, {}, rows)
    else:
        assert fit(with_empty_zone, {}, rows).transform(rows).count() == 200


def test_number_beyond_float_is_bad_data(trips: DataFrame):
    rows = trips.withColumn("miles", F.when(F.col("miles") > 1, 1e39).otherwise(F.col("miles")))
    task, params = SMALL["xgboost"]
    with pytest.raises(BadData, match="cannot read a number beyond") as caught:
        fit(recipe(pipeline("xgboost", task, params), ()), {}, rows)
    assert caught.value.details == ("there is one in: miles",)


@pytest.mark.parametrize("params", [{"learning_rate": -1.0}, {"objective": "nonsense"}])
def test_refused_xgboost_parameter_is_bad_configuration(
    trips: DataFrame, params: dict[str, object]
):
    with pytest.raises(BadConfig, match="xgboost refuses its parameters"):
        fit(recipe(pipeline("xgboost", SMALL["xgboost"][0], params), ()), {}, trips)
