"""Features that name what a row belongs to: a band of numbers, or what a small table says of its key."""

from itertools import pairwise

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from batchml.config.features import Bands, Lookup, Recode


def with_bands(frame: DataFrame, step: Bands) -> DataFrame:
    """Add ``step.to``: the half-open band of ``step.of``, as text; null stays null."""
    value, edges = F.col(step.of), step.edges
    band = F.when(value < edges[0], f"<{edges[0]:g}")
    for low, high in pairwise(edges):
        band = band.when(value < high, f"[{low:g}, {high:g})")
    return frame.withColumn(step.to, band.when(value >= edges[-1], f">={edges[-1]:g}"))


def with_recode(frame: DataFrame, step: Recode) -> DataFrame:
    """Add ``step.to``: the entry of ``step.values`` for the text of ``step.of``.

    A text without an entry becomes ``step.other``; null stays null.
    """
    text = F.trim(F.col(step.of).cast("string"))
    found = F.lit(step.other).cast("string")
    for value, name in step.values.items():
        found = F.when(text == value, F.lit(name)).otherwise(found)
    return frame.withColumn(step.to, F.when(text.isNotNull(), found))


def with_lookup(frame: DataFrame, step: Lookup, table: DataFrame | None) -> DataFrame:
    """Add ``step.to``: column ``step.take`` of the ``table`` row whose ``key`` is ``step.of``.

    The value is null if the table has no such key, or if there is no table. ``table`` contains
    text, and every key once.
    """
    if table is None:
        return frame.withColumn(step.to, F.lit(None).cast(step.type))
    key = f"key of {step.to}"  # a name that no column of the rows has
    known = table.select(F.col("key").alias(key), F.col(f"`{step.take}`").try_cast(step.type).alias(step.to))
    # Text on both sides: 74 finds "74", whatever integer type the row's column has.
    return frame.join(F.broadcast(known), F.col(step.of).cast("string") == F.col(key), how="left").drop(key)
