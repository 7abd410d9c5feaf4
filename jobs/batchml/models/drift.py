"""Compare a day with the training and the evaluation of a model version.

**Population stability index** of a day against the training reference, over the bins i of a column:

    PSI = sum_i (a_i - e_i) ln(a_i / e_i)

with a_i and e_i the shares of the day's and the reference's rows that fall into bin i (N. Siddiqi,
Credit Risk Scorecards, 2006; it is the symmetrised Kullback-Leibler divergence). Half a row is
added to every bin, so that an empty one does not make it infinite.

**Noise.** If samples of n and m rows come from one population, their PSI over B bins is distributed
as (1/n + 1/m) times chi-squared with B - 1 degrees of freedom (B. Yurdakul, Statistical Properties
of the Population Stability Index, 2018). A PSI is significant if it exceeds the 99.9 % quantile, so
a day of thirty rows has to differ more than a day of thousands. Shares are compared in the same way
by the binomial distribution, the error by its standard error.
"""

import datetime as dt
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

# These are the inverse of chi-squared's survival function and the quantile function of the normal
# distribution. scipy.stats has plainer names for them, but takes half a second longer to import.
from scipy.special import chdtri, ndtri

from batchml.config import Level, Levels, Monitoring, Task
from batchml.models.noise import CONFIDENCE, is_many_by_chance
from batchml.models.reference import HIGH, LOW, NULL, OTHER, UNSEEN, BinCounts, Reference

LEVELS: tuple[Level, ...] = ("ok", "watch", "alarm")
ERROR_MEASURES: dict[Task, str] = {"regression": "rmse", "classification": "error_rate"}
SEEN = "seen"
"""The measure of the share of rows that a version has seen in training."""
SMALLEST_LIMIT = 1e-9
"""Replaces a limit of 0, because levels must be positive."""


@dataclass(frozen=True)
class Finding:
    """One row of the table ``drift``, in the order of its columns."""

    event_date: dt.date
    subject: str
    measure: str
    value: float
    expected: float
    level: Level
    rows: int
    model_version: int

    @property
    def series(self) -> str:
        """Return the name of its time series in MLflow."""
        return f"{self.measure}.{self.subject}"

    def __str__(self) -> str:
        measured = f"{self.measure} {self.value:.3g} ({self.level})"
        return f"{self.event_date} {self.subject}: {measured}"


@dataclass(frozen=True)
class DayLoss:
    """The loss per row of one version on one date.

    ``loss`` is its mean, ``spread`` its standard deviation, None for a single row.
    """

    event_date: dt.date
    model_version: int
    rows: int
    loss: float
    spread: float | None


def column_findings(
    counts: BinCounts,
    references: Mapping[str, Reference],
    limits: Monitoring,
    model_version: int,
) -> Iterator[Finding]:
    """Yield PSI and the shares of nulls and unseen values of each date and column.

    ``counts`` is the result of ``bin_counts`` for ``references``.
    """
    for date in sorted(counts):
        for name, reference in references.items():
            day = counts[date][name]
            for measure, value, expected, day_level in _measures(day, reference, limits):
                yield Finding(
                    event_date=date,
                    subject=name,
                    measure=measure,
                    value=value,
                    expected=expected,
                    level=day_level,
                    rows=sum(day.values()),
                    model_version=model_version,
                )


def error_findings(
    losses: Iterable[DayLoss],
    evaluated: Mapping[int, float],
    limits: Levels,
    task: Task,
) -> Iterator[Finding]:
    """Yield the realised error of each date: the RMSE, or the share of wrong classes.

    ``evaluated`` has the error of each version at evaluation, infinite if it was not evaluated.
    """
    is_squared = task == "regression"
    measure = ERROR_MEASURES[task]
    for day in sorted(losses, key=_date_and_version):
        # With a spread of 0 the least error is the error itself.
        error = least_error(day.loss, 0.0, day.rows, squared=is_squared)
        least = least_error(day.loss, day.spread, day.rows, squared=is_squared)
        expected = evaluated[day.model_version]
        yield Finding(
            event_date=day.event_date,
            subject="prediction",
            measure=measure,
            value=error,
            expected=expected,
            level=error_level(least, expected, limits),
            rows=day.rows,
            model_version=day.model_version,
        )


def seen_findings(
    shares: Mapping[dt.date, tuple[int, float]],
    model_version: int,
) -> Iterator[Finding]:
    """Yield the share of each date's rows that the version has seen in training, unless it is 0.

    ``shares`` has rows and share by date. The error of a date is measured on its other rows.
    """
    for date in sorted(shares):
        rows, share = shares[date]
        if share > 0:
            yield Finding(
                event_date=date,
                subject="prediction",
                measure=SEEN,
                value=share,
                expected=0.0,
                level="ok",
                rows=rows,
                model_version=model_version,
            )


