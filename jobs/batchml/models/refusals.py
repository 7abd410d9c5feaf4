"""Translate the errors of a fit that the recipe or its rows cause."""

import re

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from batchml.errors import BadConfig, BadData, first_line
from batchml.models.recipe import Recipe

# Spark has no error class for the errors of an estimator inside of a task, only its text.
EMPTY_NAME = "empty string for name"
INFINITE = "contains `inf`"
TWO_CLASSES = re.compile(r"Labels MUST be in \{0, 1\}.*|.*only supports? binary classification.*")
WRONG_PARAMETER = re.compile(
    r"[Vv]alue \S+ for Parameter .*|Unknown objective function.*|Invalid Parameter format.*"
)


def refused_argument(recipe: Recipe, rows: DataFrame, error: Exception) -> BadConfig | BadData:
    """Return the error for an argument that an estimator refuses before its first task."""
    if EMPTY_NAME in str(error):
        return _empty_category(recipe, rows)
    return BadConfig(
        f"{recipe.file}: {recipe.estimator.kind} refuses its parameters for this data",
        first_line(error),
        remedy="change estimator.params or estimator.grid",
    )


def refused_in_task(recipe: Recipe, text: str) -> BadConfig | BadData | None:
    """Return the error for an estimator's refusal of its rows or parameters inside of a task.

    Return None for any other failure. ``text`` is Spark's message, with the stack traces of both
    languages.
    """
    if INFINITE in text:
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
