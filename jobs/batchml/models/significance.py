"""Estimate if a difference between two models is significant, by a seeded paired bootstrap."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]
RESAMPLES = 2_000
BUCKETS = 1_000
"""The number of groups of rows that are resampled, by a hash of their key.

An interval from groups is as good as one from single rows, and the number of sums to collect does
not grow with the number of rows.
"""


@dataclass(frozen=True)
class Difference:
    """Loss of the challenger minus that of the champion, in the loss's unit.

    Below zero the challenger is better. ``low`` and ``high`` bound it with ``confidence``.
    """

    value: float
    low: float
    high: float
    confidence: float

    @property
    def is_chance(self) -> bool:
        """Return True if the interval contains zero."""
        return self.low <= 0 <= self.high

    def __str__(self) -> str:
        interval = f"{self.confidence:.0%} interval {self.low:+.3g} to {self.high:+.3g}"
        if self.is_chance:
            interval += ", not significant"
        return f"difference {self.value:+.3g} ({interval})"


def difference(
    sums: Array,
    seed: int,
    confidence: float,
    *,
    root: bool,
) -> Difference:
    """Return the difference of two mean losses, with its interval by the percentile method.

    B. Efron, R. Tibshirani, An Introduction to the Bootstrap, 1993, chapter 13.

    ``sums`` has a row per group of rows: the challenger's summed loss, the champion's, and the
    number of rows. ``root``: the loss is a squared error, and the difference of the roots is
    returned.
    """
    groups = len(sums)
    generator = np.random.default_rng(seed)
    weights = np.full(groups, 1 / groups)
    draws = generator.multinomial(groups, weights, RESAMPLES)
    resampled = _gaps(draws @ sums, root=root)
    quantiles = [(1 - confidence) / 2, (1 + confidence) / 2]
    low, high = np.quantile(resampled, quantiles)

    whole = sums.sum(axis=0, keepdims=True)
    [gap] = _gaps(whole, root=root)
    return Difference(
        value=float(gap),
        low=float(low),
        high=float(high),
        confidence=confidence,
    )


def _gaps(totals: Array, *, root: bool) -> Array:
    """Return the difference of the mean losses of each row of ``totals``."""
    losses = totals[:, :2]
    rows = np.maximum(totals[:, 2:], 1)
    means = losses / rows
    if root:
        means = np.sqrt(means)
    challenger = means[:, 0]
    champion = means[:, 1]
    gaps: Array = challenger - champion
    return gaps
