"""Read the whole of a file with DuckDB: rows, columns by type, and what the copy must change."""

from collections import Counter
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq

from batchml.config.base import ColumnType
from batchml.errors import BadData
from batchml.new.column import BOOLEAN_NOTE, Column, find_type
from batchml.new.csv_text import CsvText, fitting_names, read_fields, recognize
from batchml.new.locate import kind_of

# Widespread texts for a missing value; the second kind only among numbers or dates.
NULLS = ("?", "NA", "N/A", "n/a", "NaN", "nan", "NAN", "null", "NULL", "#N/A", "<NA>")
NULLS_AMONG_NUMBERS = ("-", "--", ".", "na", "None", "none", "unknown", "Unknown")
ALL_NULLS = NULLS + NULLS_AMONG_NUMBERS
MIN_ROWS = 20
# The type to declare for a type of DuckDB, and the SQL that converts the column ``c``.
PARQUET_TYPES: dict[str, tuple[ColumnType, str]] = {
    "BOOLEAN": ("string", "CAST(c AS VARCHAR)"),
    "VARCHAR": ("string", "c"),
    '"NULL"': ("string", "CAST(c AS VARCHAR)"),
    "TIME": ("string", "CAST(c AS VARCHAR)"),
    "DATE": ("date", "CAST(c AS TIMESTAMP)"),
    "FLOAT": ("double", "CASE WHEN NOT isnan(c) THEN CAST(c AS DOUBLE) END"),
    "DOUBLE": ("double", "CASE WHEN NOT isnan(c) THEN c END"),
    "TIMESTAMP WITH TIME ZONE": ("timestamp_ntz", "make_timestamp(epoch_us(c))"),
}
INTEGERS = ("TINYINT", "SMALLINT", "INTEGER", "BIGINT", "UTINYINT", "USMALLINT", "UINTEGER")
PARQUET_TYPES |= dict.fromkeys(INTEGERS, ("long", "CAST(c AS BIGINT)"))
TIMESTAMPS = ("TIMESTAMP", "TIMESTAMP_S", "TIMESTAMP_MS", "TIMESTAMP_NS")
PARQUET_TYPES |= dict.fromkeys(TIMESTAMPS, ("timestamp_ntz", "CAST(c AS TIMESTAMP)"))
# Types of DuckDB whose values may not fit the type to declare, which is another one of DuckDB.
CONVERTED_TYPES: dict[str, tuple[ColumnType, str]] = {
    "DECIMAL": ("double", "DOUBLE"),
    "UBIGINT": ("long", "BIGINT"),
}
PARQUET_NOTES = {"BOOLEAN": (BOOLEAN_NOTE,), "TIMESTAMP WITH TIME ZONE": ("in UTC",)}


@dataclass(frozen=True)
class Profile:
    """A file and its columns. ``text`` is None for parquet.

    ``nulls`` counts the texts that mean no value; the empty one means spaces only.
    ``malformed`` rows have another number of fields than the first. ``changes`` list how the landed
    copy differs from the file. ``undeclared`` columns have no type that a pipeline can declare.
    """

    path: Path
    columns: tuple[Column, ...]
    text: CsvText | None = None
    nulls: dict[str, int] | None = None
    malformed: int = 0
    changes: tuple[str, ...] = ()
    undeclared: tuple[str, ...] = ()

    @property
    def rows(self) -> int:
        """Number of well-formed rows."""
        return self.columns[0].rows

    @property
    def kind(self) -> str:
        """Kind of the source."""
        if self.text is None:
            return "parquet"
        return "csv"


def profile(path: Path, label: str, folder: Path, shown: str) -> Profile:
    """Return what the file contains. Temporary files are put into ``folder``.

    Raise BadData for a file that cannot be read, or has too few rows to learn from.
    """
    if kind_of(path, shown) == "parquet":
        result = _profile_parquet(path, shown)
    else:
        result = _profile_csv(path, label, folder, shown)
    if result.rows < MIN_ROWS:
        raise BadData(
            f"{shown} has {result.rows} rows: too few to learn from and to evaluate on "
            f"(at least {MIN_ROWS})"
        )
    return result


def _profile_csv(path: Path, label: str, folder: Path, shown: str) -> Profile:
    text = recognize(path, label, folder, shown)
    text, fields, malformed = read_fields(text, shown)
    names = fitting_names(text.given)
    with duckdb.connect() as connection:
        connection.register("fields", fields)
        nulls = _find_nulls(connection, names)
        columns = _text_columns(connection, names, text.given, nulls)

    changes = _renamed(names, text.given)
    if text.codec in ("cp1252", "utf-16"):
        changes.append(f"it is UTF-8; the file is {text.codec}")
    return Profile(path, columns, text, nulls, malformed, tuple(changes))


