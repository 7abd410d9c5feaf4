"""CSV files for the tests of `batchml.new`, and what it finds in them."""

import datetime as dt
from collections.abc import Iterable, Mapping
from itertools import cycle, islice
from pathlib import Path

from batchml.new.choose import Plan, choose
from batchml.new.columns import Column
from batchml.new.read import Delivered, read

ROWS = 60
NUMBERS = [str(n * n % 101 / 4) for n in range(ROWS)]  # a label of regression
DAYS = [str(dt.date(2024, 2, 20) + dt.timedelta(days=n // 3)) for n in range(ROWS)]  # three a day


def write(
    path: Path, columns: Mapping[str, Iterable[str]], delimiter: str = ",", encoding: str = "utf-8"
) -> Path:
    """A CSV file of 60 rows, each column's values over and over."""
    rows = zip(*(islice(cycle(values), ROWS) for values in columns.values()), strict=True)
    lines = [delimiter.join(columns), *(delimiter.join(row) for row in rows)]
    path.write_text("\n".join(lines) + "\n", encoding=encoding)
    return path


def found_in(path: Path, label: str = "y") -> Delivered:
    return read(path, label, path.name)


def plan_of(path: Path, label: str = "y") -> Plan:
    return choose(found_in(path, label), label, path.name)


def columns_of(path: Path) -> dict[str, Column]:
    return {column.name: column for column in found_in(path).columns}
