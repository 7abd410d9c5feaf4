"""Compute metrics over whole frames in Spark.

A frame to be measured has the columns ``prediction`` and ``label``. For classification it also has
``probabilities``, a map from the name of each class to its predicted probability.
"""

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from pyspark.ml.evaluation import BinaryClassificationEvaluator
from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

ConfusionMatrix = Mapping[tuple[str, str], int]
"""Rows by true and predicted class."""
TWO = 2
BINS = 10
Part = Literal[
    "train",
    "validation",
    "holdout",
    "holdout_shared",
    "holdout_champion",
    "holdout_baseline",
    "weight",
]
HOLDOUT_OF: dict[str, Part] = {
    "challenger": "holdout",
    "challenger_shared": "holdout_shared",
    "champion": "holdout_champion",
    "baseline": "holdout_baseline",
}
"""The part that each model's metrics are logged under at evaluation."""
SMALLEST_PROBABILITY = 1e-15
"""Scikit-learn's former default, which keeps the logarithm finite."""


def key(part: Part, name: str) -> str:
    """Return the key that a metric is logged under, as in ``holdout_rmse``."""
    return f"{part}_{name}"


def keyed(part: Part, measured: Mapping[str, float]) -> dict[str, float]:
    """Return metrics by the keys they are logged under."""
    return {key(part, name): value for name, value in measured.items()}


def regression(frame: DataFrame) -> dict[str, float]:
    """Return ``rmse`` and ``mae`` in the label's unit, ``r2`` = 1 - SS_res / SS_tot, and ``rows``.

    They are NaN without rows.
    """
    error = F.col("prediction") - F.col("label")
    sums = frame.agg(
        F.count("*").alias("rows"),
        F.avg(error * error).alias("mse"),
        F.avg(F.abs(error)).alias("mae"),
        F.var_pop("label").alias("variance"),
    )
    [row] = sums.collect()
    mse = _number(row["mse"])
    variance = _number(row["variance"])
    r2 = math.nan
    if variance > 0:
        r2 = 1 - mse / variance
    return {
        "rows": row["rows"],
        "rmse": math.sqrt(mse),
        "mae": _number(row["mae"]),
        "r2": r2,
    }


def classification(frame: DataFrame) -> dict[str, float]:
    """Return ``accuracy``, ``f1`` (macro: the plain mean over classes), ``log_loss`` and ``rows``.

    They are NaN without rows. Two classes also have ``auc``, the area under the ROC curve, and
    ``calibration_error``.
    """
    is_right = F.col("prediction").eqNullSafe(F.col("label"))
    sums = frame.agg(
        F.count("*").alias("rows"),
        F.avg(is_right.cast("double")).alias("accuracy"),
        F.avg(loss_by_row("log_loss")).alias("log_loss"),
    )
    [row] = sums.collect()
    matrix = confusion(frame)
    measured = {
        "rows": row["rows"],
        "accuracy": _number(row["accuracy"]),
        "f1": macro_f1(matrix),
        "log_loss": _number(row["log_loss"]),
    }
    positive = rarer_of_two(matrix)
    if positive is not None:
        measured["auc"] = _area(_scored(frame, positive))
        measured["calibration_error"] = calibration_error(calibration(frame, positive))
    return measured


def class_names(matrix: ConfusionMatrix) -> list[str]:
    """Return the classes of a confusion matrix, true or predicted, in alphabetical order."""
    names = set()
    for actual, predicted in matrix:
        names.add(actual)
        names.add(predicted)
    return sorted(names)


def rarer_of_two(matrix: ConfusionMatrix) -> str | None:
    """Return the rarer of exactly two classes, true or predicted, or None."""
    sizes = dict.fromkeys(class_names(matrix), 0)
    if len(sizes) != TWO:
        return None
    for (actual, _), count in matrix.items():
        sizes[actual] += count
    return min(sizes, key=lambda name: sizes[name])


@dataclass(frozen=True)
class Bin:
    """The rows of one bin of scores, which is a part of 0 to 1.

    ``score`` is their mean score, ``share`` the share of them that is of the class.
    """

    rows: int
    score: float
    share: float


def calibration(frame: DataFrame, positive: str) -> list[Bin]:
    """Return ten bins of the predicted probability of ``positive``, without the empty ones."""
    # A score of 1 is in the last bin.
    position = F.floor(F.col("score") * BINS)
    number = F.least(position, F.lit(BINS - 1))
    by_bin = _scored(frame, positive).groupBy(number.alias("bin"))
    sums = by_bin.agg(
        F.count("*"),
        F.avg("score"),
        F.avg("is_positive"),
    )

    bins = []
    for _, rows, score, share in sorted(sums.collect()):
        bins.append(Bin(rows, score, share))
    return bins


