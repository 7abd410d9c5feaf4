"""From a fitted pipeline to frames that can be stored or measured."""

from collections.abc import Mapping, Sequence
from typing import Any

from pyspark.ml import PipelineModel
from pyspark.ml.feature import IndexToString
from pyspark.ml.functions import vector_to_array
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from batchml.config import Pipeline


def classes_of(model: PipelineModel) -> list[str]:
    """The classes a model tells apart, by index; none for regression."""
    last = model.stages[-1]
    return list(last.getLabels()) if isinstance(last, IndexToString) else []


def with_predictions(model: PipelineModel, frame: DataFrame, config: Pipeline) -> DataFrame:
    """``frame`` scored, in the columns that metrics are computed from."""
    return to_measure(model.transform(frame), config, classes_of(model))


def to_measure(scored: DataFrame, config: Pipeline, classes: Sequence[str]) -> DataFrame:
    """Adds ``label`` (null while unknown) and, for classification, ``probabilities``, by the classes' names."""
    if config.task == "regression":
        return scored.withColumn("label", F.col(config.label).cast("double"))
    names = F.array(*(F.lit(name) for name in classes))
    given = F.slice(vector_to_array(F.col("probability")), 1, len(classes))  # a network may have outputs to spare
    by_class = F.map_from_arrays(names, given)
    return scored.withColumns({"label": F.col(config.label).cast("string"), "probabilities": by_class})


def to_store(measured: DataFrame, config: Pipeline, model_version: int) -> DataFrame:
    """Predictions and labels in the label's own type (classes are measured as strings), with the model's version."""
    answer = config.column_types[config.label] if config.task == "classification" else "double"
    columns = {name: F.col(name).cast(answer) for name in ("prediction", "label")}
    return measured.withColumns({**columns, "model_version": F.lit(model_version).cast("long")})


def constant(fit: DataFrame, config: Pipeline) -> dict[str, Any]:
    """The constant baseline of the rows fitted on: their mean, or each class's share."""
    if config.task == "regression":
        row = fit.agg(F.avg(config.label)).head()
        assert row is not None, "an aggregate without keys has one row"
        return {"mean": row[0]}
    counts = {row[0]: row[1] for row in fit.groupBy(F.col(config.label).cast("string")).count().collect()}
    total = sum(counts.values())
    return {"shares": {name: counts[name] / total for name in sorted(counts)}}


def with_baseline(frame: DataFrame, baseline: Mapping[str, Any], config: Pipeline) -> DataFrame:
    """``frame`` as the baseline would score it, in the columns that metrics are computed from: ``gate.baseline``, as
    far as there is one and the frame knows it, else the constant."""
    if config.task == "regression":
        answer = F.lit(float(baseline["mean"]))
        if config.gate.baseline in frame.columns:
            answer = F.coalesce(F.col(str(config.gate.baseline)).cast("double"), answer)
        return to_measure(frame.withColumn("prediction", answer), config, [])
    shares: Mapping[str, float] = baseline["shares"]
    most_common = max(shares, key=lambda name: shares[name])
    by_class = F.create_map(*(F.lit(value) for share in shares.items() for value in share))
    label = F.col(config.label).cast("string")
    return frame.withColumns({"label": label, "prediction": F.lit(most_common), "probabilities": by_class})
