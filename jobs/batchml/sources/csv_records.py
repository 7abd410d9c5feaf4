"""Read the records of a CSV file (RFC 4180) as a stream, in batches of bounded size."""

import bz2
import codecs
import csv
import errno
import gzip
import io
import lzma
import re
import struct
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import IO, Any, BinaryIO, cast

import numpy as np
import pyarrow as pa
import pyarrow.csv

from batchml.config.sources import CsvSource
from batchml.errors import BadData, Unavailable

# A noncharacter in place of bytes that are no text: no codec decodes to it, and none of it reaches a table.
INVALID = "\udcff"
SHOWN_FOR_INVALID = "\ufffd"
# Stands for a delimiter of several characters while a line is taken apart.
ONE_DELIMITER = "\U0010fffe"
BLOCK = 1_000_000  # characters that are taken apart at once
BATCH_ROWS = 5_000
NUMBER, MALFORMED = "number", "malformed"

PACKED = {
    b"\x1f\x8b": "gzip",
    b"BZh": "bzip2",
    b"\xfd7zXZ\x00": "xz",
    b"(\xb5/\xfd": "zstd",
    b"PK\x03\x04": "zip",
}
OTHER_FORMATS = {
    b"PAR1": "a parquet file (kind: parquet)",
    b"\xd0\xcf\x11\xe0": "an Excel workbook of an old version: save it as CSV",
    b"%PDF": "a PDF",
    b"PK\x05\x06": "an empty zip archive",
    b"Rar!": "a RAR archive: unpack it",
    b"7z\xbc\xaf": "a 7z archive: unpack it",
    b"\x04\x22\x4d\x18": "packed by lz4: unpack it, or pack it with gzip",
    b"\xff\x06\x00\x00sNaPpY": "packed by snappy: unpack it, or pack it with gzip",
}
HTML = (b"<!doctype html", b"<html")
HEAD = 512  # bytes by which a format is told
DAMAGED = (EOFError, zlib.error, gzip.BadGzipFile, lzma.LZMAError, zipfile.BadZipFile)
# What zipfile raises for wrong numbers in an archive: places before its beginning, versions to come, names without end.
DAMAGED_ARCHIVE = (NotImplementedError, ValueError, OSError, struct.error)
# How bz2 and Arrow word a damaged file: the class of their errors is that of a failing disk too.
DAMAGED_STREAM = re.compile(r"Invalid data stream|Truncated compressed stream|ZSTD \w+ failed")
# Codecs of Python that return surrogates, which are no characters.
LENIENT_CODECS = ("utf-7", "unicode-escape", "raw-unicode-escape")
SURROGATE = re.compile("[\ud800-\udfff]")
LINE = re.compile(r"[^\r\n]*+(?:\r\n?|\n)?")
LONG_PART = 50_000  # characters that are worth a call of Arrow's


def _replace_invalid(error: UnicodeError) -> tuple[str, int]:
    assert isinstance(error, UnicodeDecodeError), "only a decoder uses it"
    return INVALID, error.end


codecs.register_error("batchml.invalid", _replace_invalid)


@dataclass(frozen=True)
class CsvForm:
    """How a file is written. ``names`` are those of its columns if it has no header."""

    delimiter: str = ","
    encoding: str = "utf-8"
    names: tuple[str, ...] | None = None
    skip_rows: int = 0
    comment: tuple[str, ...] = ()
    max_characters: int = 1_000_000


def form_of_file(source: CsvSource, names: Sequence[str]) -> CsvForm:
    """Return how the files of ``source`` are written; ``names`` are its columns', if it has no header."""
    return CsvForm(
        delimiter=source.delimiter,
        encoding=source.encoding,
        names=None if source.header else tuple(names),
        skip_rows=source.skip_rows,
        comment=source.comment,
        max_characters=int(source.max_record_megabytes * 1e6),
    )


