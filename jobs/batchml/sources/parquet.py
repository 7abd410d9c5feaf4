"""Read parquet files, each with its own schema."""

import datetime as dt
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from urllib.parse import unquote, urlsplit

from pyspark.sql import Column, DataFrame, SparkSession
from pyspark.sql import functions as F
from pyspark.sql.types import LongType, StringType, StructField, StructType

from batchml.clients.stored_files import StoredFile
from batchml.config.columns import Column as Declared
from batchml.errors import BadData
from batchml.rows.cells import SPARK_TYPES
from batchml.rows.columns import column, quoted
from batchml.sources.delivery import MALFORMED, ROW, Extract, Request
from batchml.sources.files import read_files
from batchml.sources.parquet_footer import Footer, read_footer
from batchml.sources.spark_errors import OTHER_TYPE, reading

WILDCARD = re.compile(r"[\\{}\[\]*?]")
SCHEME = re.compile(r"^[A-Za-z][\w+.-]*:(//[^/]*)?")


def read_parquet(request: Request) -> Extract:
    """Return the rows of parquet files.

    A row's number is its index in the file, or among the rows of all files of a folder.
    """

    def load(path: str, parts: Sequence[StoredFile], _: dt.date) -> tuple[list[DataFrame], int]:
        footers = [read_footer(request.spark, part.address) for part in parts]
        rows = sum(footer.rows for footer in footers)
        if parts:
            frames = _frames(request.spark, path, parts, footers)
        else:
            frames = [_empty(request.spark, request.pipeline.columns)]
        return frames, rows

    return read_files(request, load)


@dataclass(frozen=True)
class _Group:
    """The files at ``path`` that have one schema.

    ``first_rows`` has the number of the first row of every file at ``path``, by address.
    """

    path: str
    parts: Sequence[StoredFile]
    footer: Footer
    first_rows: Mapping[str, int]

    @property
    def depth(self) -> int:
        """Return the number of folders, and the file itself, that a file is below ``path``."""
        return max(_depth(self.path, part) for part in self.parts)


def _frames(
    spark: SparkSession, path: str, parts: Sequence[StoredFile], footers: Sequence[Footer]
) -> list[DataFrame]:
    """Return the rows of the files, one frame for each schema among them."""
    return [_frame(spark, group) for group in _groups(path, parts, footers)]


def _groups(path: str, parts: Sequence[StoredFile], footers: Sequence[Footer]) -> list[_Group]:
    first_rows: dict[str, int] = {}
    by_schema: dict[Footer, list[StoredFile]] = {}
    number = 0
    for part, footer in zip(parts, footers, strict=True):
        first_rows[part.address] = number
        number += footer.rows
        schema = replace(footer, rows=0)
        by_schema.setdefault(schema, []).append(part)
    return [_Group(path, group, schema, first_rows) for schema, group in by_schema.items()]


def _frame(spark: SparkSession, group: _Group) -> DataFrame:
    """Return the rows of files with one schema. Raise BadData if Spark cannot read it."""
    footer = group.footer
    problems = footer.unreadable()
    if problems:
        raise BadData(
            f"{group.path}: a column has a type that cannot be read", *problems, remedy=OTHER_TYPE
        )
    if footer.has_nanoseconds:
        # Spark refuses nanoseconds otherwise.
        spark.conf.set("spark.sql.legacy.parquet.nanosAsLong", "true")
    # The names of folders such as code=007 are texts. Spark would guess a type.
    spark.conf.set("spark.sql.sources.partitionColumnTypeInference.enabled", "false")
    with reading(group.path):
        reader = spark.read
        if group.depth > 1:
            # Folders such as month=5 are columns.
            reader = reader.option("basePath", group.path)
        patterns = [_pattern(part.address) for part in group.parts]
        frame = reader.parquet(*patterns)

    file = frame.metadataColumn("_metadata")
    number = file["row_index"] + _first_row(file["file_path"], group)
    well_formed = F.lit(None).cast("string")
    numbered = frame.select("*", number.alias(ROW), well_formed.alias(MALFORMED))
    return _readable(numbered, footer)


def _pattern(address: str) -> str:
    """Return the path of the file at an address, in which wildcards are escaped for Spark."""
    return WILDCARD.sub(r"\\\g<0>", unquote(address))


def _depth(path: str, part: StoredFile) -> int:
    """Return the number of folders, and the file itself, that a file is below ``path``.

    It is 0 if ``path`` is the file.
    """
    below = urlsplit(part.address).path
    above = SCHEME.sub("", path.rstrip("/"))
    return below.count("/") - above.count("/")


def _first_row(file: Column, group: _Group) -> Column:
    """Return the number of the first row of the file a row is in, by the address ``file``."""
    if len(group.first_rows) == 1:
        return F.lit(0)
    pairs: list[Column] = []
    for part in group.parts:
        names = part.address.split("/")
        below = "/".join(names[-group.depth :])
        pairs.append(F.lit(below))
        pairs.append(F.lit(group.first_rows[part.address]))
    by_file = F.create_map(*pairs)
    below_path = F.substring_index(file, "/", -group.depth)
    return F.try_element_at(by_file, below_path)


def _readable(frame: DataFrame, footer: Footer) -> DataFrame:
    """Convert the columns that Spark reads as another type than the file means."""
    columns: dict[str, Column] = {name: F.lit(None) for name in footer.empty()}
    for name, is_instant in footer.nanoseconds().items():
        instant = F.timestamp_micros(_microseconds(name))
        columns[name] = instant
        if not is_instant:
            columns[name] = instant.cast("timestamp_ntz")
    for name in footer.wall_clocks():
        columns[name] = column(name).cast("timestamp_ntz")
    for name, per_second in footer.durations().items():
        # A number would not show its unit. An interval does not fit any declared type, so that it
        # is reported.
        seconds = (column(name) / per_second).cast("decimal(18, 6)")
        columns[name] = F.make_dt_interval(secs=seconds)
    return frame.withColumns(columns)


def _microseconds(name: str) -> Column:
    """Return a column of nanoseconds in microseconds, rounded down, also before 1970."""
    cell = quoted(name)
    before_1970 = f"({cell} + 1) div 1000 - 1"
    return F.expr(f"CASE WHEN {cell} >= 0 THEN {cell} div 1000 ELSE {before_1970} END")


def _empty(spark: SparkSession, declared: dict[str, Declared]) -> DataFrame:
    types = {}
    for name, declaration in declared.items():
        types[declaration.name_in_source(name)] = SPARK_TYPES[declaration.type]
    types[ROW] = LongType()
    types[MALFORMED] = StringType()
    fields = [StructField(name, type_) for name, type_ in types.items()]
    return spark.createDataFrame([], StructType(fields))
