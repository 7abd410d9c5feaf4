"""Compare models whose errors are known: each ride takes 3 minutes a mile."""

import math

import pytest
from pyspark.ml import PipelineModel
from pyspark.ml.feature import SQLTransformer
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from batchml.config import Gate, Slice
from batchml.models import slices
from batchml.models.comparison import Comparison, Terms, compare, score
from batchml.models.scoring import MeanBaseline, SharesBaseline

BY_ZONE = Slice(by="zone", min_rows=10)
ALWAYS_TEN = MeanBaseline(10.0)


def terms(**gate: object) -> Terms:
    rules = Gate(metric="rmse", limit=1.0, **gate)
    return Terms(task="regression", label="minutes", key=["id"], gate=rules, seed=1)


def model(prediction: str) -> PipelineModel:
    """Return a fitted pipeline whose prediction is a SQL expression of its inputs."""
    statement = f"SELECT *, {prediction} AS prediction FROM __THIS__"
    return PipelineModel([SQLTransformer(statement=statement)])


EXACT_IN_A = "3 * miles + IF(zone = 'b', 2, 0)"
ONE_TOO_MANY = "3 * miles + 1"


@pytest.fixture(scope="module")
def rows(spark: SparkSession) -> DataFrame:
    """Return 200 rides of 1 to 5 miles, half of them in zone a."""
    frame = spark.range(200).select(
        "id",
        (F.col("id") % 5 + 1).cast("double").alias("miles"),
        F.when(F.col("id") < 100, "a").otherwise("b").alias("zone"),
    )
    return frame.withColumn("minutes", 3 * F.col("miles")).cache()


def compared(rows: DataFrame, of: Terms) -> Comparison:
    challenger = score(model(EXACT_IN_A), rows, of, "challenger")
    with_losses = challenger.select(*rows.columns, "challenger_loss")
    return compare(
        challenger, score(model(ONE_TOO_MANY), with_losses, of, "champion"), ALWAYS_TEN, of
    )


def test_models_are_evaluated_on_the_same_rows(rows: DataFrame):
    comparison = compared(rows, terms())
    assert comparison.challenger["rmse"] == pytest.approx(math.sqrt(2))
    assert comparison.champion is not None
    assert comparison.champion["rmse"] == pytest.approx(1.0)
    assert comparison.baseline["mae"] == pytest.approx((7 + 4 + 1 + 2 + 5) / 5)
    assert {measured["rows"] for measured in comparison.metrics.values()} == {200}


def test_difference_of_rmse_has_an_interval(rows: DataFrame):
    of = terms(confidence=0.9)
    paired = compared(rows, of).paired
    assert paired is not None
    assert paired.value == pytest.approx(math.sqrt(2) - 1)
    assert paired.low < paired.value < paired.high
    assert paired.confidence == 0.9
    assert compared(rows.repartition(5), of).paired == paired, "in any order of the rows"


def test_slices_have_losses_of_both_models(rows: DataFrame):
    a, b = compared(rows, terms(slices=(BY_ZONE,))).slice_results
    assert (a.value, a.rows, b.value, b.rows) == ("a", 100, "b", 100)
    assert (a.challenger, a.champion, a.significantly_worse) == (0.0, 1.0, False)
    assert (b.challenger, b.champion, b.significantly_worse) == (2.0, 1.0, True)


def test_missing_champion_leaves_nothing_to_compare(rows: DataFrame):
    of = terms(slices=(BY_ZONE,))
    alone = compare(score(model(EXACT_IN_A), rows, of, "challenger"), None, ALWAYS_TEN, of)
    assert set(alone.metrics) == {"challenger", "baseline"}
    assert alone.paired is None
    assert [(part.challenger, part.champion) for part in alone.slice_results] == [
        (0.0, None),
        (2.0, None),
    ]


def test_slice_without_column_is_omitted(rows: DataFrame):
    rules = (BY_ZONE, Slice(by="borough"))
    assert slices.unknown(rows.columns, rules) == ["borough"]
    assert {part.rule.by for part in compared(rows, terms(slices=rules)).slice_results} == {"zone"}


def test_forecast_column_replaces_the_constant_baseline(rows: DataFrame):
    forecast = F.when(F.col("id") >= 100, F.col("minutes"))
    comparison = compared(rows.withColumn("last_week", forecast), terms(baseline="last_week"))
    of_constant = (49 + 16 + 1 + 4 + 25) / 5
    assert comparison.baseline["rmse"] == pytest.approx(math.sqrt(of_constant / 2)), (
        "null in zone a"
    )


def test_classes_are_compared_by_their_loss(spark: SparkSession):
    form = "id int, label string, prediction string, probabilities map<string, double>"
    sure, unsure = {"no": 0.0, "yes": 1.0}, {"no": 0.5, "yes": 0.5}
    right = spark.createDataFrame([(1, "yes", "yes", sure), (2, "yes", "no", unsure)], form)
    of = Terms("classification", "label", ["id"], Gate(metric="accuracy", limit=0.5), seed=1)
    scored = right.withColumn("challenger_loss", F.lit(0.0))
    comparison = compare(scored, None, SharesBaseline({"yes": 1.0}), of)
    assert (comparison.challenger["accuracy"], comparison.baseline["accuracy"]) == (0.5, 1.0)
