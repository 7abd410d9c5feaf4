"""Describe the distribution of a column at training, and count later rows in the same bins.

Bins are fixed at training. For numbers they are the deciles, which are fewer if values repeat. For
categories they are the ten most frequent values, and the rest together. Nulls are counted
separately.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from pyspark.sql import Column, DataFrame, Window
from pyspark.sql import functions as F

FREQUENT = 10
MOST_VALUES = 1000
"""A column of more distinct categories is an identifier: its new values mean nothing."""
DECILES = [tenth / 10 for tenth in range(11)]
DECILE_ERROR = 0.001  # the share of the rows by which a decile may be wrong
NULL = "null"
LOW = "below"
HIGH = "above"
OTHER = "other"
UNSEEN = "unseen"
BinCounts = dict[Any, dict[str, dict[str, int]]]
"""Rows by date, column and bin. The date is None if a frame is counted as a whole."""
Deciles = Sequence[Sequence[float]]
"""Minimum, inner deciles and maximum of each column; nothing for a column without values."""


@dataclass(frozen=True)
class Reference:
    """The distribution of one column at training.

    ``edges``: minimum, inner decile edges and maximum of a numeric column (none for a category).
    Bin i contains the values above edge i, up to and including edge i + 1. Bin 0 also contains the
    minimum. If some deciles are equal, as in flags, the minimum is listed twice, so that it has its
    own bin.

    ``values``: the known categories, the most frequent first. ``complete``: true if these are all.
    ``counts``: rows per bin, including ``null``.
    """

    edges: tuple[float, ...] = ()
    values: tuple[str, ...] = ()
    complete: bool = True
    counts: Mapping[str, int] = field(default_factory=dict)

    def as_record(self) -> dict[str, Any]:
        """Return the form that is stored as JSON."""
        return asdict(self)


@dataclass(frozen=True)
class Bins:
    """The bins of a column.

    ``position`` is the position of a row's bin in ``labels``.
    """

    labels: list[str]
    position: Column


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
    """Return the reference of each column: its bins, and the rows of ``frame`` in them.

    The inner deciles are computed on ``sample``, some rows of ``frame``, or on all rows if it is
    None. Minimum and maximum are always those of ``frame``.
    """
    shapes = _numeric_shapes(frame, numeric, sample)
    shapes |= _categorical_shapes(frame, categorical)
    whole = frame.withColumn("event_date", F.lit(None).cast("date"))
    counts = bin_counts(whole, shapes)

    references: dict[str, Reference] = {}
    for name, shape in shapes.items():
        references[name] = replace(shape, counts=counts[None][name])
    return references


def bin_counts(frame: DataFrame, references: Mapping[str, Reference]) -> BinCounts:
    """Count rows per date, column and bin, in one pass over the frame."""
    # Number the bins of all columns, because Spark groups whole numbers faster than texts.
    labels: list[tuple[str, str]] = []
    numbers: list[Column] = []
    for name, reference in references.items():
        bins = _bins(name, reference)
        numbers.append(F.lit(len(labels)) + bins.position)
        labels += [(name, label) for label in bins.labels]
    number_of_bin = F.explode(F.array(numbers))
    exploded = frame.select("event_date", number_of_bin.alias("bin"))
    counted = exploded.groupBy("event_date", "bin").count()

    counts: BinCounts = {}
    for date, number, rows in counted.collect():
        name, label = labels[number]
        by_column = counts.setdefault(date, {})
        by_bin = by_column.setdefault(name, {})
        by_bin[label] = rows
    return counts


def _numeric_shapes(
    frame: DataFrame,
    names: Sequence[str],
    sample: DataFrame | None,
) -> dict[str, Reference]:
    """Return a reference without counts for each numeric column."""
    if not names:
        return {}
    if sample is None:
        deciles = _deciles(frame, names)
    else:
        deciles = _with_extremes(frame, names, _deciles(sample, names))

    shapes: dict[str, Reference] = {}
    for name, quantiles in zip(names, deciles, strict=True):
        shapes[name] = Reference(edges=_edges(quantiles))
    return shapes


def _deciles(frame: DataFrame, names: Sequence[str]) -> Deciles:
    return frame.approxQuantile(list(names), DECILES, DECILE_ERROR)


def _with_extremes(frame: DataFrame, names: Sequence[str], deciles: Deciles) -> Deciles:
    """Return the deciles of each column between the minimum and maximum of the frame."""
    numbers = [_without_nan(name) for name in names]
    extremes = [F.min(number) for number in numbers]
    extremes += [F.max(number) for number in numbers]
    [row] = frame.agg(*extremes).collect()
    minima = row[: len(names)]
    maxima = row[len(names) :]

    with_extremes: list[list[float]] = []
    for quantiles, minimum, maximum in zip(deciles, minima, maxima, strict=True):
        edges: list[float] = []
        if minimum is not None:
            edges.append(minimum)
            edges += quantiles[1:-1]
            edges.append(maximum)
        with_extremes.append(edges)
    return with_extremes


def _without_nan(name: str) -> Column:
    number = F.col(name).cast("double")
    return F.nanvl(number, F.lit(None))


def _edges(quantiles: Sequence[float]) -> tuple[float, ...]:
    """Return each decile once, and the minimum twice if any were equal: see ``Reference``."""
    edges = sorted(set(quantiles))
    if 1 < len(edges) < len(quantiles):
        edges.insert(0, edges[0])
    return tuple(edges)


def _categorical_shapes(frame: DataFrame, names: Sequence[str]) -> dict[str, Reference]:
    """Return a reference without counts for each categorical column."""
    if not names:
        return {}
    shapes: dict[str, Reference] = {}
    for name, values in zip(names, _frequent_values(frame, names), strict=True):
        if len(values) > MOST_VALUES:
            frequent = tuple(values[:FREQUENT])
            shapes[name] = Reference(values=frequent, complete=False)
        else:
            shapes[name] = Reference(values=tuple(values))
    return shapes


def _frequent_values(frame: DataFrame, names: Sequence[str]) -> list[list[str]]:
    """Return the values of each column, the most frequent first.

    Return at most ``MOST_VALUES`` + 1 of them: so many show that a column has too many.
    """
    pairs: list[Column] = []
    for index, name in enumerate(names):
        column = F.lit(index).alias("index")
        value = F.col(name).cast("string").alias("value")
        pairs.append(F.struct(column, value))
    pair = F.explode(F.array(pairs))
    exploded = frame.select(pair.alias("pair")).select("pair.*")
    known = exploded.where(F.col("value").isNotNull())
    counted = known.groupBy("index", "value").count()

    most_frequent_first = Window.partitionBy("index").orderBy(F.desc("count"), "value")
    rank = F.row_number().over(most_frequent_first)
    ranked = counted.withColumn("rank", rank)
    first = ranked.where(F.col("rank") <= MOST_VALUES + 1)

    values: list[list[str]] = [[] for _ in names]
    for row in first.orderBy("index", "rank").collect():
        values[row["index"]].append(row["value"])
    return values


def _bins(name: str, reference: Reference) -> Bins:
    """Return the bins of a column."""
    if reference.values:
        value = F.col(name).cast("string")
        return _category_bins(value, reference)
    number = F.col(name).cast("double")
    if reference.edges:
        return _number_bins(number, reference.edges)
    # The column had no value at all in training.
    position = F.when(number.isNull(), 0).otherwise(1)
    return Bins([NULL, UNSEEN], position)


def _category_bins(value: Column, reference: Reference) -> Bins:
    frequent = reference.values[:FREQUENT]
    labels = [NULL, OTHER, UNSEEN]
    labels += [f"={known}" for known in frequent]

    position = F.lit(labels.index(OTHER))
    if reference.complete:
        is_known = value.isin(list(reference.values))
        position = F.when(is_known, position).otherwise(labels.index(UNSEEN))
    for known in frequent:
        of_value = labels.index(f"={known}")
        position = F.when(value == known, of_value).otherwise(position)
    position = F.when(value.isNull(), labels.index(NULL)).otherwise(position)
    return Bins(labels, position)


def _number_bins(number: Column, edges: Sequence[float]) -> Bins:
    inner = edges[1:-1]
    labels = [NULL, LOW, HIGH]
    labels += [str(number_of_bin) for number_of_bin in range(len(inner) + 1)]

    # A number is in the first bin, or one further for each inner edge below it.
    between = F.lit(labels.index("0"))
    for edge in inner:
        between += (number > edge).cast("int")
    is_missing = number.isNull() | F.isnan(number)
    position = (
        F.when(is_missing, labels.index(NULL))
        .when(number < edges[0], labels.index(LOW))
        .when(number > edges[-1], labels.index(HIGH))
        .otherwise(between)
    )
    return Bins(labels, position)
