"""Find a period's file in the landing folder, and deliver its rows."""

import datetime as dt
from collections.abc import Callable, Sequence

from pyspark.sql import DataFrame

from batchml.clients import storage
from batchml.clients.storage import StoredFile
from batchml.config.sources import FileSource
from batchml.errors import NothingToDo, Unavailable
from batchml.rows.conform import conform
from batchml.sources.delivery import (
    MALFORMED,
    ROW,
    Delivery,
    Extract,
    Fingerprint,
    Request,
    combine,
    form_of,
    reading,
    requested_periods,
    to_extract_columns,
)
from batchml.sources.fetching import fetch

Load = Callable[[str, Sequence[StoredFile], dt.date], tuple[list[DataFrame], int]]
"""Takes a path, its files and the first day of the period, and returns the rows, one frame for each schema, and their
number."""


def read_files(request: Request, load: Load) -> Extract:
    """Return the rows of the files of the request's periods, each read by ``load``.

    Raise NothingToDo if there is none of them yet, Unavailable without a landing folder.
    """
    source = request.pipeline.source
    assert isinstance(source, FileSource), "SOURCES pairs these functions with files"
    if not storage.exists(request.spark, request.landing):
        raise Unavailable(
            f"the landing folder {request.landing} is not there",
            remedy="make or mount it, or set BATCHML_LANDING to the folder that holds the source files",
        )
    delivered: dict[dt.date, Delivery] = {}
    missing: list[str] = []
    for day in requested_periods(request):
        path = storage.join(request.landing, source.path_on(day))
        parts = _parts(request, source, day, path)
        if parts is None:
            missing.append(path)
        else:
            raws, rows = load(path, parts, day)
            frame, differences = _conformed(request, raws, path, day)
            delivered[day] = Delivery(
                source.path_on(day), frame, rows, _fingerprint(parts), differences
            )
    if not delivered:
        raise NothingToDo(
            f"no file yet for {request.start}..{request.end}: {', '.join(missing)}",
            remedy="put it there, or set BATCHML_LANDING to the folder that holds it; `make fetch` downloads months",
        )
    return combine(request, delivered, missing)


def _parts(
    request: Request, source: FileSource, day: dt.date, path: str
) -> list[StoredFile] | None:
    """Return the files at ``path``, several for a folder; None if there is none yet.

    A folder without files is complete if Spark has marked it with ``_SUCCESS``.
    """
    columns = request.pipeline.columns
    if not storage.exists(request.spark, path) and not fetch(
        request.spark, source, columns, day, path
    ):
        return None
    parts = storage.data_files(request.spark, path)
    if not parts and not storage.exists(request.spark, storage.join(path, "_SUCCESS")):
        return None
    return parts


def _conformed(
    request: Request, raws: Sequence[DataFrame], path: str, day: dt.date
) -> tuple[DataFrame, tuple[str, ...]]:
    """Return the files of a delivery in the declared columns, and where they depart from them.

    Types belong to each file as a whole.
    """
    source = request.pipeline.source
    assert isinstance(source, FileSource)
    name = path.rsplit("/", 1)[-1]
    delivered: list[DataFrame] = []
    differences: dict[str, None] = {}
    for raw in raws:
        with reading(path):
            own = [field for field in raw.schema.fields if field.name not in (ROW, MALFORMED)]
            conformed = conform(
                type(raw.schema)(own),
                request.pipeline.columns,
                path,
                form_of(request.pipeline),
                is_text=source.kind == "csv",
            )
        delivered.append(to_extract_columns(raw, conformed, source, day, name))
        differences |= dict.fromkeys(
            f"{name}: {difference}" for difference in conformed.differences
        )
    frame = delivered[0]
    for other in delivered[1:]:
        frame = frame.unionByName(other)
    return frame, tuple(differences)


def _fingerprint(parts: Sequence[StoredFile]) -> Fingerprint:
    modified = max((part.modified for part in parts), default=None)
    return Fingerprint(sum(part.bytes for part in parts), modified)
