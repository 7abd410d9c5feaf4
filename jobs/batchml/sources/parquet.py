"""Read parquet files, each with its own schema."""

import base64
import datetime as dt
import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any
from urllib.parse import unquote, urlsplit

import pyarrow as pa
from py4j.protocol import Py4JJavaError
from pyspark.sql import Column, DataFrame, SparkSession
from pyspark.sql import functions as F
from pyspark.sql import types as T

from batchml.clients.stored_files import StoredFile
from batchml.config.pipeline import Column as Declared
from batchml.errors import BadData
from batchml.rows.cells import SPARK_TYPES
from batchml.rows.conform import column, quoted
from batchml.sources.delivery import (
    MALFORMED,
    OTHER_TYPE,
    ROW,
    Extract,
    Request,
    raise_for_file,
    reading,
)
from batchml.sources.files import read_files

# A column of a file's schema, as parquet's own Java library prints it.
COLUMN = re.compile(
    r"^  (?:required|optional|repeated) (?P<type>\w+)(?:\(\d+\))? "
    r"(?P<name>.*?)(?: \((?P<annotation>[A-Z_]+\d*(?:\([^)]*\))?)\))?(?: = \d+)?(?:;| \{)$",
    re.MULTILINE,
)
UNREADABLE = re.compile(r"TIME\(|FLOAT16|UUID|DECIMAL\((39|[4-9]\d|\d{3,})")
WILDCARD = re.compile(r"[\\{}\[\]*?]")
PER_SECOND = {"s": 1, "ms": 1_000, "us": 1_000_000, "ns": 1_000_000_000}
SCHEME = re.compile(r"^[A-Za-z][\w+.-]*:(//[^/]*)?")


@dataclass(frozen=True)
class Footer:
    """What the end of a file says: its rows, its schema, and the schema pandas or Arrow wrote it with."""

    rows: int
    schema: str
    arrow: str | None

    @property
    def has_nanoseconds(self) -> bool:
        """Return True if a column counts nanoseconds, or has such values in it."""
        return "TIMESTAMP(NANOS" in self.schema

    @cached_property
    def columns(self) -> dict[str, tuple[str, str]]:
        """Return type and annotation of each column, as parquet has them; "" without an annotation."""
        found = COLUMN.finditer(self.schema)
        return {column["name"]: (column["type"], column["annotation"] or "") for column in found}

    def nanoseconds(self) -> dict[str, bool]:
        """Return the columns that count nanoseconds, with whether they are instants."""
        return {
            name: "true" in annotation
            for name, (_, annotation) in self.columns.items()
            if annotation.startswith("TIMESTAMP(NANOS")
        }

    def unreadable(self) -> list[str]:
        """Return the columns of a type that Spark does not read, with this type."""
        return [
            f"column {name!r} is {annotation}"
            for name, (_, annotation) in self.columns.items()
            if UNREADABLE.match(annotation)
        ]

    def empty(self) -> list[str]:
        """Return the columns that have no type, as they have no values. Spark takes them for whole numbers."""
        return [
            name
            for name, (_, annotation) in self.columns.items()
            if annotation in ("NULL", "UNKNOWN")
        ]

    @cached_property
    def arrow_types(self) -> dict[str, pa.DataType]:
        """Return Arrow's types of the columns; none if the file was not written with Arrow."""
        if self.arrow is None:
            return {}
        schema = pa.ipc.read_schema(pa.py_buffer(base64.b64decode(self.arrow)))
        return {field.name: field.type for field in schema if field.name in self.columns}

    def wall_clocks(self) -> list[str]:
        """Return the INT96 columns that are no instants: only Arrow's schema tells the two apart."""
        names = [name for name, (type_, _) in self.columns.items() if type_ == "int96"]
        return [name for name in names if getattr(self.arrow_types.get(name), "tz", "") is None]

    def durations(self) -> dict[str, int]:
        """Return the columns that are durations, as pandas writes Timedelta, with how many make a second."""
        return {
            name: PER_SECOND[type_.unit]
            for name, type_ in self.arrow_types.items()
            if pa.types.is_duration(type_)
        }


def read_parquet(request: Request) -> Extract:
    """Return the rows of parquet files. A row's number is its index in the file, in a folder over all its files."""

    def load(path: str, parts: Sequence[StoredFile], _: dt.date) -> tuple[list[DataFrame], int]:
        footers = [_footer(request.spark, part.address) for part in parts]
        rows = sum(footer.rows for footer in footers)
        if parts:
            frames = _frames(request.spark, path, parts, footers)
        else:
            frames = [_empty(request.spark, request.pipeline.columns)]
        return frames, rows

    return read_files(request, load)


