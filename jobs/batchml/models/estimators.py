"""Build estimators by name, each inside one pyspark.ml Pipeline that starts from raw columns.

The fitted pipeline needs nothing else to predict. It fills gaps, encodes categories (one never seen
in training is scored as unknown) and, for classification, returns the class by its name.
"""

import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from py4j.protocol import Py4JJavaError
from pyspark.errors import IllegalArgumentException, PySparkException
from pyspark.ml import Estimator, Pipeline, PipelineModel, Transformer
from pyspark.ml.classification import GBTClassifier, LogisticRegression, RandomForestClassifier
from pyspark.ml.feature import Imputer, IndexToString, OneHotEncoder, StringIndexer, VectorAssembler
from pyspark.ml.regression import GBTRegressor, LinearRegression, RandomForestRegressor
from pyspark.ml.stat import Summarizer
from pyspark.sql import DataFrame
from pyspark.sql import functions as F
from xgboost.spark import SparkXGBClassifier, SparkXGBRegressor

from batchml.config import Estimator as EstimatorConfig
from batchml.config import Inputs, Task
from batchml.config.messages import did_you_mean
from batchml.errors import BadConfig, BadData, first_line

LABEL_INDEX = "label_index"
PREDICTION_INDEX = "prediction_index"
CLASS_WEIGHT = "class_weight"
FILLED = "__filled"


@dataclass(frozen=True)
class Kind:
    """The estimator class of each task behind one name, and how to prepare its rows.

    ``one_hot``: categories become indicator columns (otherwise their index). ``fills_gaps``: it
    needs no imputation.
    """

    classes: Mapping[str, Callable[[], Any]]
    one_hot: bool
    fills_gaps: bool = False
    tolerance: float = 1e-9
    """The share by which a metric may differ when the model is trained again on the same rows."""
    row_bytes: int = 0
    """Memory that a fit needs outside of Spark's heap: per row, input of it and class."""
    input_bytes: int = 0
    class_bytes: int = 0


ESTIMATORS: dict[str, Kind] = {
    "linear": Kind({"regression": LinearRegression}, one_hot=True),
    "logistic": Kind({"classification": LogisticRegression}, one_hot=True),
    "random_forest": Kind(
        {"regression": RandomForestRegressor, "classification": RandomForestClassifier},
        one_hot=False,
    ),
    "gbt": Kind({"regression": GBTRegressor, "classification": GBTClassifier}, one_hot=False),
    "xgboost": Kind(
        {"regression": SparkXGBRegressor, "classification": SparkXGBClassifier},
        one_hot=False,
        fills_gaps=True,
        row_bytes=60,
        input_bytes=30,
        class_bytes=12,
    ),
    "git": Kind({}, one_hot=True),
}
# Evaluating and scoring can only load classes from these packages.
KNOWN_CLASSES = ("pyspark.ml.", "xgboost.spark.")
# Spark has no error class for the errors of an estimator inside of a task, only its text.
TWO_CLASSES = re.compile(r"Labels MUST be in \{0, 1\}.*|.*only supports? binary classification.*")
WRONG_PARAMETER = re.compile(
    r"[Vv]alue \S+ for Parameter .*|Unknown objective function.*|Invalid Parameter format.*"
)
Factory = Callable[..., Any]


@dataclass(frozen=True)
class Recipe:
    """Everything that defines a model, except its rows.

    ``classes`` are the label's values in the order of their index (none for regression),
    ``factory`` is the function of an estimator of kind ``git``, and ``pipeline`` the name in
    messages.
    """

    pipeline: str
    task: Task
    label: str
    inputs: Inputs
    estimator: EstimatorConfig
    seed: int
    class_weight: Literal["balanced"] | None = None
    classes: tuple[str, ...] = ()
    factory: Factory | None = None

    @property
    def file(self) -> str:
        """Return the path of its configuration, for messages."""
        return f"conf/pipelines/{self.pipeline}.yaml"


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
    kind = ESTIMATORS[recipe.estimator.kind]
    if recipe.estimator.kind == "gbt" and len(recipe.classes) > 2:
        raise BadConfig(
            f"{recipe.file}: estimator.kind gbt separates two classes, but {recipe.label} has "
            f"{len(recipe.classes)}: {', '.join(recipe.classes[:10])}",
            remedy="take random_forest or xgboost",
        )

    stages = _preparation(recipe.inputs, kind)
    params = recipe.estimator.params | dict(overrides or {})
    if recipe.factory is None:
        stages.append(_estimator(recipe, kind, params))
    else:
        stages.append(_from_git(recipe, recipe.factory, params))

    if recipe.task == "classification":
        stages.append(
            IndexToString(
                inputCol=PREDICTION_INDEX,
                outputCol="prediction",
                labels=list(recipe.classes),
            )
        )
    return Pipeline(stages=stages)


