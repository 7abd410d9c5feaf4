"""Fetch a period's file that is not in the landing folder yet from its publisher."""

import datetime as dt
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from batchml.clients import http, storage
from batchml.config.columns import Column as Declared
from batchml.config.sources import CsvSource, FileSource, ParquetSource, fill_date
from batchml.errors import BadData, Unavailable
from batchml.rows.matching import match, other_columns
from batchml.sources.csv_form import form_of_file
from batchml.sources.csv_records import CsvRecords
from batchml.sources.delivery import Request
from batchml.sources.unpacking import open_unpacked

HEAD = 4096
CHUNK = 1 << 20
MESSAGES = (b"<", b"{")  # the first byte of a web page, or of a message in JSON


def fetch(request: Request, source: FileSource, day: dt.date, path: str) -> bool:
    """Put the file of the period that begins on ``day`` at ``path``.

    Return False if it is not published yet. Raise Unavailable without network, and Unavailable or
    BadData for a response that is not such a file. Only a whole file reaches the folder, so that
    the next run fetches again.
    """
    if source.url is None or not source.fetch:
        return False
    url = fill_date(source.url, day)
    with tempfile.TemporaryDirectory() as scratch:
        file = Path(scratch) / path.rsplit("/", 1)[-1]
        if not http.download(url, file):
            return False
        if isinstance(source, ParquetSource):
            _require_parquet(file, url)
        elif isinstance(source, CsvSource):
            _require_csv(file, url, source, request.pipeline.columns)
        storage.put(request.spark, file, path)
    return True


def _require_csv(file: Path, url: str, source: CsvSource, columns: Mapping[str, Declared]) -> None:
    """Raise Unavailable for a page or message instead of a file, BadData for another file."""
    problems = _problems(file, url, source, columns)
    with open_unpacked(file, url) as stream:
        head = stream.read(HEAD)
        while stream.read(CHUNK):
            pass  # only the end of a packed file shows that it is whole
    start = head.lstrip(b"\xef\xbb\xbf \t\r\n")
    text = start.decode(source.encoding, "replace").lstrip("\ufeff \t\r\n")
    is_message = start.startswith(MESSAGES) and (problems or not source.header)
    if is_message or not text:
        first_line = text.partition("\n")[0]
        shown = first_line[:80] or "nothing"
        raise Unavailable(
            f"{url} is not a CSV file now", f"it begins with: {shown}", remedy="run it again later"
        )
    if problems:
        raise other_columns(url, problems)


def _problems(
    file: Path, url: str, source: CsvSource, columns: Mapping[str, Declared]
) -> Sequence[str]:
    """Return the problems of the header; none for a source without headers."""
    if not source.header:
        return ()
    form = form_of_file(source, names=())
    with open_unpacked(file, url) as stream:
        names = CsvRecords(stream, form, url).names or ()
        return match(names, columns, url).problems


def _require_parquet(file: Path, url: str) -> None:
    try:
        pq.read_metadata(file)
    except (pa.ArrowInvalid, OSError) as error:
        raise BadData(f"{url} is not a readable parquet file", str(error)) from error
