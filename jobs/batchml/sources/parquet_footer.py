"""Read the metadata at the end of a parquet file."""

import base64
import re
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import pyarrow as pa
from py4j.protocol import Py4JJavaError
from pyspark.sql import SparkSession

from batchml.errors import BadData
from batchml.sources.spark_errors import raise_for_file, reading

# A column of a file's schema, as parquet's own Java library prints it.
COLUMN = re.compile(
    r"^  (?:required|optional|repeated) (?P<type>\w+)(?:\(\d+\))? "
    r"(?P<name>.*?)(?: \((?P<annotation>[A-Z_]+\d*(?:\([^)]*\))?)\))?(?: = \d+)?(?:;| \{)$",
    re.MULTILINE,
)
UNREADABLE = re.compile(r"TIME\(|FLOAT16|UUID|DECIMAL\((39|[4-9]\d|\d{3,})")
PER_SECOND = {"s": 1, "ms": 1_000, "us": 1_000_000, "ns": 1_000_000_000}


@dataclass(frozen=True)
class _ParquetColumn:
    """A column of a file by parquet's own schema; ``annotation`` is empty if it has none."""

    name: str
    type: str
    annotation: str


@dataclass(frozen=True)
class Footer:
    """The metadata of a file: its number of rows and its schema.

    ``arrow`` is the schema by pandas or Arrow if they wrote the file.
    """

    rows: int
    schema: str
    arrow: str | None

    @property
    def has_nanoseconds(self) -> bool:
        """Return True if a column counts nanoseconds, or contains such values."""
        return "TIMESTAMP(NANOS" in self.schema

    @cached_property
    def columns(self) -> list[_ParquetColumn]:
        """Return the columns, of which the last one of a name counts."""
        by_name = {}
        for match in COLUMN.finditer(self.schema):
            stored = _ParquetColumn(match["name"], match["type"], match["annotation"] or "")
            by_name[stored.name] = stored
        return list(by_name.values())

    def nanoseconds(self) -> dict[str, bool]:
        """Return the columns that count nanoseconds, with True for those that are instants."""
        are_instants = {}
        for stored in self.columns:
            if stored.annotation.startswith("TIMESTAMP(NANOS"):
                are_instants[stored.name] = "true" in stored.annotation
        return are_instants

    def unreadable(self) -> list[str]:
        """Return one problem for each column of a type that Spark does not read."""
        return [
            f"column {stored.name!r} is {stored.annotation}"
            for stored in self.columns
            if UNREADABLE.match(stored.annotation)
        ]

    def empty(self) -> list[str]:
        """Return the columns without a type, because they have no values.

        Spark takes them for whole numbers.
        """
        return [stored.name for stored in self.columns if stored.annotation in ("NULL", "UNKNOWN")]

    @cached_property
    def arrow_types(self) -> dict[str, pa.DataType]:
        """Return Arrow's types of the columns; none if the file was not written with Arrow."""
        if self.arrow is None:
            return {}
        buffer = pa.py_buffer(base64.b64decode(self.arrow))
        schema = pa.ipc.read_schema(buffer)
        names = {stored.name for stored in self.columns}
        return {field.name: field.type for field in schema if field.name in names}

    def wall_clocks(self) -> list[str]:
        """Return the INT96 columns that are not instants, which only Arrow's schema states."""
        names = []
        for stored in self.columns:
            if stored.type != "int96":
                continue
            arrow_type = self.arrow_types.get(stored.name)
            has_no_zone = getattr(arrow_type, "tz", "") is None
            if has_no_zone:
                names.append(stored.name)
        return names

    def durations(self) -> dict[str, int]:
        """Return the columns that are durations, with the number of their units in a second.

        pandas writes a Timedelta like this.
        """
        return {
            name: PER_SECOND[type_.unit]
            for name, type_ in self.arrow_types.items()
            if pa.types.is_duration(type_)
        }


def read_footer(spark: SparkSession, address: str) -> Footer:
    """Return the metadata of a file. Raise BadData if it is not a whole parquet file."""
    jvm: Any = spark.sparkContext._jvm
    java_context: Any = spark.sparkContext._jsc
    # A class by its whole name: Py4J would search all jars for each part of it otherwise.
    path_class = getattr(jvm, "org.apache.hadoop.fs.Path")
    input_class = getattr(jvm, "org.apache.parquet.hadoop.util.HadoopInputFile")
    reader_class = getattr(jvm, "org.apache.parquet.hadoop.ParquetFileReader")
    path = path_class(getattr(jvm, "java.net.URI")(address))
    try:
        file = input_class.fromPath(path, java_context.hadoopConfiguration())
        reader = reader_class.open(file)
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
            spark.read.parquet(address)  # Spark's own error is more precise
        lines = str(error).splitlines()
        lines.append("is not a Parquet file")
        raise_for_file(name, lines, error)
        raise BadData(
            f"{name} cannot be read", remedy="the file is damaged: deliver it again"
        ) from error
    return footer