def _preparation(inputs: Inputs, kind: Kind) -> list[Any]:
    """Return the stages from raw columns to the vector ``features``."""
    stages: list[Any] = []
    numeric = list(inputs.numeric)
    categorical = list(inputs.categorical)
    if numeric and not kind.fills_gaps:
        filled = [f"{name}{FILLED}" for name in numeric]
        stages.append(Imputer(strategy="median", inputCols=numeric, outputCols=filled))
        numeric = filled

    if categorical:
        indexed = [f"{name}__index" for name in categorical]
        stages.append(
            StringIndexer(
                inputCols=categorical,
                outputCols=indexed,
                handleInvalid="keep",
            )
        )
        categorical = indexed
    if categorical and kind.one_hot:
        hot = [f"{name}__is" for name in inputs.categorical]
        stages.append(OneHotEncoder(inputCols=categorical, outputCols=hot))
        categorical = hot

    stages.append(
        VectorAssembler(
            inputCols=numeric + categorical,
            outputCol="features",
            handleInvalid="keep",
        )
    )
    return stages


def fit(recipe: Recipe, overrides: Mapping[str, Any], rows: DataFrame) -> PipelineModel:
    """Return the pipeline fitted on ``rows``.

    Raise BadConfig if the estimator refuses its parameters once it sees the rows.
    """
    if recipe.class_weight == "balanced":
        rows = with_class_weight(rows)
    try:
        return build(recipe, overrides).fit(rows)
    except IllegalArgumentException as error:
        if "empty string for name" in str(error):
            raise _empty_category(recipe, rows) from error
        raise BadConfig(
            f"{recipe.file}: {recipe.estimator.kind} refuses its parameters for this data",
            first_line(error),
            remedy="change estimator.params or estimator.grid",
        ) from error
    except (PySparkException, Py4JJavaError) as error:
        refusal = _refusal(recipe, str(error))
        if refusal is None:
            raise
        raise refusal from error


def _refusal(recipe: Recipe, text: str) -> BadConfig | BadData | None:
    """Return the error for an estimator's refusal of its rows or parameters inside of a task.

    Return None for any other failure. ``text`` is Spark's message, with the stack traces of both
    languages.
    """
    if "contains `inf`" in text:
        return BadData(
            f"{recipe.estimator.kind} cannot read a number beyond 3.4e38",
            f"there is one in: {' or '.join(recipe.inputs.numeric)}",
            remedy="quarantine such rows by a check, as in abs(x) < 1e38",
        )

    two_classes = TWO_CLASSES.search(text)
    if two_classes:
        return BadConfig(
            f"{recipe.file}: the estimator separates two classes, but {recipe.label} has "
            f"{len(recipe.classes)}",
            two_classes[0],
            remedy="take random_forest or xgboost",
        )
    wrong_parameter = WRONG_PARAMETER.search(text)
    if wrong_parameter:
        return BadConfig(
            f"{recipe.file}: {recipe.estimator.kind} refuses its parameters",
            wrong_parameter[0],
            remedy="change estimator.params or estimator.grid",
        )
    return None