@contextmanager
def open_unpacked(path: Path, shown: str) -> Iterator[IO[bytes]]:
    """Open a file, unpacked if it is packed: by its first bytes, whatever its name is.

    Raise BadData for a format that is not read, and for a packed file that is cut off or damaged.
    """
    with _opened(path, shown) as file:
        head = file.read(HEAD)
        file.seek(0)
        _require_text(head, shown)
        packing = _packing(head)
        try:
            with _unpacked(file, packing, shown) as stream:
                if packing is None:
                    yield stream
                    return
                unpacked = io.BufferedReader(cast(io.RawIOBase, stream), HEAD)
                head = unpacked.peek(HEAD)
                _require_text(head, shown)
                if inner := _packing(head):
                    raise BadData(
                        f"{shown} is packed twice ({packing}, {inner})", remedy="pack it once"
                    )
                yield unpacked
        except (*DAMAGED, OSError) as error:
            message = str(error) or type(error).__name__
            if not isinstance(error, DAMAGED) and not DAMAGED_STREAM.search(message):
                raise
            raise BadData(
                f"{shown} cannot be read: its {packing} packing is cut off or damaged",
                message.splitlines()[0],
                remedy="the file is damaged: deliver it again",
            ) from error


def _opened(path: Path, shown: str) -> BinaryIO:
    try:
        return path.open("rb")
    except OSError as error:
        raise Unavailable(
            f"{shown} cannot be opened",
            str(error),
            remedy="check the file's permissions, then run the job again",
        ) from error


def _packing(head: bytes) -> str | None:
    return next((name for magic, name in PACKED.items() if head.startswith(magic)), None)


def _require_text(head: bytes, shown: str) -> None:
    """Raise BadData if a file that begins with ``head`` is of a known other format."""
    for magic, other in OTHER_FORMATS.items():
        if head.startswith(magic):
            raise BadData(f"{shown} is {other}", remedy="deliver it as CSV")
    if head[257:262] == b"ustar":
        raise BadData(f"{shown} is a tar archive", remedy="unpack it")
    if head.lstrip(b"\xef\xbb\xbf \t\r\n").lower().startswith(HTML):
        raise BadData(f"{shown} is a web page (HTML)", remedy="deliver the CSV file itself")


def _unpacked(file: BinaryIO, packing: str | None, shown: str) -> IO[bytes]:
    match packing:
        case "gzip":
            return cast(IO[bytes], gzip.GzipFile(fileobj=file))
        case "bzip2":
            return cast(IO[bytes], bz2.BZ2File(file))
        case "xz":
            return cast(IO[bytes], lzma.LZMAFile(file))
        case "zstd":
            return cast(IO[bytes], pa.CompressedInputStream(file, "zstd"))
        case "zip":
            try:
                return _only_member(zipfile.ZipFile(file), shown)
            except DAMAGED_ARCHIVE as error:
                if isinstance(error, OSError) and error.errno != errno.EINVAL:
                    raise
                raise zipfile.BadZipFile(str(error)) from error
        case _:
            return file


def _only_member(archive: zipfile.ZipFile, shown: str) -> IO[bytes]:
    members = [
        info
        for info in archive.infolist()
        if not info.is_dir() and not info.filename.startswith("__MACOSX/")
    ]
    names = [info.filename for info in members]
    if "[Content_Types].xml" in names:
        raise BadData(
            f"{shown} is an Excel workbook or another Office document", remedy="save it as CSV"
        )
    if len(members) != 1:
        raise BadData(
            f"{shown} is a zip archive of {len(members)} files: {', '.join(names[:5])}",
            remedy="deliver one file in it, or unpack it",
        )
    if members[0].flag_bits & 1:
        raise BadData(f"{shown} is a zip archive with a password", remedy="deliver it without one")
    try:
        return archive.open(members[0])
    except NotImplementedError:
        raise BadData(
            f"{shown} is a zip archive that is packed by a rare method (number {members[0].compress_type})",
            remedy="pack it with gzip, or as a zip archive by the usual method (deflate)",
        ) from None


