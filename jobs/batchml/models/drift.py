"""How far a day is from what a model was trained on. Pure: frames and numbers in, numbers out.

**Population stability index** of a day against the training reference, over the bins i of one column:

    PSI = sum_i (a_i - e_i) ln(a_i / e_i)

with a_i and e_i the shares of the day's and the reference's rows that fall into bin i (N. Siddiqi, Credit Risk
Scorecards, 2006; it is the symmetrised Kullback-Leibler divergence). Half a row is added to every bin, so that an empty
one does not make it infinite. Bins are fixed at training: the reference's deciles for numbers (fewer where values
repeat), the ten most frequent values for categories, the rest together; nulls are measured apart.

**Noise.** Between two samples of n and m rows of one population and B bins, PSI is distributed as (1/n + 1/m) times
chi-squared with B - 1 degrees of freedom (B. Yurdakul, Statistical Properties of the Population Stability Index, 2018).
Its 99.9 % quantile is the least a PSI has to exceed to mean anything: a day of thirty rows has to differ more than one
of thousands. Shares are judged in the same spirit by the binomial distribution, the error by its standard error.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import reduce
from typing import Any

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

# scipy.stats has these under plainer names, and takes half a second longer to import: the survival function of the
# binomial distribution, and the inverses of chi-squared's survival function and of the normal distribution's.
from scipy.special import bdtrc, chdtri, ndtri

from batchml.config import Level, Levels

LEVELS: tuple[Level, ...] = ("ok", "watch", "alarm")
CONFIDENCE = 0.999
FREQUENT = 10
MOST_VALUES = 1000
"""More distinct categories than these are an identifier: which of them are new says nothing."""
NULL, LOW, HIGH, OTHER, UNSEEN = "null", "below", "above", "other", "unseen"


@dataclass(frozen=True)
class Reference:
    """What one column looked like at training.

    ``edges``: minimum, inner decile edges and maximum of a numeric column (none for a category); bin i of it reaches
    from above edge i up to and with edge i + 1. Where deciles are equal (flags, mostly zeros) the minimum stands twice:
    it is a bin of its own. ``values``: the known categories, most frequent first; ``complete``: whether that is all of
    them. ``counts``: rows per bin, among them ``null``.
    """

    edges: tuple[float, ...] = ()
    values: tuple[str, ...] = ()
    complete: bool = True
    counts: Mapping[str, int] = field(default_factory=dict)

    def as_record(self) -> dict[str, Any]:
        """For JSON."""
        return asdict(self)


def reference_of(record: Mapping[str, Any]) -> Reference:
    """A reference from its JSON form."""
    return Reference(tuple(record["edges"]), tuple(record["values"]), record["complete"], dict(record["counts"]))


def describe(frame: DataFrame, numeric: Sequence[str], categorical: Sequence[str]) -> dict[str, Reference]:
    """The references of columns: bins from the frame's own values, and its counts in them."""
    shapes = _numeric_shapes(frame, numeric) | {name: _categorical_shape(frame, name) for name in categorical}
    counts = bin_counts(frame.withColumn("event_date", F.lit(None).cast("date")), shapes)
    return {name: replace(shape, counts=counts[None][name]) for name, shape in shapes.items()}


def bin_counts(frame: DataFrame, references: Mapping[str, Reference]) -> dict[Any, dict[str, dict[str, int]]]:
    """Rows per date, column and bin, in one pass over the frame."""
    bins = F.array(
        *(F.struct(F.lit(name).alias("name"), _bin(name, ref).alias("bin")) for name, ref in references.items())
    )
    long = frame.select("event_date", F.explode(bins).alias("b")).select("event_date", "b.name", "b.bin")
    found: dict[Any, dict[str, dict[str, int]]] = {}
    for date, name, label, count in long.groupBy("event_date", "name", "bin").count().collect():
        found.setdefault(date, {}).setdefault(name, {})[label] = count
    return found


def psi(actual: Mapping[str, int], reference: Reference) -> tuple[float, float]:
    """The index of a day's counts, and the noise it has to exceed; (0, infinity) where either side has no values."""
    a, e = _inside(actual, reference), _inside(reference.counts, reference)
    n, m = sum(a.values()), sum(e.values())
    bins = sorted(set(a) | set(e))
    if not n or not m or len(bins) < 2:
        return 0.0, math.inf
    total = 0.0
    for name in bins:
        share = (a.get(name, 0) + 0.5) / (n + 0.5 * len(bins))
        expected = (e.get(name, 0) + 0.5) / (m + 0.5 * len(bins))
        total += (share - expected) * math.log(share / expected)
    return total, (1 / n + 1 / m) * float(chdtri(len(bins) - 1, 1 - CONFIDENCE))


