"""Add features that classify a row: a band of numbers, a recoded text, or a lookup by key."""

from itertools import pairwise

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F
from pyspark.sql.types import FractionalType

from batchml.config.features import Bands, Lookup, Recode
from batchml.rows.cell_values import as_text


def with_bands(frame: DataFrame, step: Bands) -> DataFrame:
    """Add ``step.to``: the half-open band of ``step.of``, as text; null stays null."""
    value = F.col(step.of)
    first = step.edges[0]
    last = step.edges[-1]
    band = F.when(value < first, f"<{first:g}")
    for low, high in pairwise(step.edges):
        label = f"[{low:g}, {high:g})"
        band = band.when(value < high, label)
    band = band.when(value >= last, f">={last:g}")
    return frame.withColumn(step.to, band)


def with_recode(frame: DataFrame, step: Recode) -> DataFrame:
    """Add ``step.to``: the entry of ``step.values`` for the text of ``step.of``.

    A text without an entry becomes ``step.other``; null stays null.
    """
    text = _key(frame, step.of)
    entry = F.lit(step.other).cast("string")
    for value, name in step.values.items():
        key = _normal(F.lit(value), frame, step.of)
        entry = F.when(text == key, F.lit(name)).otherwise(entry)
    recoded = F.when(text.isNotNull(), entry)
    return frame.withColumn(step.to, recoded)


def with_lookup(frame: DataFrame, step: Lookup, table: DataFrame | None) -> DataFrame:
    """Add ``step.to``: column ``step.take`` of the ``table`` row whose ``key`` is ``step.of``.

    The value is null if the table has no such key, or if there is no table. ``table`` contains
    text, and every key once.
    """
    if table is None:
        null = F.lit(None).cast(step.type)
        return frame.withColumn(step.to, null)

    key = f"key of {step.to}"  # a name that no column of the rows has
    normal = _normal(F.col("key"), frame, step.of)
    taken = F.col(f"`{step.take}`").try_cast(step.type)
    known = table.select(normal.alias(key), taken.alias(step.to))
    if _is_fraction(frame, step.of):
        known = known.dropDuplicates([key])  # 74 and 74.0 would double a row

    matches = _key(frame, step.of) == F.col(key)
    joined = frame.join(F.broadcast(known), matches, how="left")
    return joined.drop(key)


def _key(frame: DataFrame, name: str) -> Column:
    """Return a column as the text of a key: 74 for the number 74, whatever type it has."""
    source = frame.schema[name].dataType
    text = as_text(F.col(name), source)
    return F.trim(text)


def _normal(key: Column, frame: DataFrame, name: str) -> Column:
    """Return a key as ``_key`` writes it: for a column of doubles, 74.0 is 74."""
    if not _is_fraction(frame, name):
        return key
    return F.regexp_replace(F.trim(key), r"^([+-]?\d+)\.0+$", "$1")


def _is_fraction(frame: DataFrame, name: str) -> bool:
    source = frame.schema[name].dataType
    return isinstance(source, FractionalType)
