"""Read the records of a CSV file (RFC 4180) as a stream, in batches of bounded size."""

import csv
import re
from collections.abc import Iterator
from functools import cache
from typing import IO

import numpy as np
import pyarrow as pa

from batchml.errors import BadData
from batchml.sources import csv_text
from batchml.sources.csv_form import CsvForm
from batchml.sources.csv_reader import Record, RecordReader, clean_text
from batchml.sources.csv_tables import RecordBatch, parse_plain, with_numbers
from batchml.sources.csv_text import INVALID, CsvText

BATCH_ROWS = 5_000
LONG_PART = 50_000  # characters that are worth a call of Arrow


class CsvRecords:
    """The records of a stream, as tables of text.

    ``names`` are the columns': of the header, or those of the form; None for a file without lines.
    A record is malformed if it has another number of fields than there are columns, bytes that
    cannot be decoded, or text after a closing quote. Empty lines are not records.
    """

    def __init__(self, stream: IO[bytes], form: CsvForm, display_name: str) -> None:
        self._form = form
        self._display_name = display_name
        self._text = CsvText(stream, form, display_name)
        self._reader = RecordReader(self._text, form, display_name)
        self._number = 0  # of the next record
        for _ in range(form.skip_rows):
            self._text.next_line()
        self.names = form.names
        if form.names is None:
            self.names = self._header()
        self._width = len(self.names or ())

    def tables(self) -> Iterator[pa.Table]:
        """Return all records, a bounded number at a time.

        A table has their fields, numbers, and the text of malformed ones. Arrow parses the parts of
        a file that are plainly well-formed, which is most of it. The rest is parsed record by
        record.
        """
        if self.names is None:
            return
        most_rows = 1
        while True:
            part = self._plain_part()
            if part:
                table = self._by_arrow(part)
                self._text.skip(part)
                if table.num_rows:
                    yield table
                if len(part) > LONG_PART:
                    most_rows = 1
                continue

            others = self._by_record(most_rows)
            if others is None:
                return
            yield others
            most_rows = min(2 * most_rows, BATCH_ROWS)

    def _header(self) -> tuple[str, ...] | None:
        """Return the names in the first record that is not empty, or None without one."""
        fields: list[str] = []
        while not "".join(fields).strip():
            record = self._reader.next_record()
            if record is None:
                return None
            if record.fields is None:
                raise BadData(
                    f"{self._display_name}: the header cannot be read", record.text.strip()[:200]
                )
            fields = record.fields

        if "\0" in "".join(fields):
            raise BadData(
                f"{self._display_name}: the header has NUL characters, so the file is not text in "
                f"{self._form.encoding}",
                remedy="set source.encoding if it is in another encoding, such as UTF-16; "
                "otherwise deliver it as CSV",
            )
        names = self._reader.clean_fields(fields)
        return tuple(name.strip() or f"_c{place}" for place, name in enumerate(names))

    def _plain_part(self) -> str:
        """Return the next records that are plainly well-formed, at most a block of them."""
        block, is_last = self._text.peek_block()
        if not self._is_plain(block):
            return ""
        if '"' in block:
            return self._whole_records(block, is_last)
        if is_last:
            return block
        return block[: block.rfind("\n") + 1]

    def _is_plain(self, block: str) -> bool:
        """Return True if Arrow can parse the records of ``block``, as far as quotes allow."""
        if not block or INVALID in block or not self._form.has_short_delimiter:
            return False
        if any(mark in block for mark in self._form.comment):
            return False
        # Arrow does not end a line at a carriage return alone.
        ends = block.count("\r\n") + block.endswith("\r")
        return block.count("\r") == ends

    def _whole_records(self, block: str, is_last: bool) -> str:
        text = block
        if is_last and not block.endswith("\n"):
            text = f"{block}\n"
        match = _plain_records(self._form.delimiter).match(text)
        if match is None:
            return ""
        return block[: match.end()]

    def _by_arrow(self, part: str) -> pa.Table:
        """Return the records of a plain part."""
        parsed, others = parse_plain(part, self._width, self._form.delimiter)
        lines = np.arange(parsed.num_rows + len(others))
        first = self._number
        if not others:
            self._number += len(lines)
            return with_numbers(parsed, first + lines)

        blank = sorted(line for line, text in others if self._is_blank(text))
        self._number += len(lines) - len(blank)
        # Blank lines are not records, and are not counted.
        numbers = first + lines - np.searchsorted(np.array(blank, dtype=np.int64), lines)
        well_formed = np.delete(numbers, [line for line, _ in others])

        skipped = set(blank)
        malformed = RecordBatch(self._width)
        for line, text in others:
            if line not in skipped:
                malformed.add(int(numbers[line]), self._fields_of(text), text)
        return pa.concat_tables([with_numbers(parsed, well_formed), malformed.table()])

    def _fields_of(self, line: str) -> list[str]:
        return next(csv.reader([line], delimiter=self._form.delimiter), [])

    def _by_record(self, most_rows: int) -> pa.Table | None:
        """Return some records, each parsed separately; None at the end of the file."""
        records = RecordBatch(self._width)
        size = 0
        while len(records) < most_rows and size < csv_text.BLOCK:
            record = self._reader.next_record()
            if record is None:
                break
            if self._is_blank(record.text):
                continue
            fields = self._reader.clean_fields(record.fields or [])
            records.add(self._number, fields, self._malformed_text(record))
            self._number += 1
            size += len(record.text)
        if not len(records):
            return None
        return records.table()

    def _malformed_text(self, record: Record) -> str | None:
        """Return the text of a malformed record, None for a well-formed one."""
        is_parsed = record.fields is not None and len(record.fields) == self._width
        if is_parsed and INVALID not in record.text:
            return None
        return clean_text(record.text)

    def _is_blank(self, line: str) -> bool:
        """Return True for a line that is not a record. Of a single column, spaces are a value."""
        if self._width == 1:
            return not line.strip("\r\n")
        return not line.strip() and self._form.delimiter not in line


@cache
def _plain_records(delimiter: str) -> re.Pattern[str]:
    """Return the pattern of whole records that are well-formed by RFC 4180.

    Quotes inside unquoted fields are allowed too.
    """
    mark = re.escape(delimiter)
    quoted = r'"(?:[^"]++|"")*+"'
    unquoted = rf'(?:[^"\r\n{mark}][^\r\n{mark}]*+)?'
    field = f"(?:{quoted}|{unquoted})"
    return re.compile(rf"(?:{field}(?:{mark}{field})*+(?:\r\n|\n))+")
