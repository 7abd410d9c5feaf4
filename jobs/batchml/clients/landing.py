"""List the deliveries in the landing folder, without reading them and without Spark."""

import datetime as dt
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from batchml.clients.stored_files import StoredFile, fingerprint_of, local_data_files
from batchml.config import Pipeline
from batchml.config.sources import FileSource
from batchml.errors import Missing

COMPLETE = "_SUCCESS"
"""The file by which Spark marks a folder as complete, even without data."""


@dataclass(frozen=True)
class FileSystem:
    """Functions that list the data files below a path, and check if a path exists.

    ``data_files`` returns None for a path that does not exist.
    """

    data_files: Callable[[str], list[StoredFile] | None]
    exists: Callable[[str], bool]


LOCAL = FileSystem(lambda path: local_data_files(Path(path)), lambda path: Path(path).exists())


def is_local(folder: str) -> bool:
    """Return True for a folder that needs no Hadoop to be read."""
    return "://" not in folder


def delivered(
    folder: str, source: FileSource, dates: Iterable[dt.date], files: FileSystem = LOCAL
) -> dict[dt.date, str]:
    """Return the fingerprint of the delivery in ``folder`` that has each date, as text.

    A delivery without its marker is incomplete, and so is a folder without files that is not marked
    as complete: both count as missing.
    """
    parts_by_path: dict[str, list[StoredFile] | None] = {}
    fingerprints = {}
    for date in dates:
        path = source.path_on(date)
        if path not in parts_by_path:
            parts_by_path[path] = complete_files(folder, source, date, files)
        parts = parts_by_path[path]
        if parts is not None:
            fingerprints[date] = fingerprint_of(parts).to_text()
    return fingerprints


def no_complete_file(pipeline: Pipeline, dates: str, paths: Iterable[str]) -> Missing:
    """Return the error of a job none of whose dates has a complete file."""
    source = pipeline.source
    assert isinstance(source, FileSource), "only files are missing in a folder"
    details = []
    if source.done_marker is not None:
        details.append(f"a file without its marker {source.done_marker} is not complete")
    remedy = "deliver it, or set BATCHML_LANDING to the folder that contains it"
    if source.url is not None and source.kind == "parquet" and source.period == "month":
        remedy += f"; `make fetch PIPELINE={pipeline.name} MONTHS=yyyy-MM` downloads a month"
    return Missing(f"no file yet for {dates}: {', '.join(paths)}", *details, remedy=remedy)


def complete_files(
    folder: str, source: FileSource, day: dt.date, files: FileSystem = LOCAL
) -> list[StoredFile] | None:
    """Return the data files of the delivery of ``day``; None if it is missing or incomplete."""
    path = f"{folder.rstrip('/')}/{source.path_on(day)}"
    marker = source.marker_on(day)
    if marker is not None and not files.exists(f"{folder.rstrip('/')}/{marker}"):
        return None
    parts = files.data_files(path)
    if not parts and not files.exists(f"{path}/{COMPLETE}"):
        return None
    return parts


def absent_lookups(folder: str, pipeline: Pipeline, files: FileSystem = LOCAL) -> list[str]:
    """Return the paths of the lookup tables that features use, and that do not exist."""
    names = dict.fromkeys(step.table for step in pipeline.features if step.kind == "lookup")
    paths = [pipeline.lookups[name].path for name in names]
    return [path for path in paths if not files.exists(f"{folder.rstrip('/')}/{path}")]


def lookup_fingerprints(folder: str, pipeline: Pipeline, files: FileSystem = LOCAL) -> list[str]:
    """Return the fingerprints of the files of the lookup tables."""
    fingerprints = []
    for table in pipeline.lookups.values():
        parts = files.data_files(f"{folder.rstrip('/')}/{table.path}") or []
        fingerprints.append(fingerprint_of(parts).to_text())
    return fingerprints
