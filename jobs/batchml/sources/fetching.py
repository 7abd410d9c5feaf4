"""A period's file that is not in the landing folder yet, from where it is published."""

import datetime as dt
import tempfile
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
from pyspark.sql import SparkSession

from batchml.clients import http, storage
from batchml.config.sources import FileSource, ParquetSource, fill_date
from batchml.errors import BadData


def fetch(spark: SparkSession, source: FileSource, day: dt.date, path: str) -> bool:
    """Puts the file of the period that begins on ``day`` at ``path``, whole; False where it is not published yet.

    Raises Unavailable without network, and BadData for an answer that is no such file: it does not reach the folder.
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
        storage.put(spark, file, path)
    return True


def _require_parquet(file: Path, url: str) -> None:
    try:
        pq.read_metadata(file)
    except (pa.ArrowInvalid, OSError) as error:
        raise BadData(f"{url} is no readable parquet file", str(error)) from error
