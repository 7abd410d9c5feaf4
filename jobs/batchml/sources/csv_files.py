"""Read CSV files: taken apart as a stream on the driver, then read by Spark as columns of text.

Only a reader that sees a file from its beginning knows which line breaks are inside quotes, and the number of a record.
"""

import datetime as dt
from collections.abc import Iterator, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from pyspark.sql import DataFrame
from pyspark.sql import types as T

from batchml.clients import storage
from batchml.clients.stored_files import StoredFile
from batchml.config.sources import CsvSource
from batchml.sources.csv_form import CsvForm, form_of_file
from batchml.sources.csv_records import CsvRecords
from batchml.sources.csv_tables import MALFORMED as MALFORMED_TEXT
from batchml.sources.csv_tables import NUMBER, text_schema
from batchml.sources.delivery import MALFORMED, ROW, Extract, Request
from batchml.sources.files import read_files
from batchml.sources.unpacking import open_unpacked

GROUP_BYTES = 16_000_000


def read_csv(request: Request) -> Extract:
    """Return the rows of CSV files. A row's number is that of its record, without the header."""
    source = request.pipeline.source
    assert isinstance(source, CsvSource), "SOURCES pairs this function with CsvSource"
    form = form_of_file(source, request.pipeline.source_names)

    def load(_: str, parts: Sequence[StoredFile], day: dt.date) -> tuple[list[DataFrame], int]:
        frames: list[DataFrame] = []
        rows = 0
        for number, part in enumerate(parts):
            frame, count = _as_columns(request, part, form, f"{day}-{number}", rows)
            frames.append(frame)
            rows += count
        if not frames:
            frames = [_frame(request, None, request.pipeline.source_names)]
        return frames, rows

    return read_files(request, load)


def _as_columns(
    request: Request, part: StoredFile, form: CsvForm, name: str, first: int
) -> tuple[DataFrame, int]:
    """Return the records of a file as columns of text, and how many there are."""
    shown = part.address.rsplit("/", 1)[-1]
    with (
        storage.local_copy(request.spark, part.address) as path,
        open_unpacked(path, shown) as stream,
    ):
        records = CsvRecords(stream, form, shown)
        if records.names is None:
            return _frame(request, None, request.pipeline.source_names), 0
        target = storage.join(request.scratch, f"{name}.parquet")
        count = _write(request, records.tables(), len(records.names), first, target)
        return _frame(request, target, records.names), count


def _write(
    request: Request, tables: Iterator[pa.Table], width: int, first: int, target: str
) -> int:
    """Write tables to the scratch folder, one at a time, and return the number of their rows.

    ``first`` is the number of the first record.
    """
    with TemporaryDirectory() as folder:
        local = storage.local_path(target)
        path = local or Path(folder) / "columns.parquet"
        path.parent.mkdir(parents=True, exist_ok=True)
        rows = 0
        with pq.ParquetWriter(
            path, text_schema(width), use_dictionary=False, write_statistics=False
        ) as writer:
            for group in _groups(tables):
                place = group.schema.get_field_index(NUMBER)
                numbers = pc.add(group.column(place), first)
                writer.write_table(group.set_column(place, NUMBER, numbers))
                rows += group.num_rows
        if local is None:
            storage.put(request.spark, path, target)
    return rows


def _groups(tables: Iterator[pa.Table]) -> Iterator[pa.Table]:
    """Return tables joined to groups that are worth a task of Spark's, and fit in memory."""
    group: list[pa.Table] = []
    for table in tables:
        group.append(table)
        if sum(part.nbytes for part in group) > GROUP_BYTES:
            yield pa.concat_tables(group)
            group = []
    if group:
        yield pa.concat_tables(group)


def _frame(request: Request, path: str | None, names: Sequence[str]) -> DataFrame:
    """Return the columns of text at ``path`` under the names of the file's header; without a path, no rows."""
    texts = [T.StructField(f"c{place}", T.StringType()) for place in range(len(names))]
    own = [T.StructField(NUMBER, T.LongType()), T.StructField(MALFORMED_TEXT, T.StringType())]
    schema = T.StructType([*texts, *own])
    spark = request.spark
    frame = (
        spark.createDataFrame([], schema)
        if path is None
        else spark.read.schema(schema).parquet(path)
    )
    return frame.toDF(*names, ROW, MALFORMED)