def _empty_category(recipe: Recipe, rows: DataFrame) -> BadData:
    """Return the error for an empty text in a category: MLlib cannot name a slot after it."""
    columns = []
    for name in recipe.inputs.categorical:
        empty = rows.where(F.col(name).cast("string") == "")
        if not empty.isEmpty():
            columns.append(name)
    return BadData(
        f"{recipe.estimator.kind} cannot have an empty text for a category: {', '.join(columns)}",
        remedy="let the source deliver null or a word in its place, or name it by a feature of "
        "kind recode",
    )


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
        weight = F.when(is_class, total / (len(sizes) * size)).otherwise(weight)
    return rows.withColumn(CLASS_WEIGHT, weight)


def with_label_index(frame: DataFrame, label: str, classes: Sequence[str]) -> DataFrame:
    """Add ``label_index``, the position of the label in ``classes`` as a double.

    It is null for a class that is not among them.
    """
    names = F.array(*map(F.lit, classes))
    position = F.array_position(names, F.col(label).cast("string"))
    return frame.withColumn(LABEL_INDEX, F.when(position > 0, (position - 1).cast("double")))


def importances(model: PipelineModel, rows: DataFrame, columns: Sequence[str]) -> dict[str, float]:
    """Return the share of importance per input of ``columns``, summing to 1.

    The result is empty if no input has a share, or the estimator has no importances.

    For trees it is the total gain (xgboost) or the impurity decrease (MLlib). For linear models it
    is the absolute coefficient times the standard deviation of its slot, so that units do not
    matter. The slots of one column are added up.
    """
    per_slot = _slot_importances(_predictor(model), rows.select("features"))
    per_column = dict.fromkeys(columns, 0.0)
    slot_columns = _slot_columns(rows, columns)
    for slot, value in enumerate(per_slot):
        per_column[slot_columns[slot]] += value
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
    if len(getattr(fitted, "interceptVector", (0.0,))) > 1:
        return {}
    if not hasattr(fitted, "intercept") or not hasattr(fitted, "coefficients"):
        return {}
    weights = {"intercept": float(fitted.intercept)}
    for name, weight in zip(_slot_names(rows), fitted.coefficients.toArray(), strict=True):
        weights[name.removesuffix(FILLED)] = float(weight)
    return weights


def _from_git(recipe: Recipe, factory: Factory, params: Mapping[str, Any]) -> Estimator[Any]:
    """Return the estimator from the user's function, set to the pipeline's columns and seed.

    A seed that the function has set stays.
    """
    where = f"{recipe.file}: estimator.entry {recipe.estimator.entry!r}"
    try:
        estimator = factory(**params)
    except Exception as error:  # the user's code may raise anything, and its author reads it
        raise BadConfig(
            f"{where} fails for params {dict(params)}",
            f"{type(error).__name__}: {error}",
        ) from error

    kind = type(estimator)
    is_known = f"{kind.__module__}.".startswith(KNOWN_CLASSES)
    if not isinstance(estimator, Estimator) or not is_known:
        raise BadConfig(
            f"{where} returns a {kind.__module__}.{kind.__qualname__}",
            "expected an unfitted estimator of pyspark.ml or xgboost.spark",
            remedy="return such an estimator: evaluation and scoring cannot load other classes",
        )
    columns = _columns(recipe, estimator)
    missing = [name for name in columns if not estimator.hasParam(name)]
    if missing:
        raise BadConfig(
            f"{where} returns a {kind.__name__}, which has no {missing[0]}: it cannot serve "
            f"{recipe.task}"
        )

    _set(estimator, columns)
    if estimator.hasParam("seed") and not estimator.isSet("seed"):
        _set(estimator, {"seed": recipe.seed})
    return estimator


def _estimator(recipe: Recipe, kind: Kind, params: Mapping[str, Any]) -> Estimator[Any]:
    """Return the estimator behind a name, with its parameters, columns and seed."""
    estimator = kind.classes[recipe.task]()
    fixed = _columns(recipe, estimator)
    # The pipeline sets the columns, not the YAML.
    names = sorted(param.name for param in estimator.params)
    known = [name for name in names if not name.lower().endswith(("col", "cols"))]
    where = f"{recipe.file}: estimator.params"
    for name in params:
        if name not in known:
            raise BadConfig(
                f"{where}.{name} is not a parameter of {recipe.estimator.kind}",
                *did_you_mean(name, known),
            )

    defaults = {"seed": recipe.seed, "random_state": recipe.seed, "verbose": False}
    settings: dict[str, Any] = {name: value for name, value in defaults.items() if name in known}
    settings |= params
    settings |= fixed
    try:
        _set(estimator, settings)
    except (TypeError, ValueError) as error:
        written = ", ".join(f"{name}={value!r}" for name, value in params.items())
        raise BadConfig(
            f"{where} ({written}) do not suit {recipe.estimator.kind}",
            str(error),
        ) from error
    return estimator  # type: ignore[no-any-return]  # because the classes have no common type


