"""Describe how a CSV file is written."""

from collections.abc import Sequence
from dataclasses import dataclass

from batchml.config.sources import CsvSource


@dataclass(frozen=True)
class CsvForm:
    """How a file is written. ``names`` are those of its columns if it has no header."""

    delimiter: str = ","
    encoding: str = "utf-8"
    names: tuple[str, ...] | None = None
    skip_rows: int = 0
    comment: tuple[str, ...] = ()
    max_characters: int = 1_000_000

    @property
    def has_short_delimiter(self) -> bool:
        """Return True if the delimiter is a single byte, which every parser can use."""
        return len(self.delimiter.encode()) == 1


def form_of_file(source: CsvSource, names: Sequence[str]) -> CsvForm:
    """Return how the files of ``source`` are written.

    ``names`` are those of its columns, used if the files have no header.
    """
    return CsvForm(
        delimiter=source.delimiter,
        encoding=source.encoding,
        names=None if source.header else tuple(names),
        skip_rows=source.skip_rows,
        comment=source.comment,
        max_characters=int(source.max_record_megabytes * 1e6),
    )
