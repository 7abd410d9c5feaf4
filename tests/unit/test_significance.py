"""Estimate the significance of a difference, on losses whose difference is known."""

import numpy as np
import pytest

from batchml.models.significance import difference


def sums(gap: float, spread: float, groups: int = 400) -> np.ndarray:
    """Return groups of ten rows.

    The champion's mean loss is 4. The challenger's is higher by ``gap``, with noise of ``spread``.
    """
    random = np.random.default_rng(7)
    champion = random.normal(40, 5, groups)
    noise = random.normal(0, spread, groups)
    challenger = champion + 10 * (gap + noise - noise.mean())
    return np.column_stack([challenger, champion, np.full(groups, 10.0)])


def test_clear_difference_is_significant():
    estimate = difference(sums(gap=-0.5, spread=1.0), seed=1, confidence=0.95, root=False)
    assert estimate.value == pytest.approx(-0.5, abs=0.15)
    assert estimate.low < estimate.value < estimate.high < 0
    assert not estimate.is_chance
    # The interval of a mean: 1.96 standard errors to either side.
    assert estimate.high - estimate.low == pytest.approx(2 * 1.96 * 1.0 / 20, rel=0.1)


def test_difference_within_noise_is_not_significant():
    estimate = difference(sums(gap=0.0, spread=1.0), seed=1, confidence=0.95, root=False)
    assert estimate.is_chance
    assert str(estimate).endswith("not significant)")


def test_pairing_removes_shared_variance():
    """The rows differ by far more than the models, so without pairing nothing is significant."""
    estimate = difference(sums(gap=-0.05, spread=0.01), seed=1, confidence=0.99, root=False)
    assert estimate.high < 0


def test_same_seed_returns_same_interval():
    table = sums(gap=0.1, spread=1.0)
    one, again, other = (difference(table, seed, 0.95, root=False) for seed in (1, 1, 2))
    assert one == again
    assert (one.low, one.high) != (other.low, other.high)


def test_squared_errors_are_compared_by_their_roots():
    table = np.array([[90.0, 160.0, 10.0], [90.0, 160.0, 10.0]])
    estimate = difference(table, seed=1, confidence=0.95, root=True)
    assert (estimate.value, estimate.low, estimate.high) == (-1.0, -1.0, -1.0)
