"""CSV files for the tests of `batchml.new`, and their profiles."""

import datetime as dt
from collections.abc import Iterable, Mapping
from itertools import cycle, islice
from pathlib import Path

from batchml.new.column import Column
from batchml.new.plan import Plan, make_plan
from batchml.new.profile import Profile, profile

ROWS = 60
NUMBERS = [str(n * n % 101 / 4) for n in range(ROWS)]  # a label of regression
DAYS = [str(dt.date(2024, 2, 20) + dt.timedelta(days=n // 3)) for n in range(ROWS)]  # three a day


def write(
    path: Path, columns: Mapping[str, Iterable[str]], delimiter: str = ",", encoding: str = "utf-8"
) -> Path:
    """Write a CSV file of 60 rows, which repeat each column's values."""
    rows = zip(*(islice(cycle(values), ROWS) for values in columns.values()), strict=True)
    lines = [delimiter.join(columns), *(delimiter.join(row) for row in rows)]
    path.write_text("\n".join(lines) + "\n", encoding=encoding)
    return path


def profile_of(path: Path, label: str = "y") -> Profile:
    return profile(path, label, path.parent, path.name)


def plan_of(path: Path, label: str = "y") -> Plan:
    return make_plan(profile_of(path, label), label, path.name)


def columns_of(path: Path) -> dict[str, Column]:
    return {column.name: column for column in profile_of(path).columns}
