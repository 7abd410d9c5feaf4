"""Files of a delivery as they are stored, and what changes when the delivery does."""

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

HIDDEN = ("_", ".")
"""How the names of files begin that are not data, for Spark as well."""


class StoredFile(NamedTuple):
    """A file: its whole address, its size, and when it was last changed (UTC)."""

    address: str
    bytes: int
    modified: dt.datetime


@dataclass(frozen=True)
class Fingerprint:
    """The size of a delivery, the time of its last change (UTC), or a tag of its content."""

    bytes: int | None = None
    modified: dt.datetime | None = None
    tag: str | None = None

    def to_text(self) -> str:
        """Return one line that differs for each delivery; empty if nothing is known of it."""
        parts = []
        if self.bytes is not None:
            parts.append(f"{self.bytes} bytes")
        if self.modified is not None:
            parts.append(f"of {self.modified.isoformat(timespec='milliseconds')}")
        if self.tag is not None:
            parts.append(self.tag)
        return " ".join(parts)


def fingerprint_of(files: Sequence[StoredFile]) -> Fingerprint:
    """Return the fingerprint of a delivery of one or several files."""
    modified = max((file.modified for file in files), default=None)
    return Fingerprint(sum(file.bytes for file in files), modified)


def utc_from_milliseconds(milliseconds: int) -> dt.datetime:
    """Return the time in UTC, without its zone. File systems of Java state no finer times."""
    return dt.datetime.fromtimestamp(milliseconds / 1000, dt.UTC).replace(tzinfo=None)


def local_data_files(path: Path) -> list[StoredFile] | None:
    """Return the file ``path``, or the files below the folder ``path`` that are not hidden.

    Return None if it does not exist. Raise OSError if it cannot be listed.
    """
    if not path.exists():
        return None
    if path.is_file():
        return [_stored(path)]
    below = (each for each in path.rglob("*") if each.is_file())
    return sorted(_stored(each) for each in below if not _is_hidden(each.relative_to(path)))


def _is_hidden(path: Path) -> bool:
    return any(part.startswith(HIDDEN) for part in path.parts)


def _stored(path: Path) -> StoredFile:
    status = path.stat()
    modified = utc_from_milliseconds(status.st_mtime_ns // 1_000_000)
    return StoredFile(str(path), status.st_size, modified)
