"""What of a difference is chance, on losses whose difference is known."""

import numpy as np
import pytest

from batchml.models.significance import difference


def sums(gap: float, spread: float, groups: int = 400) -> np.ndarray:
    """Groups of ten rows: the champion's mean loss is 4, the challenger's higher by ``gap`` give or take ``spread``."""
    random = np.random.default_rng(7)
    champion, noise = random.normal(40, 5, groups), random.normal(0, spread, groups)
    challenger = champion + 10 * (gap + noise - noise.mean())
    return np.column_stack([challenger, champion, np.full(groups, 10.0)])


def test_clear_difference_is_significant():
    found = difference(sums(gap=-0.5, spread=1.0), seed=1, confidence=0.95, root=False)
    assert found.value == pytest.approx(-0.5, abs=0.15)
    assert found.low < found.value < found.high < 0
    assert not found.is_chance
    # The interval of a mean: 1.96 standard errors to either side.
    assert found.high - found.low == pytest.approx(2 * 1.96 * 1.0 / 20, rel=0.1)


def test_difference_within_noise_is_not_significant():
    found = difference(sums(gap=0.0, spread=1.0), seed=1, confidence=0.95, root=False)
    assert found.is_chance
    assert str(found).endswith("not significant)")


def test_pairing_removes_shared_variance():
    """The rows differ by far more than the models do: unpaired, nothing could be told."""
    found = difference(sums(gap=-0.05, spread=0.01), seed=1, confidence=0.99, root=False)
    assert found.high < 0


def test_same_seed_returns_same_interval():
    table = sums(gap=0.1, spread=1.0)
    one, again, other = (difference(table, seed, 0.95, root=False) for seed in (1, 1, 2))
    assert one == again
    assert (one.low, one.high) != (other.low, other.high)


def test_squared_errors_are_compared_by_their_roots():
    table = np.array([[90.0, 160.0, 10.0], [90.0, 160.0, 10.0]])
    found = difference(table, seed=1, confidence=0.95, root=True)
    assert (found.value, found.low, found.high) == (-1.0, -1.0, -1.0)
