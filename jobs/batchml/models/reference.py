"""The distribution of a column at training, and a day's rows counted in the same bins.

Bins are fixed at training: deciles for numbers (fewer where values repeat), the ten most frequent
values for categories and the rest together. Nulls are counted separately.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import reduce
from typing import Any

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

FREQUENT = 10
MOST_VALUES = 1000
"""More distinct categories than these are an identifier: which of them are new means nothing."""
NULL, LOW, HIGH, OTHER, UNSEEN = "null", "below", "above", "other", "unseen"
BinCounts = dict[Any, dict[str, dict[str, int]]]
"""Rows by date, column and bin; the date is None where a frame is counted as a whole."""


@dataclass(frozen=True)
class Reference:
    """The distribution of one column at training.

    ``edges``: minimum, inner decile edges and maximum of a numeric column (none for a category).
    Bin i is above edge i, up to and with edge i + 1. Where deciles are equal (flags, mostly zeros)
    the minimum is listed twice, which makes it a bin.

    ``values``: the known categories, most frequent first; ``complete``: true if these are all.
    ``counts``: rows per bin, among them ``null``.
    """

    edges: tuple[float, ...] = ()
    values: tuple[str, ...] = ()
    complete: bool = True
    counts: Mapping[str, int] = field(default_factory=dict)

    def as_record(self) -> dict[str, Any]:
        """Return the form that is stored as JSON."""
        return asdict(self)


def reference_of(record: Mapping[str, Any]) -> Reference:
    """Return a reference from its JSON form."""
    return Reference(
        edges=tuple(record["edges"]),
        values=tuple(record["values"]),
        complete=record["complete"],
        counts=dict(record["counts"]),
    )


def describe(
    frame: DataFrame,
    numeric: Sequence[str],
    categorical: Sequence[str],
) -> dict[str, Reference]:
    """Return the references of columns: bins from the frame's values, and its counts in them."""
    shapes = _numeric_shapes(frame, numeric)
    shapes |= {name: _categorical_shape(frame, name) for name in categorical}
    counts = bin_counts(frame.withColumn("event_date", F.lit(None).cast("date")), shapes)
    return {name: replace(shape, counts=counts[None][name]) for name, shape in shapes.items()}


def bin_counts(frame: DataFrame, references: Mapping[str, Reference]) -> BinCounts:
    """Count rows per date, column and bin, in one pass over the frame."""
    pairs = [
        F.struct(F.lit(name).alias("name"), _bin(name, reference).alias("bin"))
        for name, reference in references.items()
    ]
    exploded = frame.select("event_date", F.explode(F.array(*pairs)).alias("pair"))
    long = exploded.select("event_date", "pair.name", "pair.bin")
    counts: BinCounts = {}
    for date, name, label, count in long.groupBy("event_date", "name", "bin").count().collect():
        counts.setdefault(date, {}).setdefault(name, {})[label] = count
    return counts


def _numeric_shapes(frame: DataFrame, names: Sequence[str]) -> dict[str, Reference]:
    if not names:
        return {}
    deciles = [i / 10 for i in range(11)]
    quantiles = frame.approxQuantile(list(names), deciles, 0.001)
    return {name: Reference(edges=_edges(of)) for name, of in zip(names, quantiles, strict=True)}


def _edges(quantiles: Sequence[float]) -> tuple[float, ...]:
    """Return each decile once, and the minimum twice if any were equal: see ``Reference``."""
    edges = sorted(set(quantiles))
    if 1 < len(edges) < len(quantiles):
        return (edges[0], *edges)
    return tuple(edges)


def _categorical_shape(frame: DataFrame, name: str) -> Reference:
    value = F.col(name).cast("string").alias("value")
    known = frame.where(F.col(name).isNotNull()).groupBy(value).count()
    rows = known.orderBy(F.desc("count"), "value").limit(MOST_VALUES + 1).collect()
    values = tuple(row["value"] for row in rows)
    if len(values) > MOST_VALUES:
        return Reference(values=values[:FREQUENT], complete=False)
    return Reference(values=values)


def _bin(name: str, reference: Reference) -> Column:
    """Return the label of the bin a row falls into."""
    if reference.values:
        value = F.col(name).cast("string")
        frequent = value.isin(*reference.values[:FREQUENT])
        rest = F.lit(OTHER)
        if reference.complete:
            rest = F.when(value.isin(*reference.values), OTHER).otherwise(UNSEEN)
        by_name = F.concat(F.lit("="), value)
        return F.when(value.isNull(), NULL).when(frequent, by_name).otherwise(rest)
    number = F.col(name).cast("double")
    if not reference.edges:  # no value at all in training
        return F.when(number.isNull(), NULL).otherwise(UNSEEN)
    inner = reference.edges[1:-1]
    edges_below = [(number > edge).cast("int") for edge in inner]
    position = reduce(Column.__add__, edges_below, F.lit(0)).cast("string")
    return (
        F.when(number.isNull() | F.isnan(number), NULL)
        .when(number < reference.edges[0], LOW)
        .when(number > reference.edges[-1], HIGH)
        .otherwise(position)
    )
