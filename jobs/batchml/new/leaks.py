"""Find columns that give the label away: a model that sees them has learned nothing."""

from collections.abc import Iterator, Sequence
from itertools import combinations

import numpy as np

from batchml.new.column import Column

MAX_CLASSES = 100
ALMOST_ONE = 0.999
SAMPLE = 500  # rows that a sum is tried on before it is tried on all
MAX_SUMMANDS = 60


def find_leaks(columns: Sequence[Column], label: Column, *, is_class: bool) -> dict[str, str]:
    """Return how each column that gives the label away does it, by its name."""
    leaks = {}
    others = [column for column in columns if column.name != label.name]
    for column in others:
        reason = _reason(column, label, is_class=is_class)
        if reason:
            leaks[column.name] = reason
    if label.is_number and not is_class:
        numbers = [column for column in others if column.is_number and column.name not in leaks]
        leaks |= _sums(numbers[:MAX_SUMMANDS], label)
    return leaks


def _reason(column: Column, label: Column, *, is_class: bool) -> str:
    """Return how the column alone gives the label away, or an empty text."""
    if column.type == label.type and column.values.equals(label.values):
        return "it is equal to the label"
    if is_class and _is_renaming(column, label):
        return "each of its values stands for one of the label's"
    if not column.is_number or not label.is_number:
        return ""
    correlation = _correlation(column, label)
    if abs(correlation) > ALMOST_ONE:
        return f"its correlation with the label is {correlation:.5f}"
    return ""


def _correlation(column: Column, label: Column) -> float:
    both = np.isfinite(column.numbers) & np.isfinite(label.numbers)
    one, other = column.numbers[both], label.numbers[both]
    if one.size < 3 or not np.std(one) or not np.std(other):
        return 0.0
    return float(np.corrcoef(one, other)[0, 1])


def _is_renaming(column: Column, label: Column) -> bool:
    """Return True if the values of both correspond one to one, where both are known."""
    if column.distinct != label.distinct or label.distinct > MAX_CLASSES:
        return False
    pairs = set(zip(column.values.to_pylist(), label.values.to_pylist(), strict=True))
    known = [pair for pair in pairs if None not in pair]
    return len(known) == label.distinct and len(pairs) - len(known) <= 1


def _sums(numbers: Sequence[Column], label: Column) -> dict[str, str]:
    """Return the pairs whose sum or difference is the label in every row."""
    varied = [column for column in numbers if column.distinct > 1]
    leaks: dict[str, str] = {}
    for one, other in combinations(varied, 2):
        for formula, left, sign, right in _formulas(one, other):
            is_sum = _adds_up(left, sign, right, label, SAMPLE)
            if is_sum and _adds_up(left, sign, right, label, label.rows):
                reason = f"{label.name} = {formula} in every row"
                leaks |= {one.name: reason, other.name: reason}
    return leaks


def _formulas(one: Column, other: Column) -> Iterator[tuple[str, Column, int, Column]]:
    yield f"{one.name} + {other.name}", one, 1, other
    yield f"{one.name} - {other.name}", one, -1, other
    yield f"{other.name} - {one.name}", other, -1, one


def _adds_up(one: Column, sign: int, other: Column, label: Column, rows: int) -> bool:
    total = one.numbers[:rows] + sign * other.numbers[:rows]
    target = label.numbers[:rows]
    known = np.isfinite(total) & np.isfinite(target)
    if known.sum() <= 3:
        return False
    return bool(np.allclose(total[known], target[known], rtol=1e-9, atol=1e-9))