class CsvRecords:
    """The records of a stream, as tables of text.

    ``names`` are the columns': of the header, or as given; None for a file without lines. A record is malformed if it
    has another number of fields than there are columns, bytes that are not of the encoding, or text behind a closing
    quote. Empty lines are no records.
    """

    def __init__(self, stream: IO[bytes], form: CsvForm, shown: str) -> None:
        """Begin to read."""
        self._form = form
        self._shown = shown
        codec = _codec(form.encoding)
        self._is_lenient = codec in LENIENT_CODECS
        self._stream = io.TextIOWrapper(stream, codec, errors="batchml.invalid", newline="")
        self._text = ""  # what is read of the file, from ``_at`` on to be taken apart
        self._at = 0
        self._has_all = False
        self._ended = False
        self._line = 0  # number of the line before ``_at``
        self._pending: list[str] = []  # the lines of the current record
        self._number = 0
        self._one_delimiter = form.delimiter if len(form.delimiter.encode()) == 1 else ONE_DELIMITER
        csv.field_size_limit(max(csv.field_size_limit(), form.max_characters))
        self._reader = csv.reader(self._lines(), delimiter=self._one_delimiter, strict=True)
        for _ in range(form.skip_rows):
            self._next_line()
        self.names = form.names if form.names is not None else self._header()

    def tables(self) -> Iterator[pa.Table]:
        """Return all records, a bounded number at a time: their fields, numbers, and the text of malformed ones.

        Most of a file is taken apart by Arrow, as far as it is plainly well-formed; the rest record by record.
        """
        if self.names is None:
            return
        slowly = 1
        while True:
            plain = self._plain_part()
            if plain:
                table = self._by_arrow(plain)
                is_long = len(plain) > LONG_PART
                self._line += plain.count("\n") or plain.count("\r")
                self._at += len(plain)
                if table.num_rows:
                    yield table
                slowly = 1 if is_long else slowly
                continue
            table = self._by_record(slowly)
            if table is None:
                return
            yield table
            slowly = min(2 * slowly, BATCH_ROWS)

    def _plain_part(self) -> str:
        """Return the records from here on that are plainly well-formed, at most a block of them."""
        self._fill(BLOCK)
        text = self._text[self._at : self._at + min(BLOCK, self._form.max_characters)]
        is_last = self._has_all and self._at + len(text) == len(self._text)
        if not text or INVALID in text or self._one_delimiter != self._form.delimiter:
            return ""
        if self._form.comment and any(mark in text for mark in self._form.comment):
            return ""
        if "\r" in text and text.count("\r") != text.count("\r\n") + text.endswith("\r"):
            return ""  # lines that end with a carriage return alone
        if '"' not in text:
            return text if is_last else text[: text.rfind("\n") + 1]
        found = _plain_records(self._form.delimiter).match(
            text if text.endswith("\n") or not is_last else f"{text}\n"
        )
        return text[: found.end()] if found else ""

    def _by_arrow(self, text: str) -> pa.Table:
        malformed: list[tuple[int, str]] = []

        def remember(row: pyarrow.csv.InvalidRow) -> str:
            malformed.append((row.number, row.text))
            return "skip"

        assert self.names is not None
        names = _names(self.names)
        encoded = text.encode()
        table = pyarrow.csv.read_csv(
            pa.BufferReader(encoded),
            # Row numbers are known to a single thread only. The block is the whole text: it is never cut.
            pyarrow.csv.ReadOptions(
                column_names=names, use_threads=False, block_size=len(encoded) + 1
            ),
            pyarrow.csv.ParseOptions(
                delimiter=self._form.delimiter,
                newlines_in_values=True,
                invalid_row_handler=remember,
            ),
            pyarrow.csv.ConvertOptions(
                column_types=dict.fromkeys(names, pa.string()),
                strings_can_be_null=True,
                null_values=[""],
            ),
        )
        blank = {number for number, text in malformed if self._is_blank(text)}
        others = [(number, text) for number, text in malformed if number not in blank]
        rows = table.num_rows + len(malformed)
        numbers = np.arange(1, rows + 1)
        if malformed:
            numbers = np.delete(numbers, [number - 1 for number, _ in malformed])
            skipped = np.array(sorted(blank), dtype=np.int64)
            first = self._number - 1
            records = _Records(len(names))
            for number, line in others:
                place = first + number - int(np.searchsorted(skipped, number))
                records.add(place, self._fields_of(line), line)
            places = first + numbers - np.searchsorted(skipped, numbers)
            tables = [_with_own(table, places), records.table()]
            self._number += rows - len(blank)
            return pa.concat_tables(tables)
        table = _with_own(table, self._number - 1 + numbers)
        self._number += rows
        return table

    def _fields_of(self, line: str) -> list[str]:
        return next(csv.reader([line], delimiter=self._form.delimiter), [])

    def _by_record(self, most: int) -> pa.Table | None:
        """Return some records, each taken apart by itself; None at the end of the file."""
        assert self.names is not None
        records = _Records(len(self.names))
        size, ended = 0, False
        while len(records.numbers) < most and size < BLOCK and not ended:
            fields, text = self._record()
            ended = fields is None and text is None
            line = "".join(self._pending)
            if ended or self._is_blank(line):
                continue
            is_whole = (
                text is None
                and fields is not None
                and len(fields) == len(self.names)
                and INVALID not in line
            )
            records.add(
                self._number, self._shown_fields(fields), None if is_whole else _shown(text or line)
            )
            self._number += 1
            size += len(line)
        return records.table() if records.numbers or not ended else None

    def _is_blank(self, line: str) -> bool:
        """Return True for a line that is no record. Of a single column, spaces are a value."""
        if len(self.names or ()) == 1:
            return not line.strip("\r\n")
        return not line.strip() and self._form.delimiter not in line

    def _shown_fields(self, fields: list[str] | None) -> list[str]:
        return [_shown(text).replace(ONE_DELIMITER, self._form.delimiter) for text in fields or []]

    def _record(self) -> tuple[list[str] | None, str | None]:
        """Return the fields of the next record, or the text of one that cannot be taken apart; neither at the end."""
        self._pending.clear()
        try:
            return next(self._reader), None
        except StopIteration:
            return None, None
        except csv.Error:
            opened, quoted = self._opening()
            if self._ended:
                raise BadData(
                    f"{self._shown}: a quote that is opened in line {opened} is never closed",
                    quoted,
                    remedy="correct the file: a quote inside quotes is doubled",
                ) from None
            # Most likely the quote was never closed. Only its line is malformed; the lines behind it are read again.
            first, *others = self._pending
            if others:
                self._text, self._at = "".join([*others, self._text[self._at :]]), 0
                self._line -= len(others)
            del self._pending[1:]
            return None, first

    def _header(self) -> tuple[str, ...] | None:
        while True:
            fields, text = self._record()
            if text is not None:
                raise BadData(f"{self._shown}: the header cannot be read", text.strip()[:200])
            if fields is None:
                return None
            if "".join(fields).strip():
                break
        if "\0" in "".join(fields):
            raise BadData(
                f"{self._shown}: the header has NUL characters, so the file is not text in {self._form.encoding}",
                remedy="set source.encoding if it is in another encoding, such as UTF-16; otherwise deliver it as CSV",
            )
        names = self._shown_fields(fields)
        return tuple(name.strip() or f"_c{place}" for place, name in enumerate(names))

    def _lines(self) -> Iterator[str]:
        """Return line by line for the reader of records, and remember the lines of the current one."""
        pending, comment = self._pending, self._form.comment
        while line := self._next_line():
            if not pending and comment and line.startswith(comment):
                continue
            pending.append(line)
            if (
                len(line) > self._form.max_characters
                or sum(map(len, pending)) > self._form.max_characters
            ):
                self._raise_too_long()
            yield line.replace(self._form.delimiter, self._one_delimiter)
        self._ended = True

    def _next_line(self) -> str:
        """Return the next line with its end, or "" at the end of the file."""
        self._fill(self._form.max_characters + 1)
        found = LINE.match(self._text, self._at)
        assert found is not None, "the pattern matches an empty text too"
        line = found[0]
        self._at = found.end()
        self._line += 1 if line else 0
        return line

    def _fill(self, characters: int) -> None:
        """Read until so many characters are known, or all there are. What is done with is forgotten."""
        if self._has_all or len(self._text) - self._at >= characters:
            return
        parts, have = [self._text[self._at :]], len(self._text) - self._at
        begins = not self._line and not self._text
        while have < characters + BLOCK and not self._has_all:
            part = self._decoded()
            self._has_all = not part
            parts.append(part)
            have += len(part)
        self._text, self._at = "".join(parts), 0
        if begins:
            self._text = self._text.removeprefix("\ufeff")

    def _decoded(self) -> str:
        """Return the next characters of the file. Raise BadData if its encoding is another one altogether."""
        try:
            part = self._stream.read(BLOCK)
        except UnicodeError as error:  # of a file without byte order mark
            raise BadData(
                f"{self._shown} is not text in {self._form.encoding}",
                str(error),
                remedy="set source.encoding to the encoding of the file, for example utf-8, utf-16-le or utf-16-be",
            ) from error
        return SURROGATE.sub(INVALID, part) if self._is_lenient else part

    def _raise_too_long(self) -> None:
        line, quoted = self._opening()
        what = "a quote is opened in it and not closed" if quoted else "it has no line break"
        megabytes = self._form.max_characters / 1e6
        raise BadData(
            f"{self._shown}: the record in line {line} is larger than {megabytes:g} MB: {what}",
            *filter(None, [quoted]),
            remedy="correct the file, or raise source.max_record_megabytes",
        )

    def _opening(self) -> tuple[int, str]:
        """Return the line in which the last quote of the current record opens, and what follows it; "" if it closes."""
        first = self._line - len(self._pending) + 1
        text = "".join(self._pending).replace(self._form.delimiter, ONE_DELIMITER)
        place, opened, is_quoted, starts = 0, 0, False, True
        while place < len(text):
            character = text[place]
            if is_quoted and text.startswith('""', place):
                place += 1  # a quote inside quotes
            elif is_quoted:
                is_quoted = character != '"'
            elif starts and character == '"':
                opened, is_quoted, starts = place, True, False
            else:
                starts = character in (ONE_DELIMITER, "\n", "\r")
            place += 1
        if not is_quoted:
            return first, ""
        before = text[:opened].replace("\r\n", "\n").replace("\r", "\n")
        quoted = _shown(text[opened : opened + 80]).replace(ONE_DELIMITER, self._form.delimiter)
        return first + before.count("\n"), " ".join(quoted.split())


