"""Turn a fitted pipeline's predictions into frames that can be stored or measured."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from pyspark.ml import PipelineModel
from pyspark.ml.feature import IndexToString
from pyspark.ml.functions import vector_to_array
from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from batchml.config import Task


@dataclass(frozen=True)
class MeanBaseline:
    """The same number for every row: the mean of the label in the rows fitted on."""

    mean: float


@dataclass(frozen=True)
class SharesBaseline:
    """The same probabilities for every row: the share of each class in the rows fitted on."""

    shares: Mapping[str, float]


Baseline = MeanBaseline | SharesBaseline


def classes_of(model: PipelineModel) -> list[str]:
    """Return the classes of a model by index, none for regression."""
    last = model.stages[-1]
    if isinstance(last, IndexToString):
        return list(last.getLabels())
    return []


def with_predictions(model: PipelineModel, frame: DataFrame, task: Task, label: str) -> DataFrame:
    """Return ``frame`` with predictions, in the columns that metrics are computed from."""
    scored = model.transform(frame)
    if task == "regression":
        return _with_number(scored, label)

    classes = classes_of(model)
    outputs = vector_to_array(F.col("probability"))
    # A network may have more outputs than classes.
    probabilities = F.slice(outputs, 1, len(classes))
    by_class = F.map_from_arrays(_literals(classes), probabilities)
    return _with_class(scored, label).withColumn("probabilities", by_class)


def to_store(measured: DataFrame, prediction_type: str, model_version: int) -> DataFrame:
    """Return predictions and labels as ``prediction_type``, with the model's version.

    Classes are strings while they are measured, whatever the label's type.
    """
    columns = {
        "prediction": F.col("prediction").cast(prediction_type),
        "label": F.col("label").cast(prediction_type),
        "model_version": F.lit(model_version).cast("long"),
    }
    return measured.withColumns(columns)


def constant_baseline(fit: DataFrame, task: Task, label: str) -> Baseline:
    """Return the mean of the label in the rows fitted on, or the share of each class."""
    if task == "regression":
        [row] = fit.agg(F.avg(label)).collect()
        return MeanBaseline(row[0])
    name = F.col(label).cast("string")
    counted = fit.groupBy(name).count()
    counts = {row[0]: row[1] for row in counted.collect()}
    total = sum(counts.values())
    shares = {name: counts[name] / total for name in sorted(counts)}
    return SharesBaseline(shares)


def with_baseline(
    frame: DataFrame,
    baseline: Baseline,
    label: str,
    column: str | None = None,
) -> DataFrame:
    """Return ``frame`` as the baseline predicts it, in the columns that metrics are computed from.

    ``column`` is a number of the frame that is itself a forecast. The constant is used where the
    frame lacks it, and where it is null.
    """
    if isinstance(baseline, SharesBaseline):
        return _with_shares(frame, baseline.shares, label)
    prediction = F.lit(float(baseline.mean))
    if column is not None and column in frame.columns:
        forecast = F.col(column).cast("double")
        prediction = F.coalesce(forecast, prediction)
    predicted = frame.withColumn("prediction", prediction)
    return _with_number(predicted, label)


def _with_shares(frame: DataFrame, shares: Mapping[str, float], label: str) -> DataFrame:
    most_common = max(shares, key=lambda name: shares[name])
    names = _literals(shares.keys())
    probabilities = _literals(shares.values())
    columns = {
        "prediction": F.lit(most_common),
        "probabilities": F.map_from_arrays(names, probabilities),
    }
    return _with_class(frame, label).withColumns(columns)


def _literals(values: Iterable[str | float]) -> Column:
    """Return an array of the same values in every row."""
    return F.array([F.lit(value) for value in values])


def _with_number(frame: DataFrame, label: str) -> DataFrame:
    """Add ``label`` as a double; null while it is unknown."""
    return frame.withColumn("label", F.col(label).cast("double"))


def _with_class(frame: DataFrame, label: str) -> DataFrame:
    """Add ``label`` as a string, which is how classes are measured; null while it is unknown."""
    return frame.withColumn("label", F.col(label).cast("string"))
