"""Columns that give the label away: a model that sees them has learnt nothing."""

from collections.abc import Sequence
from itertools import combinations

import numpy as np

from batchml.new.columns import Column

MOST_CLASSES = 100
ALMOST_ONE = 0.999
SAMPLE = 500  # rows that a sum is tried on before it is tried on all
MOST_SUMMANDS = 60


def leaks(columns: Sequence[Column], label: Column, *, is_class: bool) -> dict[str, str]:
    """By the name of each column that gives the label away: how it does."""
    others = [column for column in columns if column.name != label.name]
    found = {
        column.name: reason
        for column in others
        if (reason := _alone(column, label, is_class=is_class))
    }
    if label.is_number and not is_class:
        numbers = [column for column in others if column.is_number and column.name not in found]
        found |= _sums(numbers[:MOST_SUMMANDS], label)
    return found


def _alone(column: Column, label: Column, *, is_class: bool) -> str:
    if column.type == label.type and column.values.equals(label.values):
        return "it is the label once more"
    if is_class and _is_renaming(column, label):
        return "each of its values stands for one of the label's"
    if not column.is_number or not label.is_number:
        return ""
    both = np.isfinite(column.numbers) & np.isfinite(label.numbers)
    one, other = column.numbers[both], label.numbers[both]
    if one.size < 3 or not np.std(one) or not np.std(other):
        return ""
    correlation = float(np.corrcoef(one, other)[0, 1])
    return (
        f"its correlation with the label is {correlation:.5f}"
        if abs(correlation) > ALMOST_ONE
        else ""
    )


def _is_renaming(column: Column, label: Column) -> bool:
    if column.distinct != label.distinct or label.distinct > MOST_CLASSES:
        return False
    pairs = set(zip(column.values.to_pylist(), label.values.to_pylist(), strict=True))
    known = [pair for pair in pairs if None not in pair]
    return len(known) == label.distinct and len(pairs) - len(known) <= 1


def _sums(numbers: Sequence[Column], label: Column) -> dict[str, str]:
    """Pairs whose sum or difference is the label in every row."""
    varied = [column for column in numbers if column.distinct > 1]
    found: dict[str, str] = {}
    for one, other in combinations(varied, 2):
        for sign, formula in (
            (1, f"{one.name} + {other.name}"),
            (-1, f"{one.name} - {other.name}"),
        ):
            if _adds_up(one, other, label, sign, SAMPLE) and _adds_up(
                one, other, label, sign, label.rows
            ):
                found |= dict.fromkeys(
                    (one.name, other.name), f"{label.name} = {formula} in every row"
                )
        if _adds_up(other, one, label, -1, SAMPLE) and _adds_up(other, one, label, -1, label.rows):
            reason = f"{label.name} = {other.name} - {one.name} in every row"
            found |= dict.fromkeys((one.name, other.name), reason)
    return found


def _adds_up(one: Column, other: Column, label: Column, sign: int, rows: int) -> bool:
    total = one.numbers[:rows] + sign * other.numbers[:rows]
    target = label.numbers[:rows]
    known = np.isfinite(total) & np.isfinite(target)
    return bool(known.sum() > 3) and bool(
        np.allclose(total[known], target[known], rtol=1e-9, atol=1e-9)
    )
