"""How a CSV file is written: encoding, delimiter, header."""

import codecs
import csv
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from batchml.config.pipeline import RESERVED
from batchml.errors import BadData

DELIMITERS = (",", ";", "\t", "|")
LOOKED_AT = 200  # lines, for delimiter and header
CHUNK = 1 << 20
NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?")
WITHOUT_HEADER = re.compile(r"column_\d+")


@dataclass(frozen=True)
class CsvForm:
    """``codec`` is the file's encoding for Python, ``encoding`` that of the landed copy for Spark.

    ``header`` holds the names as the file has them; None where the first line is a row like any other.
    """

    codec: str
    encoding: str
    delimiter: str
    header: tuple[str, ...] | None
    header_lines: int
    width: int


def look_at(path: Path, label: str, shown: str) -> CsvForm:
    """The form of the file. A first line that has the ``label`` is a header."""
    codec, encoding = _codec_of(path, shown)
    try:
        by_delimiter = {delimiter: _head(path, codec, delimiter) for delimiter in DELIMITERS}
    except csv.Error as error:
        raise BadData(f"{shown} is no CSV file", str(error)) from error
    delimiter = max(DELIMITERS, key=lambda candidate: _suits(by_delimiter[candidate]))
    rows = by_delimiter[delimiter]
    first = [name.strip() for name in rows[0]]
    if not _is_header(first, label):
        return CsvForm(codec, encoding, delimiter, None, 0, len(first))
    with path.open(encoding=codec, newline="", errors="replace") as handle:
        reader = csv.reader(handle, delimiter=delimiter)
        next(row for row in reader if row)
        return CsvForm(codec, encoding, delimiter, tuple(first), reader.line_num, len(first))


def fitting_names(given: Sequence[str]) -> list[str]:
    """Names that the configuration, Spark and Delta take, in place of those ``given``, each as near to it as can be.

    Spark does not tell capitals from small letters.
    """
    taken: set[str] = set()
    names = []
    for number, name in enumerate(given, 1):
        plain = name if re.fullmatch(r"\w+", name) else re.sub(r"\W+", "_", name).strip("_")
        plain = plain or f"column_{number}"
        plain = f"file_{plain}" if plain.casefold() in RESERVED else plain
        unique = next(
            tried
            for tried in (plain, *(f"{plain}_{n}" for n in range(2, len(given) + 2)))
            if tried.casefold() not in taken
        )
        taken.add(unique.casefold())
        names.append(unique)
    return names


def _codec_of(path: Path, shown: str) -> tuple[str, str]:
    """Python's name of the file's encoding, and Spark's of the copy's: what Spark does not know becomes UTF-8."""
    with path.open("rb") as handle:
        head = handle.read(3)
    if head.startswith(codecs.BOM_UTF8):
        return "utf-8-sig", "UTF-8"
    if head.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return "utf-16", "UTF-8"
    decoder, is_utf8, has_controls = codecs.getincrementaldecoder("utf-8")(), True, False
    with path.open("rb") as handle:
        while chunk := handle.read(CHUNK):
            if b"\0" in chunk:
                raise BadData(f"{shown} is no text: it has bytes of value 0")
            has_controls = has_controls or re.search(rb"[\x80-\x9f]", chunk) is not None
            try:
                decoder.decode(chunk)
            except UnicodeDecodeError:
                is_utf8 = False
    if is_utf8:
        return "utf-8", "UTF-8"
    # What ISO 8859-1 has control characters for are quotes, dashes and the euro in Windows' own encoding.
    return ("cp1252", "UTF-8") if has_controls else ("iso-8859-1", "ISO-8859-1")


def _head(path: Path, codec: str, delimiter: str) -> list[list[str]]:
    with path.open(encoding=codec, newline="", errors="replace") as handle:
        return list(
            islice((row for row in csv.reader(handle, delimiter=delimiter) if row), LOOKED_AT)
        )


def _suits(rows: list[list[str]]) -> tuple[float, int]:
    """How well a delimiter fits: by the share of lines as wide as the first, then by the width."""
    width = len(rows[0]) if rows else 0
    if width < 2:
        return (0.0, width)
    return (round(Counter(len(row) for row in rows)[width] / len(rows), 1), width)


def _is_header(first: Sequence[str], label: str) -> bool:
    if label in first or label in fitting_names(first):
        return True
    if WITHOUT_HEADER.fullmatch(label):
        return False
    # The first name may be missing: some tools write the row's number without one.
    are_names = all(first[1:]) and not any(NUMBER.fullmatch(name) for name in first)
    return are_names and len(set(first)) == len(first)