class _Records:
    """Records that are gathered one by one."""

    def __init__(self, width: int) -> None:
        self._width = width
        self.numbers: list[int] = []
        self._rows: list[list[str | None]] = []
        self._malformed: list[str | None] = []

    def add(self, number: int, fields: list[str], malformed: str | None) -> None:
        """Add a record. Of a malformed one its text is kept, and the fields as far as they go."""
        row: list[str | None] = [field or None for field in fields[: self._width]]
        self._rows.append(row + [None] * (self._width - len(row)))
        self.numbers.append(number)
        self._malformed.append(malformed and malformed.rstrip("\r\n"))

    def table(self) -> pa.Table:
        columns = [[row[place] for row in self._rows] for place in range(self._width)]
        texts = pa.table(
            [pa.array(column, pa.string()) for column in columns], names=_names(range(self._width))
        )
        malformed = pa.array(self._malformed, pa.string())
        return texts.append_column(NUMBER, pa.array(self.numbers, pa.int64())).append_column(
            MALFORMED, malformed
        )


def text_schema(width: int) -> pa.Schema:
    """Return the schema of the tables of a file with so many columns."""
    texts = [(name, pa.string()) for name in _names(range(width))]
    return pa.schema([*texts, (NUMBER, pa.int64()), (MALFORMED, pa.string())])


def _names(columns: Sequence[object]) -> list[str]:
    return [f"c{place}" for place in range(len(columns))]


def _with_own(table: pa.Table, numbers: "np.ndarray[Any, Any]") -> pa.Table:
    well_formed = pa.nulls(table.num_rows, pa.string())
    return table.append_column(NUMBER, pa.array(numbers, pa.int64())).append_column(
        MALFORMED, well_formed
    )


def _shown(text: str) -> str:
    return text.replace(INVALID, SHOWN_FOR_INVALID)


@cache
def _plain_records(delimiter: str) -> re.Pattern[str]:
    """Return the pattern of whole records that are well-formed by RFC 4180, or have quotes inside unquoted fields."""
    mark = re.escape(delimiter)
    field = rf'(?:"(?:[^"]++|"")*+"|(?:[^"\r\n{mark}][^\r\n{mark}]*+)?)'
    return re.compile(rf"(?:{field}(?:{mark}{field})*+(?:\r\n|\n))+")


def _codec(encoding: str) -> str:
    name = codecs.lookup(encoding).name
    return "utf-8-sig" if name == "utf-8" else name
