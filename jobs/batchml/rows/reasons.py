"""Names of the facts that do not hold for a row."""

from collections.abc import Iterable, Mapping

from pyspark.sql import Column
from pyspark.sql import functions as F
from pyspark.sql import types as T

SEPARATOR = "\x1f"  # no name has it


def failing(conditions: Mapping[str, Column]) -> Column:
    """Return the names of the ``conditions`` that are true of a row, in their order.

    Most rows have none, for which nothing is built. Joined and split again, the names come from
    generated code, which ``array_compact`` does not have.
    """
    if not conditions:
        return no_reasons()
    names = [F.when(condition, F.lit(name)) for name, condition in conditions.items()]
    joined = F.concat_ws(SEPARATOR, *names)
    has_one = any_of(conditions.values())
    return F.when(has_one, F.split(joined, SEPARATOR)).otherwise(no_reasons())


def no_reasons() -> Column:
    """Return the reasons of a row for which everything holds."""
    return F.array().cast(T.ArrayType(T.StringType()))


def any_of(conditions: Iterable[Column]) -> Column:
    """Return the condition that one of ``conditions`` is true.

    Spark walks through conditions by recursion, so a wide table needs a flat tree.
    """
    level = list(conditions)
    while len(level) > 1:
        odd = level[len(level) // 2 * 2 :]
        level = [a | b for a, b in zip(level[::2], level[1::2], strict=False)] + odd
    return level[0]
