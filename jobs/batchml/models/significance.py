"""How much of the difference between two models is chance: a paired bootstrap over the same rows. Pure and seeded."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

RESAMPLES = 2_000
BUCKETS = 1_000
"""Rows are resampled in so many groups, given by a hash of their key: as good for an interval as single rows, and as
little to collect for a billion of them as for a thousand."""


@dataclass(frozen=True)
class Difference:
    """Loss of the challenger less that of the champion, in the loss's unit: below zero the challenger is better.

    ``low`` and ``high`` bound it with ``confidence``.
    """

    value: float
    low: float
    high: float
    confidence: float

    @property
    def is_chance(self) -> bool:
        """Whether the interval holds zero."""
        return self.low <= 0 <= self.high

    def __str__(self) -> str:
        interval = f"{self.confidence:.0%} interval {self.low:+.3g} to {self.high:+.3g}"
        return f"difference {self.value:+.3g} ({interval}{', which may be chance' if self.is_chance else ''})"


def difference(
    sums: npt.NDArray[np.float64], seed: int, confidence: float, *, root: bool
) -> Difference:
    """Return the difference of two mean losses, with its interval by the percentile method.

    B. Efron, R. Tibshirani, An Introduction to the Bootstrap, 1993, chapter 13.

    ``sums``: a row per group of rows: the challenger's summed loss, the champion's, and the number of rows.
    ``root``: the loss is a squared error, and the difference of the roots is wanted.
    """
    groups = len(sums)
    draws = np.random.default_rng(seed).multinomial(groups, np.full(groups, 1 / groups), RESAMPLES)
    resampled = _gap(draws @ sums, root=root)
    low, high = np.quantile(resampled, [(1 - confidence) / 2, (1 + confidence) / 2])
    whole = _gap(sums.sum(axis=0, keepdims=True), root=root)
    return Difference(float(whole[0]), float(low), float(high), confidence)


def _gap(totals: npt.NDArray[np.float64], *, root: bool) -> npt.NDArray[np.float64]:
    means = totals[:, :2] / np.maximum(totals[:, 2:], 1)
    means = np.sqrt(means) if root else means
    gap: npt.NDArray[np.float64] = means[:, 0] - means[:, 1]
    return gap
