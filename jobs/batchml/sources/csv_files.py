"""Read CSV files: the driver parses them as a stream, then Spark reads their columns of text.

Only a reader that sees a file from its beginning knows which line breaks are inside quotes, and the
number of a record.
"""

import datetime as dt
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql.types import LongType, StringType, StructField, StructType

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
            target = storage.join(request.scratch, f"{day}-{number}.parquet")
            frame, count = _as_columns(request, part, form, _Target(target, first_number=rows))
            frames.append(frame)
            rows += count
        if not frames:
            frames = [_empty_frame(request)]
        return frames, rows

    return read_files(request, load)


@dataclass(frozen=True)
class _Target:
    """A file in the scratch folder, for records that are numbered from ``first_number`` on."""

    address: str
    first_number: int


def _as_columns(
    request: Request, part: StoredFile, form: CsvForm, target: _Target
) -> tuple[DataFrame, int]:
    """Return the records of a file as columns of text, and their number."""
    name = part.address.rsplit("/", 1)[-1]
    with (
        storage.local_copy(request.spark, part.address) as path,
        open_unpacked(path, name) as stream,
    ):
        records = CsvRecords(stream, form, name)
        if records.names is None:
            return _empty_frame(request), 0
        schema = text_schema(len(records.names))
        rows = _write(request.spark, records.tables(), schema, target)
        return _read_frame(request.spark, target.address, records.names), rows


def _write(
    spark: SparkSession, tables: Iterator[pa.Table], schema: pa.Schema, target: _Target
) -> int:
    """Write tables to a file, one at a time, and return the number of their rows."""
    with TemporaryDirectory() as folder:
        local = storage.local_path(target.address)
        path = local or Path(folder) / "columns.parquet"
        path.parent.mkdir(parents=True, exist_ok=True)
        rows = 0
        with pq.ParquetWriter(
            path,
            schema,
            use_dictionary=False,
            write_statistics=False,
        ) as writer:
            for group in _groups(tables):
                writer.write_table(_numbered_from(target.first_number, group))
                rows += group.num_rows
        if local is None:
            storage.put(spark, path, target.address)
    return rows


def _numbered_from(first: int, table: pa.Table) -> pa.Table:
    """Return ``table`` with ``first`` added to the number of each record."""
    place = table.schema.get_field_index(NUMBER)
    numbers = pc.add(table.column(place), first)
    return table.set_column(place, NUMBER, numbers)


def _groups(tables: Iterator[pa.Table]) -> Iterator[pa.Table]:
    """Yield tables joined to groups that are worth a Spark task, and fit in memory."""
    group: list[pa.Table] = []
    for table in tables:
        group.append(table)
        size = sum(part.nbytes for part in group)
        if size > GROUP_BYTES:
            yield pa.concat_tables(group)
            group = []
    if group:
        yield pa.concat_tables(group)


def _empty_frame(request: Request) -> DataFrame:
    """Return a frame without rows, with the columns of the configuration."""
    names = request.pipeline.source_names
    frame = request.spark.createDataFrame([], _spark_schema(len(names)))
    return _named(frame, names)


def _read_frame(spark: SparkSession, path: str, names: Sequence[str]) -> DataFrame:
    """Return the columns of text at ``path`` under the names of the header."""
    frame = spark.read.schema(_spark_schema(len(names))).parquet(path)
    return _named(frame, names)


def _spark_schema(width: int) -> StructType:
    """Return ``text_schema`` as Spark's."""
    fields = []
    for place in range(width):
        fields.append(StructField(f"c{place}", StringType()))
    fields.append(StructField(NUMBER, LongType()))
    fields.append(StructField(MALFORMED_TEXT, StringType()))
    return StructType(fields)


def _named(frame: DataFrame, names: Sequence[str]) -> DataFrame:
    return frame.toDF(*names, ROW, MALFORMED)
