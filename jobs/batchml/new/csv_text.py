"""Recognize how a CSV file is written, and read its fields with the pipeline's own reader."""

import codecs
import csv
import re
import shutil
from collections import Counter
from collections.abc import Sequence
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

NUMBERED_COLUMN = re.compile(r"column_\d+")
MAX_MALFORMED = 0.2
SNIFF = """
SELECT Delimiter, HasHeader FROM sniff_csv(
    ?, sample_size = -1, skip = 0, comment = '', ignore_errors = true, strict_mode = false)
"""


@dataclass(frozen=True)
class CsvText:
    """A CSV file as text in UTF-8.

    ``codec`` is Python's name of the file's encoding. ``given`` has the names in the file, or
    numbered ones if the first line is a row.
    """

    path: Path
    codec: str
    delimiter: str
    given: tuple[str, ...]
    has_header: bool

    @property
    def encoding(self) -> str:
        """Encoding of the landed copy."""
        if self.codec == "iso-8859-1":
            return "ISO-8859-1"
        return "UTF-8"


def recognize(path: Path, label: str, folder: Path, shown: str) -> CsvText:
    """Return how the file is written. Its text in UTF-8 is put into ``folder``.

    A first line that contains ``label`` is a header.
    """
    codec = _codec_of(path, shown)
    text = _to_utf8(path, codec, folder)
    delimiter, has_header = _sniff(text, shown)
    with text.open(encoding="utf-8", newline="") as handle:
        first = _first_row(csv.reader(handle, delimiter=delimiter), shown)
    given = tuple(name.strip() for name in first)
    if label in given or label in fitting_names(given):
        has_header = True
    elif NUMBERED_COLUMN.fullmatch(label):
        has_header = False
    if not has_header:
        given = tuple(f"column_{number}" for number in range(1, len(first) + 1))
    return CsvText(text, codec, delimiter, given, has_header)


def read_fields(text: CsvText, shown: str) -> tuple[CsvText, pa.Table, int]:
    """Return the form, the fields of well-formed rows, and the number of malformed rows.

    A space after every comma belongs to the delimiter of the returned form.
    Raise BadData if too many rows are malformed.
    """
    fields, malformed = _records(text, shown)
    if text.delimiter == "," and _all_begin_with_space(fields):
        spaced = _with_space(text, shown)
        if spaced is not None:
            spaced_fields, spaced_malformed = _records(spaced, shown)
            if len(spaced_malformed) <= len(malformed):
                text, fields, malformed = spaced, spaced_fields, spaced_malformed

    rows = fields.num_rows + len(malformed)
    if len(malformed) > MAX_MALFORMED * rows:
        raise _too_many_malformed(text, malformed, shown)
    return text, fields, len(malformed)


def _with_space(text: CsvText, shown: str) -> CsvText | None:
    """Return the form with a space in the delimiter, and the names that the header then has.

    A quote begins a field only at the start of it, and so after the space. Return None if the
    header has quoted names without spaces between them: then nobody could read it.
    """
    spaced = replace(text, delimiter=", ")
    if not text.has_header:
        return spaced
    try:
        with text.path.open("rb") as stream:
            names = CsvRecords(stream, CsvForm(delimiter=spaced.delimiter), shown).names
    except BadData:
        return None
    return replace(spaced, given=names or text.given)


def _too_many_malformed(text: CsvText, malformed: Sequence[str], shown: str) -> BadData:
    rows = csv.reader(malformed, delimiter=text.delimiter[0])
    widths = Counter(len(row) for row in rows)
    ((width, size),) = widths.most_common(1)
    return BadData(
        f"{shown}: {len(malformed):,} lines have another number of fields than the first, "
        f"which has {len(text.given)} (delimiter {text.delimiter!r}), or text after a quote",
        f"{size:,} of them have {width}",
        remedy="remove what is above the header, or correct these lines",
    )


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


def snake_case(name: str) -> str:
    """Return a name such as ``StartTime`` as ``start_time``."""
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name).lower()


def write_csv(text: CsvText, names: Sequence[str], target: Path) -> None:
    """Write the text in the encoding of the copy, with ``names`` as the header if it has one."""
    with (
        text.path.open(encoding="utf-8", newline="") as source,
        target.open("w", encoding=text.encoding, newline="") as copy,
    ):
        if text.has_header:
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


def _codec_of(path: Path, shown: str) -> str:
    """Return Python's name of the file's encoding."""
    content = path.read_bytes()
    if content.startswith(codecs.BOM_UTF8):
        return "utf-8-sig"
    if content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return "utf-16"
    if b"\0" in content:
        raise BadData(f"{shown} is not text: it contains bytes of value 0")
    try:
        # Unlike bytes.decode, it accepts a file that ends within a character.
        codecs.getincrementaldecoder("utf-8")().decode(content)
        return "utf-8"
    except UnicodeDecodeError:
        # Windows has quotes, dashes and the euro where ISO 8859-1 has control characters.
        has_controls = re.search(rb"[\x80-\x9f]", content) is not None
    if has_controls:
        return "cp1252"
    return "iso-8859-1"


def _sniff(path: Path, shown: str) -> tuple[str, bool]:
    """Return the delimiter that DuckDB proposes, and True if it sees a header."""
    try:
        with duckdb.connect() as connection:
            ((delimiter, has_header),) = connection.execute(SNIFF, [str(path)]).fetchall()
    except duckdb.Error as error:
        lines = str(error).splitlines()
        raise BadData(f"{shown} cannot be read as CSV", *lines[:2]) from error
    return delimiter, has_header


def _first_row(reader: Any, shown: str) -> list[str]:
    try:
        return next((row for row in reader if row), [])
    except csv.Error as error:
        raise BadData(f"{shown} cannot be read as CSV", str(error)) from error


def _records(text: CsvText, shown: str) -> tuple[pa.Table, list[str]]:
    """Return the fields of well-formed rows, and the text of malformed ones."""
    form = CsvForm(delimiter=text.delimiter)
    if not text.has_header:
        form = replace(form, names=text.given)
    tables = [text_schema(len(text.given)).empty_table()]
    with text.path.open("rb") as stream:
        tables.extend(CsvRecords(stream, form, shown).tables())
    records = pa.concat_tables(tables)
    malformed = records[MALFORMED].drop_null().to_pylist()
    fields = records.filter(pc.is_null(records[MALFORMED]))
    return fields.drop_columns([NUMBER, MALFORMED]), malformed


def _all_begin_with_space(fields: pa.Table) -> bool:
    """Return True if no field but the first of a row contradicts a space after every comma.

    Without a well-formed row none does.
    """
    if fields.num_columns < 2:
        return False
    for column in fields.columns[1:]:
        begins = pc.starts_with(column, " ").fill_null(False)
        if not pc.all(begins, min_count=0).as_py():
            return False
    return True
