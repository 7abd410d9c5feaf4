"""Estimators by name, each inside one pyspark.ml Pipeline that starts from raw feature columns.

The fitted pipeline needs nothing else to predict: it fills gaps, encodes categories (one never seen in training is
scored as unknown) and, for classification, gives back the class by its name.
"""

import difflib
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
from batchml.errors import BadConfig, BadData

LABEL_INDEX = "label_index"
PREDICTION_INDEX = "prediction_index"
CLASS_WEIGHT = "class_weight"
FILLED = "__filled"


@dataclass(frozen=True)
class Kind:
    """What an estimator's name stands for.

    ``one_hot``: categories become indicator columns (otherwise their index). ``fills_gaps``: it needs no imputation.
    """

    makers: Mapping[str, Callable[[], Any]]
    one_hot: bool
    fills_gaps: bool = False
    tolerance: float = 1e-9
    """By which share a metric may differ when the same model is trained again on the same rows."""
    row_bytes: int = 0
    """Memory that a fit needs outside of Spark's heap: for a row, and for its inputs and classes."""
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
# Where a stored model's classes must come from: they are all that evaluating and scoring have at hand.
KNOWN_CLASSES = ("pyspark.ml.", "xgboost.spark.")
# What estimators say inside of a task, where Spark knows no kind of error for it.
TWO_CLASSES = re.compile(r"Labels MUST be in \{0, 1\}.*|.*only supports? binary classification.*")
WRONG_PARAMETER = re.compile(
    r"[Vv]alue \S+ for Parameter .*|Unknown objective function.*|Invalid Parameter format.*"
)
Factory = Callable[..., Any]


