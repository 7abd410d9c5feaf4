"""Find a period's file in the landing folder, and deliver its rows."""

import datetime as dt
import math
import time
from collections.abc import Callable, Sequence
from functools import reduce

from pyspark.sql import DataFrame
from pyspark.sql.types import StructType

from batchml.clients import storage
from batchml.clients.landing import complete_files, no_complete_file
from batchml.clients.stored_files import StoredFile, fingerprint_of
from batchml.config.sources import FileSource
from batchml.errors import Unavailable
from batchml.rows.conform import conform
from batchml.sources.delivery import (
    MALFORMED,
    ROW,
    Delivery,
    Extract,
    Request,
    combine,
    form_of,
    requested_periods,
    to_extract_columns,
)
from batchml.sources.fetching import fetch
from batchml.sources.spark_errors import reading

LOOKS = 3
"""The number of times that a file is checked after a recent change, until it is unchanged."""
Load = Callable[[str, Sequence[StoredFile], dt.date], tuple[list[DataFrame], int]]
"""Takes a path, its files and the first day of the period.

Returns the rows, one frame for each schema, and their number.
"""


def read_files(request: Request, load: Load) -> Extract:
    """Return the rows of the files of the request's periods, each read by ``load``.

    Raise Missing if no file exists yet, Unavailable without a landing folder.
    """
    source = request.pipeline.source
    assert isinstance(source, FileSource), "SOURCES pairs these functions with files"
    if not storage.exists(request.spark, request.landing):
        raise Unavailable(
            f"the landing folder {request.landing} does not exist",
            remedy="create or mount it, or set BATCHML_LANDING to the folder that contains the "
            "source files",
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
            name = source.path_on(day)
            delivered[day] = Delivery(name, frame, rows, fingerprint_of(parts), differences)
    if not delivered:
        raise no_complete_file(request.pipeline, f"{request.start}..{request.end}", missing)
    return combine(request, delivered, missing)


def _parts(
    request: Request, source: FileSource, day: dt.date, path: str
) -> list[StoredFile] | None:
    """Return the files at ``path``, several for a folder; None if there is none yet.

    A delivery that changes during the checks is incomplete, too.
    """
    exists = storage.exists(request.spark, path)
    is_fetched = not exists and fetch(request, source, day, path)
    files = storage.file_system(request.spark)
    parts = complete_files(request.landing, source, day, files)
    if parts is None or is_fetched:
        return parts
    for _ in range(LOOKS):
        rest = source.settle_seconds - _age(parts, request.now())
        if rest <= 0:
            return parts
        time.sleep(min(rest, source.settle_seconds))
        again = complete_files(request.landing, source, day, files)
        if again == parts:
            return parts
        if again is None:
            return None
        parts = again
    return None


def _age(parts: Sequence[StoredFile], now: float) -> float:
    """Return the seconds since the last change of a file; infinite without files."""
    changes = [part.modified.replace(tzinfo=dt.UTC).timestamp() for part in parts]
    return now - max(changes, default=-math.inf)


def _conformed(
    request: Request, raws: Sequence[DataFrame], path: str, day: dt.date
) -> tuple[DataFrame, tuple[str, ...]]:
    """Return the files of a delivery in the declared columns, and where they depart from them."""
    source = request.pipeline.source
    assert isinstance(source, FileSource)
    name = path.rsplit("/", 1)[-1]
    delivered: list[DataFrame] = []
    differences: dict[str, None] = {}
    form = form_of(request.pipeline)
    for raw in raws:
        with reading(path):
            fields = [field for field in raw.schema if field.name not in (ROW, MALFORMED)]
            conformed = conform(StructType(fields), request.pipeline.columns, path, form)
        delivered.append(to_extract_columns(raw, conformed, source, day, name))
        for difference in conformed.differences:
            differences[f"{name}: {difference}"] = None
    frame = reduce(DataFrame.unionByName, delivered)
    return frame, tuple(differences)
