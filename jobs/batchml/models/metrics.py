"""Metrics over whole frames, computed in Spark.

A frame to be measured has the columns ``prediction`` and ``label``; for classification also ``probabilities``, a map
from the classes' names to the probability given to each.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from pyspark.ml.evaluation import BinaryClassificationEvaluator
from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

TWO, BINS = 2, 10
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
SMALLEST_PROBABILITY = 1e-15  # scikit-learn's former default; keeps the logarithm finite


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
    row = frame.agg(
        F.count("*").alias("rows"),
        F.avg(error * error).alias("mse"),
        F.avg(F.abs(error)).alias("mae"),
        F.var_pop("label").alias("variance"),
    ).head()
    assert row is not None, "an aggregate without keys has one row"
    mse = _number(row["mse"])
    variance = _number(row["variance"])
    r2 = 1 - mse / variance if variance > 0 else math.nan
    return {"rows": row["rows"], "rmse": math.sqrt(mse), "mae": _number(row["mae"]), "r2": r2}


def classification(frame: DataFrame) -> dict[str, float]:
    """Return ``accuracy``, ``f1`` (macro: the plain mean over classes), ``log_loss`` and ``rows``.

    They are NaN without rows. Of two classes also ``auc``, the area under the ROC curve, and
    ``calibration_error``.
    """
    row = frame.agg(
        F.count("*").alias("rows"),
        F.avg(F.col("prediction").eqNullSafe(F.col("label")).cast("double")).alias("accuracy"),
        F.avg(loss_by_row("log_loss")).alias("log_loss"),
    ).head()
    assert row is not None, "an aggregate without keys has one row"
    matrix = confusion(frame)
    found = {
        "rows": row["rows"],
        "accuracy": _number(row["accuracy"]),
        "f1": macro_f1(matrix),
        "log_loss": _number(row["log_loss"]),
    }
    if (positive := rarer_of_two(matrix)) is None:
        return found
    error = calibration_error(calibration(frame, positive))
    return found | {"auc": _area(_scored(frame, positive)), "calibration_error": error}


def rarer_of_two(matrix: Mapping[tuple[str, str], int]) -> str | None:
    """Return the rarer of exactly two classes, true or predicted; None for any other number."""
    classes = sorted({name for pair in matrix for name in pair})
    sizes = {
        name: sum(count for (true, _), count in matrix.items() if true == name) for name in classes
    }
    return min(classes, key=lambda name: sizes[name]) if len(classes) == TWO else None


@dataclass(frozen=True)
class Bin:
    """Rows whose score lies in one part of 0 to 1: how many, their mean score, and the share that is of the class."""

    rows: int
    score: float
    share: float


def calibration(frame: DataFrame, positive: str) -> list[Bin]:
    """Return ten bins of the probability given to ``positive``, without the empty ones."""
    number = F.least(F.floor(F.col("score") * BINS), F.lit(BINS - 1)).alias("bin")
    sums = (
        _scored(frame, positive)
        .groupBy(number)
        .agg(F.count("*"), F.avg("score"), F.avg("is_positive"))
    )
    return [Bin(rows, score, share) for _, rows, score, share in sorted(sums.collect())]


def calibration_error(bins: Sequence[Bin]) -> float:
    """Return the mean over rows of the distance between score and share of their bin.

    It is the expected calibration error (Guo et al. 2017, equation 3).
    """
    rows = sum(part.rows for part in bins)
    return (
        sum(part.rows * abs(part.score - part.share) for part in bins) / rows if rows else math.nan
    )


def _scored(frame: DataFrame, positive: str) -> DataFrame:
    """Return ``is_positive``, 1 or 0, and ``score``, the probability given to ``positive``.

    The score is read from the same class in every row. As 1 minus that of the other class, equal
    scores would differ in their last digits by the true class, and be in perfect order.
    """
    is_positive = F.col("label").cast("string") == positive
    return frame.select(
        is_positive.cast("double").alias("is_positive"), _given(F.lit(positive)).alias("score")
    )


def _given(name: Column) -> Column:
    """Return the probability given to a class, 0 if training never saw it."""
    return F.coalesce(F.try_element_at("probabilities", name), F.lit(0.0))


def _area(scored: DataFrame) -> float:
    """Return the exact area, with every score as a threshold; NaN if all rows are of one class."""
    if scored.select("is_positive").distinct().count() != TWO:
        return math.nan
    evaluator = BinaryClassificationEvaluator(
        rawPredictionCol="score", labelCol="is_positive", numBins=0
    )
    return float(evaluator.evaluate(scored))


def loss_by_row(metric: str) -> Column:
    """Return the loss per row behind ``metric``.

    The squared error (rmse, r2), its amount (mae), 1 for a wrong class (accuracy, f1), minus the
    logarithm of the probability given to the true class (log_loss; also for auc, which orders rows
    and is not a mean over them).
    """
    error = F.col("prediction") - F.col("label")
    if metric in ("rmse", "r2"):
        return F.pow(error, 2)
    if metric == "mae":
        return F.abs(error)
    if metric in ("log_loss", "auc"):
        return -F.log(
            F.greatest(_given(F.col("label").cast("string")), F.lit(SMALLEST_PROBABILITY))
        )
    return (~F.col("prediction").eqNullSafe(F.col("label"))).cast("double")


def loss(task: str) -> list[Column]:
    """Return aggregates of the loss per row: ``rows``, the mean ``loss`` and its ``spread``.

    ``spread`` is the sample's standard deviation, null for a single row. The loss is the squared
    error for regression, and 1 for a wrong class for classification.
    """
    per_row = loss_by_row("rmse" if task == "regression" else "accuracy")
    return [
        F.count("*").alias("rows"),
        F.avg(per_row).alias("loss"),
        F.stddev_samp(per_row).alias("spread"),
    ]


MEASURES = {"regression": regression, "classification": classification}


def confusion(frame: DataFrame) -> dict[tuple[str, str], int]:
    """Count rows per (label, prediction)."""
    counted = frame.groupBy(
        F.col("label").cast("string"), F.col("prediction").cast("string")
    ).count()
    return {(row[0], row[1]): row[2] for row in counted.collect()}


def macro_f1(matrix: Mapping[tuple[str, str], int]) -> float:
    """Return the mean over classes, true or predicted, of 2 TP / (2 TP + FP + FN)."""
    classes = sorted({name for pair in matrix for name in pair})
    scores = []
    for name in classes:
        hits = matrix.get((name, name), 0)
        either = sum(count for pair, count in matrix.items() for side in pair if side == name)
        scores.append(2 * hits / either)
    return sum(scores) / len(scores) if scores else math.nan


def _number(value: float | None) -> float:
    return math.nan if value is None else float(value)
