"""Describe the distribution of a column at training, and count later rows in the same bins.

Bins are fixed at training: deciles for numbers (fewer where values repeat), the ten most frequent
values for categories and the rest together. Nulls are counted separately.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import reduce
from typing import Any

from pyspark.sql import Column, DataFrame, Window
from pyspark.sql import functions as F

FREQUENT = 10
MOST_VALUES = 1000
"""A column of more distinct categories is an identifier: new values of it mean nothing."""
DECILES = [tenth / 10 for tenth in range(11)]
NULL, LOW, HIGH, OTHER, UNSEEN = "null", "below", "above", "other", "unseen"
BinCounts = dict[Any, dict[str, dict[str, int]]]
"""Rows by date, column and bin. The date is None if a frame is counted as a whole."""


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
    sample: DataFrame | None = None,
) -> dict[str, Reference]:
    """Return the references of columns: bins from the frame's values, and its counts in them.

    The deciles are those of ``sample``, rows of the frame, or of the frame if it is None.
    """
    shapes = _numeric_shapes(frame, numeric, sample)
    shapes |= _categorical_shapes(frame, categorical)
    counts = bin_counts(frame.withColumn("event_date", F.lit(None).cast("date")), shapes)
    return {name: replace(shape, counts=counts[None][name]) for name, shape in shapes.items()}


def bin_counts(frame: DataFrame, references: Mapping[str, Reference]) -> BinCounts:
    """Count rows per date, column and bin, in one pass over the frame."""
    bins: list[tuple[str, str]] = []
    places = []
    for name, reference in references.items():
        place, labels = _bin(name, reference)
        # A number for each bin of each column: whole numbers are grouped faster than texts.
        places.append(F.lit(len(bins)) + place)
        bins += [(name, label) for label in labels]
    exploded = frame.select("event_date", F.explode(F.array(*places)).alias("bin"))
    counts: BinCounts = {}
    for date, number, count in exploded.groupBy("event_date", "bin").count().collect():
        name, label = bins[number]
        counts.setdefault(date, {}).setdefault(name, {})[label] = count
    return counts


def _numeric_shapes(
    frame: DataFrame, names: Sequence[str], sample: DataFrame | None
) -> dict[str, Reference]:
    if not names:
        return {}
    decile_frame = frame if sample is None else sample
    deciles = decile_frame.approxQuantile(list(names), DECILES, 0.001)
    if sample is not None:
        deciles = _with_extremes(frame, names, deciles)
    return {name: Reference(edges=_edges(of)) for name, of in zip(names, deciles, strict=True)}


def _with_extremes(
    frame: DataFrame,
    names: Sequence[str],
    deciles: Sequence[list[float]],
) -> list[list[float]]:
    """Return the deciles of each column between the minimum and maximum of the frame."""
    numbers = [F.nanvl(F.col(name).cast("double"), F.lit(None)) for name in names]
    extremes = [F.min(number) for number in numbers]
    extremes += [F.max(number) for number in numbers]
    [row] = frame.agg(*extremes).collect()
    least = row[: len(names)]
    most = row[len(names) :]

    with_extremes: list[list[float]] = []
    for of_sample, low, high in zip(deciles, least, most, strict=True):
        if low is None:
            with_extremes.append([])
        else:
            between = of_sample[1:-1]
            with_extremes.append([low, *between, high])
    return with_extremes


def _edges(quantiles: Sequence[float]) -> tuple[float, ...]:
    """Return each decile once, and the minimum twice if any were equal: see ``Reference``."""
    edges = sorted(set(quantiles))
    if 1 < len(edges) < len(quantiles):
        edges.insert(0, edges[0])
    return tuple(edges)


def _categorical_shapes(frame: DataFrame, names: Sequence[str]) -> dict[str, Reference]:
    if not names:
        return {}
    pairs = []
    for place, name in enumerate(names):
        value = F.col(name).cast("string").alias("value")
        pairs.append(F.struct(F.lit(place).alias("place"), value))
    pair = frame.select(F.explode(F.array(*pairs)).alias("pair"))
    known = pair.select("pair.*").where(F.col("value").isNotNull()).groupBy("place", "value")
    order = Window.partitionBy("place").orderBy(F.desc("count"), "value")
    ranked = known.count().withColumn("rank", F.row_number().over(order))
    rows = ranked.where(F.col("rank") <= MOST_VALUES + 1).orderBy("place", "rank").collect()

    shapes: dict[str, Reference] = {}
    for place, name in enumerate(names):
        values = tuple(row["value"] for row in rows if row["place"] == place)
        if len(values) > MOST_VALUES:
            shapes[name] = Reference(values=values[:FREQUENT], complete=False)
        else:
            shapes[name] = Reference(values=values)
    return shapes


def _bin(name: str, reference: Reference) -> tuple[Column, list[str]]:
    """Return the place of a row's bin among the column's labels, and these labels."""
    if reference.values:
        return _category_bin(F.col(name).cast("string"), reference)
    number = F.col(name).cast("double")
    if reference.edges:
        return _number_bin(number, reference.edges)
    # The column had no value at all in training.
    return F.when(number.isNull(), 0).otherwise(1), [NULL, UNSEEN]


def _category_bin(value: Column, reference: Reference) -> tuple[Column, list[str]]:
    frequent = reference.values[:FREQUENT]
    labels = [NULL, OTHER, UNSEEN]
    labels += [f"={known}" for known in frequent]
    place = F.lit(labels.index(OTHER))
    if reference.complete:
        is_known = value.isin(list(reference.values))
        place = F.when(is_known, place).otherwise(labels.index(UNSEEN))
    for known in frequent:
        place = F.when(value == known, labels.index(f"={known}")).otherwise(place)
    return F.when(value.isNull(), labels.index(NULL)).otherwise(place), labels


def _number_bin(number: Column, edges: Sequence[float]) -> tuple[Column, list[str]]:
    inner = edges[1:-1]
    labels = [NULL, LOW, HIGH]
    labels += [str(position) for position in range(len(inner) + 1)]
    edges_below = [(number > edge).cast("int") for edge in inner]
    position = reduce(Column.__add__, edges_below, F.lit(labels.index("0")))
    place = (
        F.when(number.isNull() | F.isnan(number), labels.index(NULL))
        .when(number < edges[0], labels.index(LOW))
        .when(number > edges[-1], labels.index(HIGH))
        .otherwise(position)
    )
    return place, labels