def _is_xgboost(estimator: Any) -> bool:
    return isinstance(estimator, SparkXGBRegressor | SparkXGBClassifier)


def _set(estimator: Any, params: Mapping[str, Any]) -> None:
    if _is_xgboost(estimator):
        estimator.setParams(**params)
        return
    # setParams lacks some of MLlib's own parameters, as GBTClassifier's probabilityCol.
    for name, value in params.items():
        estimator.set(estimator.getParam(name), value)


def _columns(recipe: Recipe, estimator: Any) -> dict[str, str]:
    """Return the columns the estimator reads and writes by its parameter for each."""
    names = {
        "features": "features",
        "label": recipe.label,
        "prediction": "prediction",
    }
    if recipe.task == "classification":
        names["label"] = LABEL_INDEX
        names["prediction"] = PREDICTION_INDEX
        names["probability"] = "probability"
    if recipe.class_weight is not None:
        names["weight"] = CLASS_WEIGHT
    # xgboost has snake case.
    suffix = "_col" if _is_xgboost(estimator) else "Col"
    return {f"{name}{suffix}": column for name, column in names.items()}


def _predictor(model: PipelineModel) -> Transformer:
    stages = [stage for stage in model.stages if not isinstance(stage, IndexToString)]
    return stages[-1]


def _slot_importances(fitted: Any, features: DataFrame) -> list[float]:
    """Return the importance of each slot of the features; none if the estimator has none."""
    if hasattr(fitted, "get_booster"):
        gains = fitted.get_feature_importances(importance_type="total_gain")
        slots = 1 + max((int(name[1:]) for name in gains), default=-1)
        return [float(gains.get(f"f{slot}", 0.0)) for slot in range(slots)]
    if hasattr(fitted, "featureImportances"):
        return [float(value) for value in fitted.featureImportances.toArray()]
    if hasattr(fitted, "coefficientMatrix"):
        return _scaled(fitted.coefficientMatrix.toArray(), features)
    if hasattr(fitted, "coefficients"):
        return _scaled([fitted.coefficients.toArray()], features)
    return []


def _scaled(weights: Sequence[Sequence[float]], features: DataFrame) -> list[float]:
    """Return the absolute weights of each slot times its standard deviation.

    ``weights`` has one row, or one per class.
    """
    [row] = features.select(Summarizer.std(F.col("features")).alias("std")).collect()
    scaled = []
    for slot, spread in enumerate(row["std"]):
        weight = sum(abs(float(of_class[slot])) for of_class in weights)
        # The deviation of a single row is NaN.
        scaled.append(0.0 if math.isnan(spread) else weight * spread)
    return scaled


def _slot_columns(rows: DataFrame, columns: Sequence[str]) -> list[str]:
    """Return the raw column behind each slot of the assembled vector."""
    # A column's name may begin with another's, so the longest comes first.
    by_length = sorted(columns, key=len, reverse=True)
    return [_column_of(name, by_length) for name in _slot_names(rows)]


def _column_of(slot: str, columns: Sequence[str]) -> str:
    for column in columns:
        if slot == column or slot.startswith(f"{column}__"):
            return column
    raise AssertionError(f"slot {slot} belongs to no input")


def _slot_names(rows: DataFrame) -> list[str]:
    """Return the names of the slots in their order, from the metadata of VectorAssembler."""
    groups = rows.schema["features"].metadata["ml_attr"]["attrs"].values()
    attributes: list[dict[str, Any]] = []
    for group in groups:
        attributes += group
    attributes.sort(key=lambda attribute: attribute["idx"])
    return [attribute["name"] for attribute in attributes]
