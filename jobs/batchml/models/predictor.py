"""Create the estimator of a recipe, by its name or from Git, with parameters, columns and seed."""

from collections.abc import Mapping
from typing import Any

from pyspark.ml import Estimator
from xgboost.spark import SparkXGBClassifier, SparkXGBRegressor

from batchml.config.messages import did_you_mean
from batchml.errors import BadConfig
from batchml.models.recipe import (
    CLASS_WEIGHT,
    LABEL_INDEX,
    PREDICTION_INDEX,
    Factory,
    Kind,
    Recipe,
)

# Evaluating and scoring can only load classes from these packages.
KNOWN_CLASSES = ("pyspark.ml.", "xgboost.spark.")


def by_name(recipe: Recipe, kind: Kind, params: Mapping[str, Any]) -> Estimator[Any]:
    """Return the estimator behind a name, with its parameters, columns and seed.

    Raise BadConfig for an unknown or refused parameter.
    """
    estimator = kind.classes[recipe.task]()
    known = _configurable(estimator)
    for name in params:
        if name not in known:
            raise BadConfig(
                f"{recipe.file}: estimator.params.{name} is not a parameter of "
                f"{recipe.estimator.kind}",
                *did_you_mean(name, known),
            )

    defaults = {
        "seed": recipe.seed,
        "random_state": recipe.seed,
        "verbose": False,
    }
    settings: dict[str, Any] = {}
    for name, value in defaults.items():
        if name in known:
            settings[name] = value
    settings |= params
    settings |= _columns(recipe, estimator)
    try:
        _set(estimator, settings)
    except (TypeError, ValueError) as error:
        written = [f"{name}={value!r}" for name, value in params.items()]
        raise BadConfig(
            f"{recipe.file}: estimator.params ({', '.join(written)}) do not suit "
            f"{recipe.estimator.kind}",
            str(error),
        ) from error
    return estimator  # type: ignore[no-any-return]  # because the classes have no common type


def from_git(recipe: Recipe, factory: Factory, params: Mapping[str, Any]) -> Estimator[Any]:
    """Return the estimator from the user's function, set to the pipeline's columns and seed.

    A seed that the function has set stays. Raise BadConfig if the function fails, or if it returns
    something else than an estimator for the pipeline's task.
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


def _configurable(estimator: Any) -> list[str]:
    """Return the parameters that the YAML may set. The pipeline sets those for columns."""
    names = sorted(param.name for param in estimator.params)
    return [name for name in names if not name.lower().endswith(("col", "cols"))]


def _columns(recipe: Recipe, estimator: Any) -> dict[str, str]:
    """Return the columns the estimator reads and writes by its parameter for each."""
    columns = {
        "features": "features",
        "label": recipe.label,
        "prediction": "prediction",
    }
    if recipe.task == "classification":
        columns["label"] = LABEL_INDEX
        columns["prediction"] = PREDICTION_INDEX
        columns["probability"] = "probability"
    if recipe.class_weight is not None:
        columns["weight"] = CLASS_WEIGHT

    suffix = "Col"
    if _is_xgboost(estimator):
        suffix = "_col"
    return {f"{name}{suffix}": column for name, column in columns.items()}


def _set(estimator: Any, params: Mapping[str, Any]) -> None:
    if _is_xgboost(estimator):
        estimator.setParams(**params)
        return
    # setParams lacks some of MLlib's own parameters, as GBTClassifier's probabilityCol.
    for name, value in params.items():
        param = estimator.getParam(name)
        estimator.set(param, value)


def _is_xgboost(estimator: Any) -> bool:
    return isinstance(estimator, SparkXGBRegressor | SparkXGBClassifier)