def _find_nulls(connection: duckdb.DuckDBPyConnection, names: list[str]) -> dict[str, int]:
    """Return the texts that mean no value, with the number of their fields."""
    total: Counter[str] = Counter()
    for number, name in enumerate(names):
        place = f"c{number}"
        counts = _count_nulls(connection, place)
        if not counts.keys().isdisjoint(NULLS_AMONG_NUMBERS):
            others = find_type(connection, name, place, ALL_NULLS)
            if others.type == "string":
                counts = {text: n for text, n in counts.items() if text not in NULLS_AMONG_NUMBERS}
        total.update(counts)
    return {text: total[text] for text in (*ALL_NULLS, "") if total[text]}


def _count_nulls(connection: duckdb.DuckDBPyConnection, place: str) -> dict[str, int]:
    """Return how many fields of a column are one of the texts, or consist of spaces only."""
    rows = connection.sql(
        f"SELECT trim({place}), count(*) FROM fields "
        f"WHERE list_contains(?, trim({place})) GROUP BY ALL",
        params=[["", *ALL_NULLS]],
    )
    return dict(rows.fetchall())


def _text_columns(
    connection: duckdb.DuckDBPyConnection,
    names: list[str],
    given: tuple[str, ...],
    nulls: Collection[str],
) -> tuple[Column, ...]:
    columns = []
    for number, (name, original) in enumerate(zip(names, given, strict=True)):
        place = f"c{number}"
        form = find_type(connection, name, place, nulls)
        text = f"trim({place})"
        if form.type == "string":
            text = place
        values = _fetch(
            connection,
            f"SELECT CASE WHEN v IS NOT NULL THEN {form.sql} END FROM (SELECT CASE WHEN "
            f"trim({place}) <> '' AND NOT list_contains(?, trim({place})) THEN {text} END AS v "
            "FROM fields)",
            [list(nulls)],
        )
        columns.append(Column(name, original, form.type, values, form.pattern, form.notes))
    return tuple(columns)


def _fetch(connection: duckdb.DuckDBPyConnection, query: str, values: list[Any]) -> Any:
    """Return the only column of a query as an Arrow array, in the order of the file."""
    return connection.sql(query, params=values).to_arrow_table()[0].combine_chunks()


def _renamed(names: list[str], given: Collection[str]) -> list[str]:
    pairs = zip(names, given, strict=True)
    renamed = [f"{old!r} is {new}" for new, old in pairs if new != old]
    if not renamed:
        return []
    return [f"columns have names that Spark and Delta accept: {', '.join(renamed)}"]


def _profile_parquet(path: Path, shown: str) -> Profile:
    try:
        schema = pq.read_schema(path)
        names = fitting_names(schema.names)
        columns = _parquet_columns(path, names, schema.names)
    except (pa.ArrowInvalid, OSError, duckdb.Error) as error:
        raise BadData(f"{shown} is not a readable parquet file", str(error)) from error
    if not columns:
        raise BadData(f"{shown} has no columns that a pipeline can declare")

    declared = {column.name for column in columns}
    undeclared = [name for name in names if name not in declared]
    changes = _renamed(names, schema.names) + _converted(schema)
    return Profile(path, columns, changes=tuple(changes), undeclared=tuple(undeclared))


def _converted(schema: pa.Schema) -> list[str]:
    """Return how the copy changes columns whose type Spark or Delta does not read."""
    moments = [field for field in schema if pa.types.is_timestamp(field.type)]
    precise = [field.name for field in moments if field.type.unit == "ns"]
    times = [field.name for field in schema if pa.types.is_time(field.type)]
    changes = []
    if precise:
        names = ", ".join(precise)
        changes.append(f"{names}: microseconds, as Spark does not read nanoseconds")
    if times:
        changes.append(f"{', '.join(times)}: text, as Delta has no times of day")
    return changes


def _parquet_columns(path: Path, names: list[str], given: list[str]) -> tuple[Column, ...]:
    places = [f"c{number}" for number in range(len(names))]
    columns = []
    with duckdb.connect() as connection:
        connection.execute(
            f"CREATE TABLE rows AS SELECT * FROM read_parquet(?) AS t({', '.join(places)})",
            [str(path)],
        )
        described = connection.sql("DESCRIBE rows").fetchall()
        for name, original, (place, kind, *_) in zip(names, given, described, strict=True):
            declared = _declared(connection, place, kind)
            if declared is None:
                continue
            type_, sql = declared
            values = _fetch(connection, f"SELECT {sql} FROM (SELECT {place} AS c FROM rows)", [])
            notes = PARQUET_NOTES.get(kind, ())
            columns.append(Column(name, original, type_, values, notes=notes))
    return tuple(columns)


def _declared(
    connection: duckdb.DuckDBPyConnection, place: str, kind: str
) -> tuple[ColumnType, str] | None:
    """Return the type to declare and its SQL: text if a value would change."""
    converted = CONVERTED_TYPES.get(kind.partition("(")[0])
    if converted is None:
        return PARQUET_TYPES.get(kind)
    type_, target = converted
    there = f"TRY_CAST({place} AS {target})"
    lost = connection.sql(
        f"SELECT count(*) FROM rows WHERE {place} IS DISTINCT FROM TRY_CAST({there} AS {kind})"
    ).fetchall()
    if lost == [(0,)]:
        return type_, f"CAST(c AS {target})"
    return "string", "CAST(c AS VARCHAR)"
