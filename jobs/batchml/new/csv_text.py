"""Recognize how a CSV file is written, and read its fields with the pipeline's own reader."""

import codecs
import csv
import re
import shutil
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.compute as pc

from batchml.config.columns import RESERVED
from batchml.errors import BadData
from batchml.sources.csv_form import CsvForm
from batchml.sources.csv_records import CsvRecords
from batchml.sources.csv_tables import MALFORMED, NUMBER, text_schema

CHUNK = 1 << 20
NUMBERED_COLUMN = re.compile(r"column_\d+")
MAX_MALFORMED = 0.2
SNIFF = """
SELECT Delimiter, HasHeader FROM sniff_csv(
    ?, sample_size = -1, skip = 0, comment = '', ignore_errors = true, strict_mode = false)
"""


@dataclass(frozen=True)
class CsvText:
    """A CSV file as text in UTF-8.

    ``codec`` is Python's name of the file's encoding, ``encoding`` that of the landed copy.
    ``header`` has the names in the file, or is None if the first line is a row.
    """

    path: Path
    codec: str
    encoding: str
    delimiter: str
    header: tuple[str, ...] | None
    width: int

    @property
    def given(self) -> tuple[str, ...]:
        """Names in the file, or numbered ones without a header."""
        if self.header is not None:
            return self.header
        return tuple(f"column_{number}" for number in range(1, self.width + 1))


def recognize(path: Path, label: str, folder: Path, shown: str) -> CsvText:
    """Return how the file is written. Its text in UTF-8 is put into ``folder``.

    A first line that contains ``label`` is a header.
    """
    codec, encoding = _codec_of(path, shown)
    text = _to_utf8(path, codec, folder)
    delimiter, sniffed_header = _sniff(text, shown)
    with text.open(encoding="utf-8", newline="") as handle:
        first = _first_row(csv.reader(handle, delimiter=delimiter), shown)
    names = tuple(name.strip() for name in first)
    if not _is_header(names, label, sniffed_header=sniffed_header):
        return CsvText(text, codec, encoding, delimiter, None, len(names))
    return CsvText(text, codec, encoding, delimiter, names, len(names))


def read_fields(text: CsvText, shown: str) -> tuple[CsvText, pa.Table, int]:
    """Return the form, the fields of well-formed rows, and the number of malformed rows.

    A space after every comma belongs to the delimiter of the returned form.
    Raise BadData if too many rows are malformed.
    """
    fields, malformed = _records(text, shown)
    if text.delimiter == "," and _all_begin_with_space(fields):
        text = replace(text, delimiter=", ")
        fields, malformed = _records(text, shown)

    if len(malformed) > MAX_MALFORMED * (len(malformed) + fields.num_rows):
        widths = Counter(len(row) for row in csv.reader(malformed, delimiter=text.delimiter[0]))
        width, size = widths.most_common(1)[0]
        raise BadData(
            f"{shown}: {len(malformed):,} lines have another number of fields than the first, "
            f"which has {text.width} (delimiter {text.delimiter!r}), or text after a quote",
            f"{size:,} of them have {width}",
            remedy="remove what is above the header, or correct these lines",
        )
    return text, fields, len(malformed)


def fitting_names(given: Sequence[str]) -> list[str]:
    """Return names that the configuration, Spark and Delta accept, close to those ``given``.

    Spark does not distinguish upper and lower case.
    """
    taken: set[str] = set()
    names = []
    for number, name in enumerate(given, 1):
        plain = name
        if not re.fullmatch(r"\w+", name):
            plain = re.sub(r"\W+", "_", name).strip("_") or f"column_{number}"
        if plain.casefold() in RESERVED:
            plain = f"file_{plain}"
        unique, attempt = plain, 1
        while unique.casefold() in taken:
            attempt += 1
            unique = f"{plain}_{attempt}"
        taken.add(unique.casefold())
        names.append(unique)
    return names


