"""Find columns to leave out of the inputs: useless ones, and leaks, which give the label away."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np

from batchml.new.column import Column
from batchml.new.csv_text import snake_case

MAX_CLASSES = 100
ALMOST_ONE = 0.999
SAMPLE = 500  # rows that a sum is tried on before it is tried on all
MAX_SUMMANDS = 60
ID = re.compile(r"(^|_)(id|ids|uuid|guid|key|index|idx|nr|no|num|number|instant|row|rownum|rowid)$")
MOSTLY_EMPTY = 0.95
MAX_CATEGORIES = 50


def find_left_out(columns: Sequence[Column], label: Column, *, is_class: bool) -> dict[str, str]:
    """Return the reason for each left-out column, by its name."""
    varied = [column for column in columns if column.distinct > 1]
    leaks = _find_leaks(varied, label, is_class=is_class)
    reasons = {}
    for column in columns:
        reason = _useless(column) or leaks.get(column.name)
        if reason and column.name != label.name:
            reasons[column.name] = reason
    return reasons


def _useless(column: Column) -> str:
    """Return why a model can learn nothing from the column, or an empty text if it may."""
    if not column.distinct:
        return "it has no value"
    if column.distinct == 1 and not column.missing:
        return f"it is always {next(iter(column.counts))}"
    if column.missing > MOSTLY_EMPTY * column.rows:
        return f"{column.missing / column.rows:.0%} of it is empty"
    if is_id(column):
        return "it numbers or names the rows: all values differ"
    if column.type == "string" and column.distinct > min(MAX_CATEGORIES, column.rows // 2):
        return f"{column.distinct:,} different texts: too many for categories"
    return ""


def is_id(column: Column) -> bool:
    """Return True if the column numbers or names the rows."""
    if not column.is_unique or column.type == "double" or column.is_dated:
        return False
    if column.type == "string":
        return True
    low, high = column.range
    is_consecutive = high - low + 1 == column.rows
    return is_consecutive or ID.search(snake_case(column.name)) is not None


def _find_leaks(columns: Sequence[Column], label: Column, *, is_class: bool) -> dict[str, str]:
    """Return how each column that gives the label away does it, by its name."""
    leaks = {}
    numbers = []
    for column in columns:
        if column.name == label.name:
            continue
        reason = _reason(column, label, is_class=is_class)
        if reason:
            leaks[column.name] = reason
        elif column.is_number:
            numbers.append(column)

    if label.is_number and not is_class:
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
    both_known = np.isfinite(column.numbers) & np.isfinite(label.numbers)
    values = column.numbers[both_known]
    targets = label.numbers[both_known]
    if values.size < 3 or not np.std(values) or not np.std(targets):
        return 0.0
    return float(np.corrcoef(values, targets)[0, 1])


def _is_renaming(column: Column, label: Column) -> bool:
    """Return True if the values of both correspond one to one, where both are known."""
    if column.distinct != label.distinct or label.distinct > MAX_CLASSES:
        return False
    values = column.values.to_pylist()
    targets = label.values.to_pylist()
    pairs = set(zip(values, targets, strict=True))
    known = [pair for pair in pairs if None not in pair]
    unknown = len(pairs) - len(known)
    return len(known) == label.distinct and unknown <= 1


def _sums(numbers: Sequence[Column], label: Column) -> dict[str, str]:
    """Return the pairs whose sum or difference is the label in every row."""
    varied = [column for column in numbers if column.distinct > 1]
    leaks: dict[str, str] = {}
    for one, other in combinations(varied, 2):
        for sum_ in (Sum(one, "+", other), Sum(one, "-", other), Sum(other, "-", one)):
            if sum_.equals(label, SAMPLE) and sum_.equals(label, label.rows):
                reason = f"{label.name} = {sum_} in every row"
                leaks |= {one.name: reason, other.name: reason}
    return leaks


@dataclass(frozen=True)
class Sum:
    """The sum or the difference of two columns."""

    one: Column
    sign: str
    other: Column

    def __str__(self) -> str:
        return f"{self.one.name} {self.sign} {self.other.name}"

    def equals(self, label: Column, rows: int) -> bool:
        """Return True if the label is equal in the first ``rows``, as far as all are known."""
        one = self.one.numbers[:rows]
        other = self.other.numbers[:rows]
        total = one + other
        if self.sign == "-":
            total = one - other
        target = label.numbers[:rows]
        known = np.isfinite(total) & np.isfinite(target)
        if known.sum() <= 3:
            return False
        return bool(np.allclose(total[known], target[known], rtol=1e-9, atol=1e-9))
