"""Estimate if a difference between two models is chance, by a paired bootstrap. Pure and seeded."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

RESAMPLES = 2_000
BUCKETS = 1_000
"""The number of groups of rows that are resampled, by a hash of their key.

An interval from groups is as good as one from single rows, and the sums to collect are as few for a
billion rows as for a thousand.
"""


@dataclass(frozen=True)
class Difference:
    """Loss of the challenger less that of the champion, in the loss's unit.

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
    sums: npt.NDArray[np.float64],
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
    draws = generator.multinomial(groups, np.full(groups, 1 / groups), RESAMPLES)
    resampled = _gap(draws @ sums, root=root)
    low, high = np.quantile(resampled, [(1 - confidence) / 2, (1 + confidence) / 2])
    whole = _gap(sums.sum(axis=0, keepdims=True), root=root)
    return Difference(float(whole[0]), float(low), float(high), confidence)


def _gap(totals: npt.NDArray[np.float64], *, root: bool) -> npt.NDArray[np.float64]:
    """Return the difference of the mean losses of each row of ``totals``."""
    means = totals[:, :2] / np.maximum(totals[:, 2:], 1)
    if root:
        means = np.sqrt(means)
    gap: npt.NDArray[np.float64] = means[:, 0] - means[:, 1]
    return gap