def write_csv(text: CsvText, names: Sequence[str], target: Path) -> None:
    """Write the text in the encoding of the copy, with ``names`` as the header if it has one."""
    with (
        text.path.open(encoding="utf-8", newline="") as source,
        target.open("w", encoding=text.encoding, newline="") as copy,
    ):
        if text.header is not None:
            reader = csv.reader(source, delimiter=text.delimiter[0])
            _first_row(reader, text.path.name)
            source.seek(0)
            for _ in range(reader.line_num):
                source.readline()
            copy.write(text.delimiter.join(names) + "\n")
        shutil.copyfileobj(source, copy)


def _to_utf8(path: Path, codec: str, folder: Path) -> Path:
    if codec == "utf-8":
        return path
    target = folder / "utf8.csv"
    with (
        path.open(encoding=codec, newline="") as source,
        target.open("w", encoding="utf-8", newline="") as copy,
    ):
        shutil.copyfileobj(source, copy)
    return target


def _codec_of(path: Path, shown: str) -> tuple[str, str]:
    """Return Python's name of the file's encoding, and the encoding of the copy."""
    with path.open("rb") as handle:
        head = handle.read(3)
    if head.startswith(codecs.BOM_UTF8):
        return "utf-8-sig", "UTF-8"
    if head.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return "utf-16", "UTF-8"

    decoder = codecs.getincrementaldecoder("utf-8")()
    is_utf8, has_controls = True, False
    for chunk in _chunks(path):
        if b"\0" in chunk:
            raise BadData(f"{shown} is not text: it contains bytes of value 0")
        has_controls = has_controls or re.search(rb"[\x80-\x9f]", chunk) is not None
        try:
            decoder.decode(chunk)
        except UnicodeDecodeError:
            is_utf8 = False

    if is_utf8:
        return "utf-8", "UTF-8"
    # Windows has quotes, dashes and the euro where ISO 8859-1 has control characters.
    if has_controls:
        return "cp1252", "UTF-8"
    return "iso-8859-1", "ISO-8859-1"


def _chunks(path: Path) -> Iterator[bytes]:
    with path.open("rb") as handle:
        while chunk := handle.read(CHUNK):
            yield chunk


def _sniff(path: Path, shown: str) -> tuple[str, bool]:
    """Return the delimiter that DuckDB proposes, and True if it sees a header."""
    try:
        with duckdb.connect() as connection:
            found = connection.execute(SNIFF, [str(path)]).fetchone()
    except duckdb.Error as error:
        lines = str(error).splitlines()
        raise BadData(f"{shown} cannot be read as CSV", *lines[:2]) from error
    assert found is not None, "sniff_csv returns one row"
    return str(found[0]), bool(found[1])


def _first_row(reader: Any, shown: str) -> list[str]:
    try:
        return next((row for row in reader if row), [])
    except csv.Error as error:
        raise BadData(f"{shown} cannot be read as CSV", str(error)) from error


def _is_header(first: Sequence[str], label: str, *, sniffed_header: bool) -> bool:
    if label in first or label in fitting_names(first):
        return True
    if NUMBERED_COLUMN.fullmatch(label):
        return False
    return sniffed_header


def _records(text: CsvText, shown: str) -> tuple[pa.Table, list[str]]:
    """Return the fields of well-formed rows, and the text of malformed ones."""
    names = None
    if text.header is None:
        names = text.given
    form = CsvForm(delimiter=text.delimiter, names=names)
    with text.path.open("rb") as stream:
        tables = list(CsvRecords(stream, form, shown).tables())
    everything = pa.concat_tables([text_schema(text.width).empty_table(), *tables])
    malformed = everything[MALFORMED].drop_null().to_pylist()
    fields = everything.filter(pc.is_null(everything[MALFORMED]))
    return fields.drop_columns([NUMBER, MALFORMED]), malformed


def _all_begin_with_space(fields: pa.Table) -> bool:
    if fields.num_columns < 2 or not fields.num_rows:
        return False
    begins = (pc.starts_with(column, " ").fill_null(False) for column in fields.columns[1:])
    return all(pc.all(column).as_py() for column in begins)
