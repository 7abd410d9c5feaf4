"""Explain a fitted model by the importance and the weights of its inputs."""

import math
from collections.abc import Sequence
from typing import Any

from pyspark.ml import PipelineModel, Transformer
from pyspark.ml.feature import IndexToString
from pyspark.ml.stat import Summarizer
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from batchml.models.recipe import FILLED


def importances(model: PipelineModel, rows: DataFrame, columns: Sequence[str]) -> dict[str, float]:
    """Return the share of importance per input of ``columns``, summing to 1.

    The result is empty if no input has a share, or the estimator has no importances.

    For trees it is the total gain (xgboost) or the impurity decrease (MLlib). For linear models it
    is the absolute coefficient times the standard deviation of its slot, so that units do not
    matter. The slots of one column are added up.
    """
    fitted = _predictor(model)
    per_slot = _slot_importances(fitted, rows.select("features"))
    slot_columns = _slot_columns(rows, columns)
    per_column = dict.fromkeys(columns, 0.0)
    for slot, value in enumerate(per_slot):
        column = slot_columns[slot]
        per_column[column] += value

    total = sum(per_column.values())
    if total <= 0:
        return {}
    return {name: value / total for name, value in per_column.items()}


def coefficients(model: PipelineModel, rows: DataFrame) -> dict[str, float]:
    """Return the weight of each slot of the features by its name, and ``intercept``.

    The result is empty for a model that is not linear or has more than one set of weights. ``rows``
    are transformed by ``model``.
    """
    fitted = _predictor(model)
    # For more than two classes, Java raises on access to the single intercept.
    intercepts = getattr(fitted, "interceptVector", (0.0,))
    if len(intercepts) > 1:
        return {}
    if not hasattr(fitted, "intercept") or not hasattr(fitted, "coefficients"):
        return {}

    weights = {"intercept": float(fitted.intercept)}
    slots = fitted.coefficients.toArray()
    for name, weight in zip(_slot_names(rows), slots, strict=True):
        weights[name.removesuffix(FILLED)] = float(weight)
    return weights


def _predictor(model: PipelineModel) -> Transformer:
    stages = [stage for stage in model.stages if not isinstance(stage, IndexToString)]
    return stages[-1]


def _slot_importances(fitted: Any, features: DataFrame) -> list[float]:
    """Return the importance of each slot of the features; none if the estimator has none."""
    if hasattr(fitted, "get_booster"):
        return _gains(fitted)
    if hasattr(fitted, "featureImportances"):
        shares = fitted.featureImportances.toArray()
        return [float(share) for share in shares]
    if hasattr(fitted, "coefficientMatrix"):
        weights_by_class = fitted.coefficientMatrix.toArray()
        return _scaled(weights_by_class, features)
    if hasattr(fitted, "coefficients"):
        weights = fitted.coefficients.toArray()
        return _scaled([weights], features)
    return []


def _gains(fitted: Any) -> list[float]:
    """Return xgboost's total gain of each slot, up to the last one that has a gain."""
    gains = fitted.get_feature_importances(importance_type="total_gain")
    by_slot = {int(name.removeprefix("f")): gain for name, gain in gains.items()}
    slots = 1 + max(by_slot, default=-1)
    return [float(by_slot.get(slot, 0.0)) for slot in range(slots)]


def _scaled(weights: Sequence[Sequence[float]], features: DataFrame) -> list[float]:
    """Return the absolute weights of each slot times its standard deviation.

    ``weights`` has one row, or one per class.
    """
    deviation = Summarizer.std(F.col("features"))
    [row] = features.select(deviation.alias("std")).collect()
    scaled = []
    for slot, spread in enumerate(row["std"]):
        if math.isnan(spread):
            # This is the deviation of a single row.
            scaled.append(0.0)
            continue
        weight = sum(abs(float(of_class[slot])) for of_class in weights)
        scaled.append(weight * spread)
    return scaled


def _slot_columns(rows: DataFrame, columns: Sequence[str]) -> list[str]:
    """Return the raw column behind each slot of the assembled vector."""
    # A column's name may begin with another's, so the longest comes first.
    by_length = sorted(columns, key=len, reverse=True)
    return [_column_of(name, by_length) for name in _slot_names(rows)]


def _column_of(slot: str, columns: Sequence[str]) -> str:
    for column in columns:
        is_derived = slot.startswith(f"{column}__")
        if slot == column or is_derived:
            return column
    raise AssertionError(f"slot {slot} belongs to no input")


def _slot_names(rows: DataFrame) -> list[str]:
    """Return the names of the slots in their order, from the metadata of VectorAssembler."""
    groups = rows.schema["features"].metadata["ml_attr"]["attrs"]
    attributes: list[dict[str, Any]] = []
    for group in groups.values():
        attributes += group
    attributes.sort(key=lambda attribute: attribute["idx"])
    return [attribute["name"] for attribute in attributes]
