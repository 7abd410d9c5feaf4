"""Return the reasons why a row is quarantined: the names of the conditions that are true of it."""

from collections.abc import Iterable, Mapping

from pyspark.sql import Column
from pyspark.sql import functions as F
from pyspark.sql.types import ArrayType, StringType

SEPARATOR = "\x1f"  # a character that is in no name


def failing(conditions: Mapping[str, Column]) -> Column:
    """Return the names of the ``conditions`` that are true of a row, in their order.

    Most rows have none, for which nothing is built. Joined and split again, the names come from
    generated code, which ``array_compact`` does not have.
    """
    if not conditions:
        return no_reasons()
    names = [F.when(condition, F.lit(name)) for name, condition in conditions.items()]
    joined = F.concat_ws(SEPARATOR, *names)
    failed = F.split(joined, SEPARATOR)
    has_one = any_of(conditions.values())
    return F.when(has_one, failed).otherwise(no_reasons())


def no_reasons() -> Column:
    """Return the reasons of a row that passes every check."""
    return F.array().cast(ArrayType(StringType()))


def any_of(conditions: Iterable[Column]) -> Column:
    """Return the condition that one of ``conditions`` is true.

    Spark walks through conditions by recursion, so a wide table needs a flat tree.
    """
    level = list(conditions)
    while len(level) > 1:
        pairs = zip(level[::2], level[1::2], strict=False)
        joined = [first | second for first, second in pairs]
        is_odd = len(level) % 2 == 1
        if is_odd:
            joined.append(level[-1])
        level = joined
    return level[0]