def calibration_error(bins: Sequence[Bin]) -> float:
    """Return the mean over rows of the distance between score and share of their bin.

    It is the expected calibration error (Guo et al. 2017, equation 3).
    """
    rows = 0
    distance = 0.0
    for one in bins:
        rows += one.rows
        distance += one.rows * abs(one.score - one.share)
    if not rows:
        return math.nan
    return distance / rows


def _scored(frame: DataFrame, positive: str) -> DataFrame:
    """Return ``is_positive``, 1 or 0, and ``score``, the predicted probability of ``positive``.

    The score is read from the same class in every row. As 1 minus that of the other class, equal
    scores would differ in their last digits by the true class, and be in perfect order.
    """
    is_positive = F.col("label").cast("string") == positive
    score = _probability_of(F.lit(positive))
    return frame.select(
        is_positive.cast("double").alias("is_positive"),
        score.alias("score"),
    )


def _probability_of(name: Column) -> Column:
    """Return the predicted probability of a class, 0 if training never saw it."""
    probability = F.try_element_at("probabilities", name)
    return F.coalesce(probability, F.lit(0.0))


def _area(scored: DataFrame) -> float:
    """Return the exact area, with every score as a threshold; NaN if all rows are of one class."""
    classes = scored.select("is_positive").distinct()
    if classes.count() != TWO:
        return math.nan
    evaluator = BinaryClassificationEvaluator(
        rawPredictionCol="score",
        labelCol="is_positive",
        numBins=0,
    )
    return float(evaluator.evaluate(scored))


def loss_by_row(metric: str) -> Column:
    """Return the loss per row behind ``metric``.

    It is the squared error (rmse, r2), its amount (mae), 1 for a wrong class (accuracy, f1), or
    minus the logarithm of the predicted probability of the true class (log_loss). ``auc`` orders
    rows and is not a mean over them, so it has the loss of log_loss.
    """
    prediction = F.col("prediction")
    label = F.col("label")
    if metric in ("rmse", "r2"):
        return F.pow(prediction - label, 2)
    if metric == "mae":
        return F.abs(prediction - label)
    if metric in ("log_loss", "auc"):
        probability = _probability_of(label.cast("string"))
        bounded = F.greatest(probability, F.lit(SMALLEST_PROBABILITY))
        return -F.log(bounded)
    is_wrong = ~prediction.eqNullSafe(label)
    return is_wrong.cast("double")


def loss(task: str) -> list[Column]:
    """Return aggregates of the loss per row: ``rows``, the mean ``loss`` and its ``spread``.

    ``spread`` is the sample's standard deviation, null for a single row. The loss is the squared
    error for regression, and 1 for a wrong class for classification.
    """
    metric = "accuracy"
    if task == "regression":
        metric = "rmse"
    per_row = loss_by_row(metric)
    return [
        F.count("*").alias("rows"),
        F.avg(per_row).alias("loss"),
        F.stddev_samp(per_row).alias("spread"),
    ]


MEASURES = {"regression": regression, "classification": classification}


def confusion(frame: DataFrame) -> ConfusionMatrix:
    """Count rows per true and predicted class."""
    label = F.col("label").cast("string")
    prediction = F.col("prediction").cast("string")
    counted = frame.groupBy(label, prediction).count()

    matrix: dict[tuple[str, str], int] = {}
    for actual, predicted, rows in counted.collect():
        matrix[actual, predicted] = rows
    return matrix


def macro_f1(matrix: ConfusionMatrix) -> float:
    """Return the mean over classes, true or predicted, of 2 TP / (2 TP + FP + FN)."""
    # The denominator is 2 TP + FP + FN, so a hit counts twice: as a label and as a prediction.
    occurrences: Counter[str] = Counter()
    for (actual, predicted), count in matrix.items():
        occurrences[actual] += count
        occurrences[predicted] += count

    scores = []
    for name in class_names(matrix):
        hits = matrix.get((name, name), 0)
        scores.append(2 * hits / occurrences[name])
    if not scores:
        return math.nan
    return sum(scores) / len(scores)


def _number(value: float | None) -> float:
    """Return an aggregate as a number, NaN for the null of a frame without rows."""
    if value is None:
        return math.nan
    return float(value)
