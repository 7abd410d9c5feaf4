"""Parse a CSV text record by record with Python's csv module."""

import csv
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from batchml.errors import BadData
from batchml.sources.csv_form import CsvForm
from batchml.sources.csv_text import INVALID, CsvText

REPLACEMENT = "\ufffd"
# The csv module takes one character. This one replaces a longer delimiter while a line is parsed.
ONE_DELIMITER = "\U0010fffe"


class Record(NamedTuple):
    """The fields of a record and its lines; None for fields that cannot be parsed."""

    fields: list[str] | None
    text: str


class RecordReader:
    """Reads the records of a text from its current position on, one at a time."""

    def __init__(self, text: CsvText, form: CsvForm, display_name: str) -> None:
        self._text = text
        self._form = form
        self._display_name = display_name
        self._lines: list[str] = []  # of the current record
        self._has_ended = False
        self._delimiter = form.delimiter if form.has_short_delimiter else ONE_DELIMITER
        csv.field_size_limit(max(csv.field_size_limit(), form.max_characters))
        self._reader = csv.reader(self._parseable_lines(), delimiter=self._delimiter, strict=True)

    def next_record(self) -> Record | None:
        """Return the next record, or None at the end of the file.

        Raise BadData for a quote that is never closed.
        """
        self._lines.clear()
        try:
            fields = next(self._reader)
        except StopIteration:
            return None
        except csv.Error:
            if self._has_ended:
                raise self._unclosed_quote() from None
            return Record(None, self._first_line())
        return Record(fields, "".join(self._lines))

    def clean_fields(self, fields: Iterable[str]) -> list[str]:
        """Return ``fields`` with valid characters only, and with the delimiter of the file."""
        delimiter = self._form.delimiter
        return [clean_text(field).replace(ONE_DELIMITER, delimiter) for field in fields]

    def _first_line(self) -> str:
        """Return the first line of the current record, and put the others back.

        Most likely a quote was never closed. Only its line is malformed, so the lines after it are
        read again.
        """
        others = self._lines[1:]
        self._text.put_back(others)
        del self._lines[1:]
        return self._lines[0]

    def _parseable_lines(self) -> Iterator[str]:
        """Return line by line for the csv module, and remember the lines of the current record."""
        comment = self._form.comment
        while line := self._text.next_line():
            begins_record = not self._lines
            if begins_record and comment and line.startswith(comment):
                continue
            self._lines.append(line)
            if sum(map(len, self._lines)) > self._form.max_characters:
                raise self._too_long()
            yield line.replace(self._form.delimiter, self._delimiter)
        self._has_ended = True

    def _unclosed_quote(self) -> BadData:
        line, quoted = self._open_quote()
        return BadData(
            f"{self._display_name}: a quote that is opened in line {line} is never closed",
            quoted,
            remedy="correct the file: a quote inside quotes is doubled",
        )

    def _too_long(self) -> BadData:
        line, quoted = self._open_quote()
        reason = "it has no line break"
        details = []
        if quoted:
            reason = "a quote is opened in it and not closed"
            details = [quoted]
        megabytes = self._form.max_characters / 1e6
        return BadData(
            f"{self._display_name}: the record in line {line} is larger than {megabytes:g} MB: "
            f"{reason}",
            *details,
            remedy="correct the file, or raise source.max_record_megabytes",
        )

    def _open_quote(self) -> tuple[int, str]:
        """Return the line in which the current record opens a quote, and the text from there on.

        If every quote is closed, return the first line of the record, and "".
        """
        first = self._text.line - len(self._lines) + 1
        text = "".join(self._lines).replace(self._form.delimiter, ONE_DELIMITER)
        place = _open_quote_at(text)
        if place is None:
            return first, ""
        before = text[:place].replace("\r\n", "\n").replace("\r", "\n")
        [quoted] = self.clean_fields([text[place : place + 80]])
        return first + before.count("\n"), " ".join(quoted.split())


def clean_text(text: str) -> str:
    """Return ``text`` with a valid character in place of bytes that cannot be decoded."""
    return text.replace(INVALID, REPLACEMENT)


def _open_quote_at(text: str) -> int | None:
    """Return the index of the quote that ``text`` opens and does not close, or None."""
    opened = 0
    is_quoted = False
    begins_field = True
    place = 0
    while place < len(text):
        character = text[place]
        if is_quoted and text.startswith('""', place):
            place += 1  # a quote inside quotes
        elif is_quoted:
            is_quoted = character != '"'
        elif begins_field and character == '"':
            opened = place
            is_quoted = True
            begins_field = False
        else:
            begins_field = character in (ONE_DELIMITER, "\n", "\r")
        place += 1
    if is_quoted:
        return opened
    return None