def quarantine_findings(
    received: Mapping[dt.date, int],
    quarantined: Mapping[dt.date, int],
    max_share: float,
) -> Iterator[Finding]:
    """Yield the quarantined share of each date's rows.

    The levels are below ``max_share``, because ingest itself fails above it.
    """
    limit = max(max_share, SMALLEST_LIMIT)
    levels = Levels(watch=limit / 2, alarm=limit * 0.8)
    for date, rows in sorted(received.items()):
        share = quarantined.get(date, 0) / rows
        yield Finding(
            event_date=date,
            subject="rows",
            measure="quarantined",
            value=share,
            expected=0.0,
            level=share_level(share, rows, 0.0, levels),
            rows=rows,
            model_version=0,
        )


def psi(actual: Mapping[str, int], reference: Reference) -> tuple[float, float]:
    """Return the index of a day's counts, and the noise it has to exceed.

    Return (0, infinity) if the day or the reference has no values, or all are in one bin.
    """
    day_counts = _merged_bins(actual, reference)
    training_counts = _merged_bins(reference.counts, reference)
    n = sum(day_counts.values())
    m = sum(training_counts.values())
    bins = sorted(set(day_counts) | set(training_counts))
    if not n or not m or len(bins) < 2:
        return 0.0, math.inf

    index = 0.0
    padding = 0.5 * len(bins)
    for name in bins:
        share = (day_counts.get(name, 0) + 0.5) / (n + padding)
        expected = (training_counts.get(name, 0) + 0.5) / (m + padding)
        index += (share - expected) * math.log(share / expected)
    quantile = float(chdtri(len(bins) - 1, 1 - CONFIDENCE))
    noise = (1 / n + 1 / m) * quantile
    return index, noise


def null_share(counts: Mapping[str, int]) -> float:
    """Return the share of rows without a value."""
    rows = sum(counts.values())
    return counts.get(NULL, 0) / max(rows, 1)


def unseen_share(counts: Mapping[str, int]) -> float:
    """Return the share of rows with an unknown category or a number beyond training's extremes."""
    rows = sum(counts.values())
    unseen = sum(counts.get(name, 0) for name in (LOW, HIGH, UNSEEN))
    return unseen / max(rows, 1)


def level(value: float, levels: Levels, noise: float) -> Level:
    """Return the level of an index whose noise is known."""
    if value > max(levels.alarm, noise):
        return "alarm"
    if value > max(levels.watch, noise):
        return "watch"
    return "ok"


def share_level(share: float, rows: int, expected: float, levels: Levels) -> Level:
    """Return the level of a share by its excess over the expected share.

    The level is also ``ok`` if chance explains the excess: at a true share of ``expected + watch``,
    more than one day in a thousand has at least as many such rows.
    """
    excess = share - expected
    hits = round(share * rows)
    if excess <= levels.watch or is_many_by_chance(hits, rows, expected + levels.watch):
        return "ok"
    if excess > levels.alarm:
        return "alarm"
    return "watch"


def least_error(loss: float, spread: float | None, rows: int, *, squared: bool) -> float:
    """Return the least error a day is consistent with: its mean loss minus its random error.

    ``loss`` and ``spread``: mean and standard deviation of the loss per row. ``spread`` is None for
    a single row, which is consistent with any error. ``squared``: the loss is a squared error, and
    its root is returned.
    """
    if spread is None or rows == 0:
        return 0.0
    standard_error = spread / math.sqrt(rows)
    random_error = float(ndtri(CONFIDENCE)) * standard_error
    least = max(loss - random_error, 0.0)
    if squared:
        return math.sqrt(least)
    return least


def error_level(least: float, evaluated: float, levels: Levels) -> Level:
    """Return the level by how far ``least`` exceeds ``evaluated``, as a share of ``evaluated``."""
    if least > evaluated * (1 + levels.alarm):
        return "alarm"
    if least > evaluated * (1 + levels.watch):
        return "watch"
    return "ok"


def worst(levels: Sequence[Level]) -> Level:
    """Return the highest of ``levels``, or ``ok`` if there is none."""
    return max(levels, key=LEVELS.index, default="ok")


def _date_and_version(day: DayLoss) -> tuple[dt.date, int]:
    return day.event_date, day.model_version


def _measures(
    day: Mapping[str, int],
    reference: Reference,
    limits: Monitoring,
) -> Iterator[tuple[str, float, float, Level]]:
    """Yield measure, value, expected value and level of one column on one date."""
    index, noise = psi(day, reference)
    yield "psi", index, 0.0, level(index, limits.psi, noise)

    rows = sum(day.values())
    value = null_share(day)
    expected = null_share(reference.counts)
    yield "nulls", value, expected, share_level(value, rows, expected, limits.nulls)

    value = unseen_share(day)
    expected = unseen_share(reference.counts)
    yield "unseen", value, expected, share_level(value, rows, expected, limits.unseen)


def _merged_bins(counts: Mapping[str, int], reference: Reference) -> dict[str, int]:
    """Return the counts without nulls.

    Values below the minimum join the first bin, those above the maximum the last bin, and unseen
    categories the bin ``other``.
    """
    merged: dict[str, int] = {}
    # n edges bound n - 1 bins, numbered from 0.
    last_bin = str(max(len(reference.edges) - 2, 0))
    targets = {LOW: "0", HIGH: last_bin, UNSEEN: OTHER}
    for name, count in counts.items():
        if name == NULL:
            continue
        target = targets.get(name, name)
        merged[target] = merged.get(target, 0) + count
    return merged
