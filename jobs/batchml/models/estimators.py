"""Build estimators by name, each inside one pyspark.ml Pipeline that starts from raw columns.

The fitted pipeline needs nothing else to predict. It fills gaps, encodes categories (one never seen
in training is scored as unknown) and, for classification, returns the class by its name.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from py4j.protocol import Py4JJavaError
from pyspark.errors import IllegalArgumentException, PySparkException
from pyspark.ml import Pipeline, PipelineModel
from pyspark.ml.classification import GBTClassifier, LogisticRegression, RandomForestClassifier
from pyspark.ml.feature import Imputer, IndexToString, OneHotEncoder, StringIndexer, VectorAssembler
from pyspark.ml.regression import GBTRegressor, LinearRegression, RandomForestRegressor
from pyspark.sql import DataFrame
from pyspark.sql import functions as F
from xgboost.spark import SparkXGBClassifier, SparkXGBRegressor

from batchml.config import Inputs
from batchml.errors import BadConfig
from batchml.models import predictor, refusals
from batchml.models.recipe import (
    CLASS_WEIGHT,
    FILLED,
    LABEL_INDEX,
    PREDICTION_INDEX,
    Kind,
    Recipe,
)

ESTIMATORS: dict[str, Kind] = {
    "linear": Kind({"regression": LinearRegression}, one_hot=True),
    "logistic": Kind({"classification": LogisticRegression}, one_hot=True),
    "random_forest": Kind(
        {
            "regression": RandomForestRegressor,
            "classification": RandomForestClassifier,
        },
        one_hot=False,
    ),
    "gbt": Kind(
        {
            "regression": GBTRegressor,
            "classification": GBTClassifier,
        },
        one_hot=False,
    ),
    "xgboost": Kind(
        {
            "regression": SparkXGBRegressor,
            "classification": SparkXGBClassifier,
        },
        one_hot=False,
        fills_gaps=True,
        row_bytes=60,
        input_bytes=30,
        class_bytes=12,
    ),
    "git": Kind({}, one_hot=True),
}


def bytes_per_row(kind: str, inputs: int, classes: int) -> int:
    """Return the memory that a fit needs for each row outside of Spark's heap.

    It is 0 for MLlib, which spills to disk, and for code from Git, whose need is unknown.
    """
    need = ESTIMATORS[kind]
    return need.row_bytes + need.input_bytes * inputs + need.class_bytes * classes


def build(recipe: Recipe, overrides: Mapping[str, Any] | None = None) -> Pipeline:
    """Return the unfitted pipeline. ``overrides`` are the parameters of a tuning trial.

    Raise BadConfig for an unknown or refused parameter of the estimator.
    """
    _require_separable(recipe)
    kind = ESTIMATORS[recipe.estimator.kind]
    stages = _preparation(recipe.inputs, kind)
    params = recipe.estimator.params | dict(overrides or {})
    if recipe.factory is None:
        stages.append(predictor.by_name(recipe, kind, params))
    else:
        stages.append(predictor.from_git(recipe, recipe.factory, params))

    if recipe.task == "classification":
        names = IndexToString(
            inputCol=PREDICTION_INDEX,
            outputCol="prediction",
            labels=list(recipe.classes),
        )
        stages.append(names)
    return Pipeline(stages=stages)


def _require_separable(recipe: Recipe) -> None:
    """Raise BadConfig if the estimator separates two classes, and the label has more."""
    classes = recipe.classes
    if recipe.estimator.kind == "gbt" and len(classes) > 2:
        raise BadConfig(
            f"{recipe.file}: estimator.kind gbt separates two classes, but {recipe.label} has "
            f"{len(classes)}: {', '.join(classes[:10])}",
            remedy="take random_forest or xgboost",
        )


def _preparation(inputs: Inputs, kind: Kind) -> list[Any]:
    """Return the stages from raw columns to the vector ``features``."""
    stages: list[Any] = []
    numeric = list(inputs.numeric)
    if numeric and not kind.fills_gaps:
        filled = [f"{name}{FILLED}" for name in numeric]
        imputer = Imputer(strategy="median", inputCols=numeric, outputCols=filled)
        stages.append(imputer)
        numeric = filled

    categorical = list(inputs.categorical)
    if categorical:
        indexed = [f"{name}__index" for name in categorical]
        indexer = StringIndexer(
            inputCols=categorical,
            outputCols=indexed,
            handleInvalid="keep",
        )
        stages.append(indexer)
        categorical = indexed
    if categorical and kind.one_hot:
        indicators = [f"{name}__is" for name in inputs.categorical]
        encoder = OneHotEncoder(inputCols=categorical, outputCols=indicators)
        stages.append(encoder)
        categorical = indicators

    assembler = VectorAssembler(
        inputCols=numeric + categorical,
        outputCol="features",
        handleInvalid="keep",
    )
    stages.append(assembler)
    return stages


def fit(recipe: Recipe, overrides: Mapping[str, Any], rows: DataFrame) -> PipelineModel:
    """Return the pipeline fitted on ``rows``.

    Raise BadConfig if the estimator refuses its parameters once it sees the rows, and BadData if it
    refuses the rows.
    """
    if recipe.class_weight == "balanced":
        rows = with_class_weight(rows)
    try:
        return build(recipe, overrides).fit(rows)
    except IllegalArgumentException as error:
        raise refusals.refused_argument(recipe, rows, error) from error
    except (PySparkException, Py4JJavaError) as error:
        refusal = refusals.refused_in_task(recipe, str(error))
        if refusal is None:
            raise
        raise refusal from error


def with_class_weight(rows: DataFrame) -> DataFrame:
    """Add ``class_weight``, which makes every class weigh the same.

    It is the number of rows over (classes times rows of the class).
    """
    counted = rows.groupBy(LABEL_INDEX).count().collect()
    sizes = {row[LABEL_INDEX]: row["count"] for row in counted}
    total = sum(sizes.values())
    weight = F.lit(None).cast("double")
    for index, size in sizes.items():
        is_class = F.col(LABEL_INDEX) == index
        class_weight = total / (len(sizes) * size)
        weight = F.when(is_class, class_weight).otherwise(weight)
    return rows.withColumn(CLASS_WEIGHT, weight)


def with_label_index(frame: DataFrame, label: str, classes: Sequence[str]) -> DataFrame:
    """Add ``label_index``, the position of the label in ``classes`` as a double.

    It is null for a class that is not among them.
    """
    names = F.array([F.lit(name) for name in classes])
    # Spark counts from 1, and returns 0 for a missing value.
    position = F.array_position(names, F.col(label).cast("string"))
    index = (position - 1).cast("double")
    return frame.withColumn(LABEL_INDEX, F.when(position > 0, index))
