"""Checks are facts that must hold; a row that fails one is kept apart with the reason, never dropped."""

from collections.abc import Sequence

from pyspark.errors import AnalysisException, ParseException
from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F
from pyspark.sql import types as T

from batchml.config import Check
from batchml.errors import BadConfig

OUTSIDE_PERIOD = "event_time_is_inside_the_file_period"
MALFORMED = "line_is_well_formed"


def require_sound(checks: Sequence[Check], frame: DataFrame, pipeline: str) -> None:
    """Raise BadConfig with every check that is not a condition on the columns of ``frame``."""
    problems = []
    for check in checks:
        try:
            found = frame.select(F.expr(check.expect).alias("holds")).schema["holds"].dataType
            problem = "" if isinstance(found, T.BooleanType) else f"it is {found.simpleString()}, not true or false"
        except (AnalysisException, ParseException) as error:
            problem = str(error).strip().splitlines()[0]
        if problem:
            problems.append(f"checks: {check.name} expects {check.expect!r}: {problem}")
    if problems:
        raise BadConfig(f"conf/pipelines/{pipeline}.yaml: a check is not a condition on the columns", *problems)


def judge(frame: DataFrame, checks: Sequence[Check]) -> DataFrame:
    """Add ``reasons`` and ``warnings``, the names of the checks that a row fails.

    ``frame`` has the booleans ``in_period`` and ``fits`` from its source. A row that is malformed
    or outside its file's period fails for that reason, in addition to any other failing check.
    """
    from_source = [(MALFORMED, F.col("fits")), (OUTSIDE_PERIOD, F.col("in_period"))]
    rejecting = [*from_source, *((check.name, F.expr(check.expect)) for check in checks if check.on_fail == "reject")]
    warning = [(check.name, F.expr(check.expect)) for check in checks if check.on_fail == "warn"]
    return frame.withColumns({"reasons": _failed(rejecting), "warnings": _failed(warning)})


def passes() -> Column:
    """Return the condition by which a row goes on to silver."""
    return F.size("reasons") == 0


def _failed(facts: Sequence[tuple[str, Column]]) -> Column:
    if not facts:
        return F.array().cast(T.ArrayType(T.StringType()))
    # A fact that is null is not known to hold, and so does not.
    names = [F.when(~F.coalesce(fact, F.lit(False)), F.lit(name)) for name, fact in facts]
    return F.array_compact(F.array(*names))
