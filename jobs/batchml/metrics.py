"""Metrics over whole frames, computed in Spark.

A frame to be measured has the columns ``prediction`` and ``label``; for classification also ``probability_of_label``,
the probability given to the true class.
"""

import math
from collections.abc import Mapping

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

SMALLEST_PROBABILITY = 1e-15  # scikit-learn's former default; keeps the logarithm finite


def regression(frame: DataFrame) -> dict[str, float]:
    """``rmse`` and ``mae`` in the label's unit, ``r2`` = 1 - SS_res / SS_tot, and ``rows``. NaN without rows."""
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
    """``accuracy``, ``f1`` (macro: the plain mean over classes), ``log_loss`` and ``rows``. NaN without rows."""
    clipped = F.greatest(F.col("probability_of_label"), F.lit(SMALLEST_PROBABILITY))
    row = frame.agg(
        F.count("*").alias("rows"),
        F.avg(F.col("prediction").eqNullSafe(F.col("label")).cast("double")).alias("accuracy"),
        F.avg(-F.log(clipped)).alias("log_loss"),
    ).head()
    assert row is not None, "an aggregate without keys has one row"
    return {
        "rows": row["rows"],
        "accuracy": _number(row["accuracy"]),
        "f1": macro_f1(confusion(frame)),
        "log_loss": _number(row["log_loss"]),
    }


def loss_by_row(metric: str) -> Column:
    """What a row adds to the loss that ``metric`` is made of.

    The squared error (rmse, r2), its amount (mae), 1 for a wrong class (accuracy, f1), minus the logarithm of the
    probability given to the true class (log_loss).
    """
    error = F.col("prediction") - F.col("label")
    if metric in ("rmse", "r2"):
        return F.pow(error, 2)
    if metric == "mae":
        return F.abs(error)
    if metric == "log_loss":
        return -F.log(F.greatest(F.col("probability_of_label"), F.lit(SMALLEST_PROBABILITY)))
    return (~F.col("prediction").eqNullSafe(F.col("label"))).cast("double")


def loss(task: str) -> list[Column]:
    """Aggregates of the loss per row: ``rows``, its mean ``loss`` and standard deviation ``spread``.

    Regression: the squared error. Classification: 1 for a wrong class.
    """
    per_row = loss_by_row("rmse" if task == "regression" else "accuracy")
    return [F.count("*").alias("rows"), F.avg(per_row).alias("loss"), F.stddev_pop(per_row).alias("spread")]


MEASURES = {"regression": regression, "classification": classification}


def confusion(frame: DataFrame) -> dict[tuple[str, str], int]:
    """Rows per (label, prediction)."""
    counted = frame.groupBy(F.col("label").cast("string"), F.col("prediction").cast("string")).count()
    return {(row[0], row[1]): row[2] for row in counted.collect()}


def macro_f1(matrix: Mapping[tuple[str, str], int]) -> float:
    """Mean over classes of 2 TP / (2 TP + FP + FN); a class that is neither true nor predicted does not count."""
    classes = sorted({name for pair in matrix for name in pair})
    scores = []
    for name in classes:
        hits = matrix.get((name, name), 0)
        either = sum(count for pair, count in matrix.items() for side in pair if side == name)
        scores.append(2 * hits / either)
    return sum(scores) / len(scores) if scores else math.nan


def _number(value: float | None) -> float:
    return math.nan if value is None else float(value)