@dataclass(frozen=True)
class Recipe:
    """All that a model is made of but its rows.

    ``classes`` are the label's values in the order of their index (none for regression), ``factory``
    is the function of an estimator of kind ``git``, ``pipeline`` the name that messages give.
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
        """Return where its configuration is, for messages."""
        return f"conf/pipelines/{self.pipeline}.yaml"


def bytes_per_row(kind: str, inputs: int, classes: int) -> int:
    """Return the memory that a fit needs for each row outside of Spark's heap.

    0 for MLlib, which spills what does not fit, and for code from Git, of which nothing is known.
    """
    given = ESTIMATORS[kind]
    return given.row_bytes + given.input_bytes * inputs + given.class_bytes * classes


def build(recipe: Recipe, overrides: Mapping[str, Any] | None = None) -> Pipeline:
    """Return the unfitted pipeline; ``overrides`` are the parameters of a tuning trial.

    Raise BadConfig for a parameter the estimator does not have or take.
    """
    kind = ESTIMATORS[recipe.estimator.kind]
    if recipe.estimator.kind == "gbt" and len(recipe.classes) > 2:
        raise BadConfig(
            f"{recipe.file}: estimator.kind gbt separates two classes, but {recipe.label} has "
            f"{len(recipe.classes)}: {', '.join(recipe.classes[:10])}",
            remedy="take random_forest or xgboost",
        )
    stages: list[Any] = []
    numeric = list(recipe.inputs.numeric)
    categorical = list(recipe.inputs.categorical)
    if numeric and not kind.fills_gaps:
        filled = [f"{name}{FILLED}" for name in numeric]
        stages.append(Imputer(strategy="median", inputCols=numeric, outputCols=filled))
        numeric = filled
    if categorical:
        indexed = [f"{name}__index" for name in categorical]
        stages.append(
            StringIndexer(inputCols=categorical, outputCols=indexed, handleInvalid="keep")
        )
        categorical = indexed
    if categorical and kind.one_hot:
        hot = [f"{name}__is" for name in recipe.inputs.categorical]
        stages.append(OneHotEncoder(inputCols=categorical, outputCols=hot))
        categorical = hot
    stages.append(
        VectorAssembler(inputCols=numeric + categorical, outputCol="features", handleInvalid="keep")
    )

    params = {**recipe.estimator.params, **(overrides or {})}
    if recipe.factory is None:
        stages.append(_estimator(recipe, kind, params))
    else:
        stages.append(_from_git(recipe, recipe.factory, params))
    if recipe.task == "classification":
        labels = list(recipe.classes)
        stages.append(
            IndexToString(inputCol=PREDICTION_INDEX, outputCol="prediction", labels=labels)
        )
    return Pipeline(stages=stages)


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
            str(error).splitlines()[0],
            remedy="change estimator.params or estimator.grid",
        ) from error
    except (PySparkException, Py4JJavaError) as error:
        refusal = _refusal(recipe, str(error))
        if refusal is None:
            raise
        raise refusal from error


def _refusal(recipe: Recipe, text: str) -> BadConfig | BadData | None:
    """Return the error for what an estimator says about its rows or parameters inside of a task.

    None for any other failure. ``text`` is what Spark reports, with the traces of both languages.
    """
    if "contains `inf`" in text:
        return BadData(
            f"{recipe.estimator.kind} cannot read a number beyond 3.4e38",
            f"there is one in: {' or '.join(recipe.inputs.numeric)}",
            remedy="quarantine such rows by a check, as in abs(x) < 1e38",
        )
    if found := TWO_CLASSES.search(text):
        return BadConfig(
            f"{recipe.file}: the estimator separates two classes, but {recipe.label} has {len(recipe.classes)}",
            found[0],
            remedy="take random_forest or xgboost",
        )
    if found := WRONG_PARAMETER.search(text):
        return BadConfig(
            f"{recipe.file}: {recipe.estimator.kind} refuses its parameters",
            found[0],
            remedy="change estimator.params or estimator.grid",
        )
    return None


def _empty_category(recipe: Recipe, rows: DataFrame) -> BadData:
    """Return the error for an empty text among the categories, which MLlib cannot name a slot after."""
    names = recipe.inputs.categorical
    columns = [name for name in names if not rows.where(F.col(name).cast("string") == "").isEmpty()]
    return BadData(
        f"{recipe.estimator.kind} cannot have an empty text for a category: {', '.join(columns)}",
        remedy="let the source deliver null or a word in its place, or name it by a feature of kind recode",
    )


def with_class_weight(rows: DataFrame) -> DataFrame:
    """Add ``class_weight``, which makes every class weigh the same.

    It is the number of rows over (classes times rows of the class).
    """
    sizes = {row[LABEL_INDEX]: row["count"] for row in rows.groupBy(LABEL_INDEX).count().collect()}
    weight = F.lit(None).cast("double")
    for index, size in sizes.items():
        weight = F.when(
            F.col(LABEL_INDEX) == index, sum(sizes.values()) / (len(sizes) * size)
        ).otherwise(weight)
    return rows.withColumn(CLASS_WEIGHT, weight)


def with_label_index(frame: DataFrame, label: str, classes: Sequence[str]) -> DataFrame:
    """Add ``label_index``, the position of the label in ``classes`` as a double.

    It is null for a class that is not among them.
    """
    position = F.array_position(
        F.array(*(F.lit(name) for name in classes)), F.col(label).cast("string")
    )
    return frame.withColumn(LABEL_INDEX, F.when(position > 0, (position - 1).cast("double")))


def importances(model: PipelineModel, rows: DataFrame, columns: Sequence[str]) -> dict[str, float]:
    """Return the share of importance per input of ``columns``, summing to 1.

    Empty if the model found nothing of use, or is of a kind without importances.

    Trees: total gain (xgboost) or impurity decrease (MLlib). Linear models: absolute coefficient times the standard
    deviation of its slot, so that units do not matter. The slots of one column are added up.
    """
    per_slot = _slot_importances(_predictor(model), rows.select("features"))
    per_column = dict.fromkeys(columns, 0.0)
    slot_columns = _slot_columns(rows, columns)
    for slot, value in enumerate(per_slot):
        per_column[slot_columns[slot]] += value
    total = sum(per_column.values())
    return {name: value / total for name, value in per_column.items()} if total > 0 else {}


def coefficients(model: PipelineModel, rows: DataFrame) -> dict[str, float]:
    """Return the weight of each slot of the features by its name, and ``intercept``.

    Empty for a model that is not linear or has more than one set of weights. ``rows`` are transformed by ``model``.
    """
    fitted = _predictor(model)
    # Of more than two classes Java has no single intercept, and raises when it is asked for one.
    if len(getattr(fitted, "interceptVector", (0.0,))) > 1:
        return {}
    if not hasattr(fitted, "intercept") or not hasattr(fitted, "coefficients"):
        return {}
    names = [name.removesuffix(FILLED) for name in _slot_names(rows)]
    weights = (float(weight) for weight in fitted.coefficients.toArray())
    return {"intercept": float(fitted.intercept), **dict(zip(names, weights, strict=True))}


def _from_git(recipe: Recipe, factory: Factory, params: Mapping[str, Any]) -> Estimator[Any]:
    """Return the estimator that the user's function makes, set to the pipeline's columns and seed.

    A seed that the function has set stays.
    """
    where = f"{recipe.file}: estimator.entry {recipe.estimator.entry!r}"
    try:
        estimator = factory(**params)
    except Exception as error:  # it is somebody's code: whatever it raises is theirs to read
        raise BadConfig(
            f"{where} fails for params {dict(params)}", f"{type(error).__name__}: {error}"
        ) from error
    kind = type(estimator)
    if not isinstance(estimator, Estimator) or not f"{kind.__module__}.".startswith(KNOWN_CLASSES):
        raise BadConfig(
            f"{where} returns a {kind.__module__}.{kind.__qualname__}",
            "expected an unfitted estimator of pyspark.ml or xgboost.spark",
            remedy="a model of another class could not be loaded where it is judged and scored with",
        )
    columns = _columns(
        recipe, is_xgboost=isinstance(estimator, SparkXGBRegressor | SparkXGBClassifier)
    )
    if missing := [name for name in columns if not estimator.hasParam(name)]:
        raise BadConfig(
            f"{where} returns a {kind.__name__}, which has no {missing[0]}: it cannot serve {recipe.task}"
        )
    _set(estimator, columns)
    if estimator.hasParam("seed") and not estimator.isSet("seed"):
        _set(estimator, {"seed": recipe.seed})
    return estimator


def _estimator(recipe: Recipe, kind: Kind, params: Mapping[str, Any]) -> Estimator[Any]:
    estimator = kind.makers[recipe.task]()
    fixed = _columns(
        recipe, is_xgboost=isinstance(estimator, SparkXGBRegressor | SparkXGBClassifier)
    )
    # Which columns it reads and writes is not the YAML's to say.
    known = sorted(
        param.name for param in estimator.params if not param.name.lower().endswith(("col", "cols"))
    )
    where = f"{recipe.file}: estimator.params"
    for name in params:
        if name not in known:
            close = difflib.get_close_matches(name, known, n=1)
            raise BadConfig(
                f"{where}.{name} is not a parameter of {recipe.estimator.kind}",
                f"expected one of: {', '.join(known)}",
                *(f"did you mean {found!r}?" for found in close),
            )
    defaults = {"seed": recipe.seed, "random_state": recipe.seed, "verbose": False}
    defaults = {name: value for name, value in defaults.items() if name in known}
    try:
        _set(estimator, {**defaults, **params, **fixed})
    except (TypeError, ValueError) as error:
        shown = ", ".join(f"{name}={value!r}" for name, value in params.items())
        raise BadConfig(
            f"{where} ({shown}) do not suit {recipe.estimator.kind}",
            str(error),
        ) from error
    return estimator  # type: ignore[no-any-return]  # because the makers have no common type


def _set(estimator: Any, params: Mapping[str, Any]) -> None:
    if isinstance(estimator, SparkXGBRegressor | SparkXGBClassifier):
        estimator.setParams(**params)
        return
    # Not by setParams, whose keywords lack some of MLlib's own parameters (GBTClassifier's probabilityCol).
    for name, value in params.items():
        estimator.set(estimator.getParam(name), value)


def _columns(recipe: Recipe, *, is_xgboost: bool) -> dict[str, str]:
    """Return the columns the estimator reads and writes; xgboost takes them in snake case."""
    names = {"features": "features", "label": recipe.label, "prediction": "prediction"}
    if recipe.task == "classification":
        names |= {
            "label": LABEL_INDEX,
            "prediction": PREDICTION_INDEX,
            "probability": "probability",
        }
    if recipe.class_weight is not None:
        names["weight"] = CLASS_WEIGHT
    return {f"{name}_col" if is_xgboost else f"{name}Col": column for name, column in names.items()}


def _predictor(model: PipelineModel) -> Transformer:
    stages = [stage for stage in model.stages if not isinstance(stage, IndexToString)]
    return stages[-1]


def _slot_importances(fitted: Any, features: DataFrame) -> list[float]:
    if hasattr(fitted, "get_booster"):
        gains = fitted.get_feature_importances(importance_type="total_gain")
        slots = 1 + max((int(name[1:]) for name in gains), default=-1)
        return [float(gains.get(f"f{slot}", 0.0)) for slot in range(slots)]
    if hasattr(fitted, "featureImportances"):
        return [float(value) for value in fitted.featureImportances.toArray()]
    if hasattr(fitted, "coefficientMatrix"):
        rows = fitted.coefficientMatrix.toArray()
    elif hasattr(fitted, "coefficients"):
        rows = [fitted.coefficients.toArray()]
    else:
        return []  # of one's own code, of a kind that weighs no column
    row = features.select(Summarizer.std(F.col("features")).alias("std")).head()
    assert row is not None, "an aggregate without keys has one row"
    weights = [sum(abs(float(line[slot])) for line in rows) for slot in range(len(rows[0]))]
    return [
        0.0 if math.isnan(spread) else weight * spread
        for weight, spread in zip(weights, row["std"], strict=True)
    ]


def _slot_columns(rows: DataFrame, columns: Sequence[str]) -> list[str]:
    """Return the raw column behind each slot of the assembled vector."""
    by_length = sorted(columns, key=len, reverse=True)
    return [
        next(column for column in by_length if name == column or name.startswith(f"{column}__"))
        for name in _slot_names(rows)
    ]


def _slot_names(rows: DataFrame) -> list[str]:
    """Return the names of the slots in their order, from the metadata of VectorAssembler."""
    groups = rows.schema["features"].metadata["ml_attr"]["attrs"].values()
    return [
        name
        for _, name in sorted(
            (attribute["idx"], attribute["name"]) for group in groups for attribute in group
        )
    ]