def _frames(
    spark: SparkSession, path: str, parts: Sequence[StoredFile], footers: Sequence[Footer]
) -> list[DataFrame]:
    """Return the rows of the files, one frame for each schema among them."""
    first_rows: dict[str, int] = {}
    by_schema: dict[tuple[str, str | None], list[StoredFile]] = {}
    number = 0
    for part, footer in zip(parts, footers, strict=True):
        first_rows[part.address] = number
        number += footer.rows
        by_schema.setdefault((footer.schema, footer.arrow), []).append(part)
    frames = []
    for (schema, arrow), group in by_schema.items():
        footer = Footer(0, schema, arrow)
        if problems := footer.unreadable():
            raise BadData(
                f"{path}: a column has a type that cannot be read", *problems, remedy=OTHER_TYPE
            )
        if footer.has_nanoseconds:
            # Spark refuses nanoseconds otherwise.
            spark.conf.set("spark.sql.legacy.parquet.nanosAsLong", "true")
        # The names of folders such as code=007 are texts. Spark would guess a type.
        spark.conf.set("spark.sql.sources.partitionColumnTypeInference.enabled", "false")
        with reading(path):
            reader = spark.read
            if any(_depth(path, part) > 1 for part in group):
                # Folders such as month=5 are columns.
                reader = reader.option("basePath", path)
            frame = reader.parquet(*(_pattern(part.address) for part in group))
        file = frame.metadataColumn("_metadata")
        place = file["row_index"] + _first_row(file["file_path"], path, group, first_rows)
        well_formed = F.lit(None).cast("string").alias(MALFORMED)
        frames.append(_readable(frame.select("*", place.alias(ROW), well_formed), footer))
    return frames


def _pattern(address: str) -> str:
    """Return what Spark takes for the file at an address: a path as it is written, in which wildcards are escaped."""
    return WILDCARD.sub(r"\\\g<0>", unquote(address))


def _depth(path: str, part: StoredFile) -> int:
    """Return how many folders, and the file itself, a file is below ``path``; 0 for the file ``path`` itself."""
    return urlsplit(part.address).path.count("/") - SCHEME.sub("", path.rstrip("/")).count("/")


def _first_row(
    file: Column, path: str, group: Sequence[StoredFile], first_rows: dict[str, int]
) -> Column:
    """Return the number of the first row of the file a row is in, by the address ``file``."""
    if len(first_rows) == 1:
        return F.lit(0)
    depth = max(_depth(path, part) for part in group)
    pairs: list[Column] = []
    for part in group:
        below = "/".join(part.address.split("/")[-depth:])
        pairs += [F.lit(below), F.lit(first_rows[part.address])]
    return F.try_element_at(F.create_map(*pairs), F.substring_index(file, "/", -depth))


def _readable(frame: DataFrame, footer: Footer) -> DataFrame:
    """Return the frame with columns of other kinds than Spark takes them for as what they are."""
    columns: dict[str, Column] = {name: F.lit(None) for name in footer.empty()}
    for name, is_instant in footer.nanoseconds().items():
        instant = F.timestamp_micros(_microseconds(name))
        columns[name] = instant if is_instant else instant.cast("timestamp_ntz")
    for name in footer.wall_clocks():
        columns[name] = column(name).cast("timestamp_ntz")
    for name, per_second in footer.durations().items():
        # As a number it would be a count of a unit that nobody sees. No declared type takes an interval.
        seconds = (column(name) / per_second).cast("decimal(18, 6)")
        columns[name] = F.make_dt_interval(secs=seconds)
    return frame.withColumns(columns)


def _microseconds(name: str) -> Column:
    """Return a column of nanoseconds in microseconds, rounded down, also before 1970."""
    cell = quoted(name)
    return F.expr(f"CASE WHEN {cell} >= 0 THEN {cell} div 1000 ELSE ({cell} + 1) div 1000 - 1 END")


def _empty(spark: SparkSession, declared: dict[str, Declared]) -> DataFrame:
    types = {
        wanted.name_in_source(name): SPARK_TYPES[wanted.type] for name, wanted in declared.items()
    }
    fields = [T.StructField(name, type_) for name, type_ in types.items()]
    own = [T.StructField(ROW, T.LongType()), T.StructField(MALFORMED, T.StringType())]
    return spark.createDataFrame([], T.StructType([*fields, *own]))


def _footer(spark: SparkSession, address: str) -> Footer:
    """Return what the end of a file says. Raise BadData if it is not a whole parquet file."""
    jvm: Any = spark.sparkContext._jvm
    java_context: Any = spark.sparkContext._jsc
    path = getattr(jvm, "org.apache.hadoop.fs.Path")(getattr(jvm, "java.net.URI")(address))
    inputs = getattr(jvm, "org.apache.parquet.hadoop.util.HadoopInputFile")
    try:
        reader = getattr(jvm, "org.apache.parquet.hadoop.ParquetFileReader").open(
            inputs.fromPath(path, java_context.hadoopConfiguration())
        )
        metadata = reader.getFooter().getFileMetaData()
        footer = Footer(
            int(reader.getRecordCount()),
            str(metadata.getSchema().toString()),
            metadata.getKeyValueMetaData().get("ARROW:schema"),
        )
        reader.close()
    except Py4JJavaError as error:
        name = address.rsplit("/", 1)[-1]
        with reading(name):
            spark.read.parquet(address)  # Spark words what is wrong, or whose fault it is
        raise_for_file(name, [*str(error).splitlines(), "is not a Parquet file"], error)
        raise BadData(
            f"{name} cannot be read", remedy="the file is damaged: deliver it again"
        ) from error
    return footer