def null_share(counts: Mapping[str, int]) -> float:
    """Share of rows without a value."""
    return counts.get(NULL, 0) / max(sum(counts.values()), 1)


def unseen_share(counts: Mapping[str, int]) -> float:
    """Share of rows whose value training never saw: an unknown category, or a number beyond its extremes."""
    return sum(counts.get(name, 0) for name in (LOW, HIGH, UNSEEN)) / max(sum(counts.values()), 1)


def level(value: float, levels: Levels, noise: float) -> Level:
    """The level of an index whose noise is known."""
    if value > max(levels.alarm, noise):
        return "alarm"
    return "watch" if value > max(levels.watch, noise) else "ok"


def share_level(share: float, rows: int, expected: float, levels: Levels) -> Level:
    """The level of a share: by how much it exceeds the expected one, if chance alone would hardly reach it.

    Chance: at most one in a thousand days of so many rows, were the true share the expected one plus ``watch``.
    """
    excess = share - expected
    hits = round(share * rows)
    by_chance = float(bdtrc(hits - 1, rows, min(expected + levels.watch, 1.0))) if hits else 1.0
    if excess <= levels.watch or by_chance > 1 - CONFIDENCE:
        return "ok"
    return "alarm" if excess > levels.alarm else "watch"


def least_error(loss: float, spread: float | None, rows: int, *, squared: bool) -> float:
    """The least error a day is consistent with: its mean loss less the chance in it.

    ``loss`` and ``spread``: mean and standard deviation of the loss per row, ``spread`` None where a single row tells
    of none: it is consistent with any error. ``squared``: it is a squared error, and its root is wanted.
    """
    if spread is None:
        return 0.0
    least = max(loss - float(ndtri(CONFIDENCE)) * spread / math.sqrt(rows), 0.0) if rows else 0.0
    return math.sqrt(least) if squared else least


def error_level(least: float, promised: float, levels: Levels) -> Level:
    """The level of a day's error: by which share the least error exceeds the promised one."""
    if least > promised * (1 + levels.alarm):
        return "alarm"
    return "watch" if least > promised * (1 + levels.watch) else "ok"


def worst(levels: Sequence[Level]) -> Level:
    """The highest of some levels; ``ok`` of none."""
    return max(levels, key=LEVELS.index, default="ok")


def _numeric_shapes(frame: DataFrame, names: Sequence[str]) -> dict[str, Reference]:
    quantiles = frame.approxQuantile(list(names), [i / 10 for i in range(11)], 0.001) if names else []
    return {name: Reference(edges=_edges(found)) for name, found in zip(names, quantiles, strict=True)}


def _edges(quantiles: Sequence[float]) -> tuple[float, ...]:
    """Each decile once. A column of few values would have too few bins, one of two a single bin: see ``Reference``."""
    found = sorted(set(quantiles))
    return (found[0], *found) if 1 < len(found) < len(quantiles) else tuple(found)


def _categorical_shape(frame: DataFrame, name: str) -> Reference:
    known = frame.where(F.col(name).isNotNull()).groupBy(F.col(name).cast("string").alias("value")).count()
    rows = known.orderBy(F.desc("count"), "value").limit(MOST_VALUES + 1).collect()
    complete = len(rows) <= MOST_VALUES
    return Reference(values=tuple(row["value"] for row in rows[: None if complete else FREQUENT]), complete=complete)


def _bin(name: str, reference: Reference) -> Column:
    """The label of the bin a row falls into."""
    if reference.values:
        value = F.col(name).cast("string")
        frequent = value.isin(*reference.values[:FREQUENT])
        rest = F.when(value.isin(*reference.values), OTHER).otherwise(UNSEEN) if reference.complete else F.lit(OTHER)
        return F.when(value.isNull(), NULL).when(frequent, F.concat(F.lit("="), value)).otherwise(rest)
    number = F.col(name).cast("double")
    if not reference.edges:  # no value at all in training
        return F.when(number.isNull(), NULL).otherwise(UNSEEN)
    inner = reference.edges[1:-1]
    position = reduce(Column.__add__, ((number > edge).cast("int") for edge in inner), F.lit(0)).cast("string")
    return (
        F.when(number.isNull() | F.isnan(number), NULL)
        .when(number < reference.edges[0], LOW)
        .when(number > reference.edges[-1], HIGH)
        .otherwise(position)
    )


def _inside(counts: Mapping[str, int], reference: Reference) -> dict[str, int]:
    """Counts without nulls; what lies beyond an extreme is of the outermost bin, an unseen category of the rest."""
    merged: dict[str, int] = {}
    into = {LOW: "0", HIGH: str(max(len(reference.edges) - 2, 0)), UNSEEN: OTHER}
    for name, count in counts.items():
        if name != NULL:
            merged[into.get(name, name)] = merged.get(into.get(name, name), 0) + count
    return merged
