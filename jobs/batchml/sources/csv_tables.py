"""Build tables of CSV records: their text, their numbers, and the lines of malformed ones."""

from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.csv

NUMBER = "number"
MALFORMED = "malformed"
OtherLine = tuple[int, str]
"""The index of a line that is not a record, and its text."""


class RecordBatch:
    """Records that are gathered one by one."""

    def __init__(self, width: int) -> None:
        self._width = width
        self._numbers: list[int] = []
        self._rows: list[list[str | None]] = []
        self._malformed: list[str | None] = []

    def __len__(self) -> int:
        return len(self._rows)

    def add(self, number: int, fields: list[str], malformed: str | None) -> None:
        """Add a record. Of a malformed one keep its text, and the fields as far as they go."""
        row: list[str | None] = [field or None for field in fields[: self._width]]
        missing = self._width - len(row)
        self._rows.append(row + [None] * missing)
        self._numbers.append(number)
        self._malformed.append(malformed and malformed.rstrip("\r\n"))

    def table(self) -> pa.Table:
        """Return the records."""
        columns = []
        for place in range(self._width):
            fields = [row[place] for row in self._rows]
            columns.append(pa.array(fields, pa.string()))
        texts = pa.table(columns, names=_names(self._width))
        numbers = pa.array(self._numbers, pa.int64())
        malformed = pa.array(self._malformed, pa.string())
        return _with_own_columns(texts, numbers, malformed)


def text_schema(width: int) -> pa.Schema:
    """Return the schema of the tables of a file with so many columns."""
    fields = [(name, pa.string()) for name in _names(width)]
    fields.append((NUMBER, pa.int64()))
    fields.append((MALFORMED, pa.string()))
    return pa.schema(fields)


def with_numbers(table: pa.Table, numbers: "np.ndarray[Any, Any]") -> pa.Table:
    """Add the numbers of well-formed records, and nulls as the text of malformed ones."""
    well_formed = pa.nulls(table.num_rows, pa.string())
    return _with_own_columns(table, pa.array(numbers, pa.int64()), well_formed)


def parse_plain(text: str, width: int, delimiter: str) -> tuple[pa.Table, list[OtherLine]]:
    """Parse ``text`` with Arrow. Return the records with ``width`` fields, and the other lines."""
    others: list[OtherLine] = []

    def skip(row: pyarrow.csv.InvalidRow) -> str:
        others.append((row.number - 1, row.text))
        return "skip"

    names = _names(width)
    encoded = text.encode()
    table = pyarrow.csv.read_csv(
        pa.BufferReader(encoded),
        pyarrow.csv.ReadOptions(
            column_names=names,
            use_threads=False,  # only a single thread knows the numbers of rows
            block_size=len(encoded) + 1,  # the whole text, so that it is never cut
        ),
        pyarrow.csv.ParseOptions(
            delimiter=delimiter,
            newlines_in_values=True,
            invalid_row_handler=skip,
        ),
        pyarrow.csv.ConvertOptions(
            column_types=dict.fromkeys(names, pa.string()),
            strings_can_be_null=True,
            null_values=[""],
        ),
    )
    return table, others


def _names(width: int) -> list[str]:
    return [f"c{place}" for place in range(width)]


def _with_own_columns(texts: pa.Table, numbers: pa.Array, malformed: pa.Array) -> pa.Table:
    numbered = texts.append_column(NUMBER, numbers)
    return numbered.append_column(MALFORMED, malformed)
