"""Apply a pipeline's checks: a failing row is quarantined with the reason, never dropped."""

from collections.abc import Sequence
from typing import Any

from pyspark.errors import AnalysisException, ParseException
from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F
from pyspark.sql.types import BooleanType

from batchml.config import Check
from batchml.config.columns import MALFORMED, OUTSIDE_PERIOD
from batchml.errors import BadConfig, first_line
from batchml.rows.columns import column
from batchml.rows.reasons import failing


def validate_checks(checks: Sequence[Check], frame: DataFrame, pipeline: str) -> None:
    """Raise BadConfig with every check that is not a condition on the columns of ``frame``."""
    problems = []
    for check in checks:
        try:
            problem = _problem(check.expect, frame)
        except (AnalysisException, ParseException) as error:
            problem = first_line(error)
        if problem:
            problems.append(f"checks: {check.name} expects {check.expect!r}: {problem}")
    if problems:
        raise BadConfig(
            f"conf/pipelines/{pipeline}.yaml: a check is not a condition on the columns",
            *problems,
        )


def _problem(expect: str, frame: DataFrame) -> str:
    """Return why ``expect`` is not a condition on one row, or an empty text."""
    selected = frame.select(F.expr(expect).alias("holds"))
    received = selected.schema["holds"].dataType
    if not isinstance(received, BooleanType):
        return f"it is {received.simpleString()}, not true or false"
    # Alone, an aggregate is legal. In a filter Spark refuses it, and window functions too.
    filtered = frame.where(F.expr(expect))
    _ = filtered.schema
    if not _is_deterministic(selected):
        return "it has another value each time it is computed"
    return ""


def _is_deterministic(frame: DataFrame) -> bool:
    """Return True if the columns of ``frame`` have the same values each time."""
    plan: Any = frame._jdf
    expressions = plan.queryExecution().analyzed().expressions()
    for place in range(expressions.size()):
        expression = expressions.apply(place)
        if not expression.deterministic():
            return False
    return True


def apply_checks(frame: DataFrame, checks: Sequence[Check]) -> DataFrame:
    """Add ``reasons`` and ``warnings``, the names of the checks that a row fails.

    ``frame`` has the booleans ``in_period`` and ``fits`` and the reasons ``misfits`` from its
    source. A row that is malformed, is outside its file's period or has a cell that does not fit
    its column fails for that reason, in addition to any other failing check.
    """
    # Put each into a separate column, so that Spark computes it once.
    failures = {}
    for check in checks:
        is_true = F.coalesce(F.expr(check.expect), F.lit(False))
        failures[_column(check.name)] = ~is_true
    computed = frame.withColumns(failures)

    from_source = {
        MALFORMED: ~F.col("fits"),
        OUTSIDE_PERIOD: ~F.col("in_period"),
    }
    rejecting = {}
    warning = {}
    for check in checks:
        fails = column(_column(check.name))
        if check.on_fail == "reject":
            rejecting[check.name] = fails
        else:
            warning[check.name] = fails
    reasons = F.concat(
        failing(from_source),
        F.col("misfits"),
        failing(rejecting),
    )
    names = {"reasons": reasons, "warnings": failing(warning)}
    checked = computed.withColumns(names)
    return checked.drop(*failures)


def passes() -> Column:
    """Return a condition that is true for rows of silver."""
    return F.size("reasons") == 0


def _column(check: str) -> str:
    return f"batchml: fails {check}"
