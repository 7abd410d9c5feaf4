"""Read tables and queries of a database in parallel. The database selects the dates."""

import datetime as dt
import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from py4j.java_gateway import is_instance_of
from py4j.protocol import Py4JJavaError
from pyspark.errors.exceptions.captured import CapturedException
from pyspark.sql import DataFrame, DataFrameReader
from pyspark.sql import functions as F

from batchml.config import expand
from batchml.config.columns import Column as Declared
from batchml.config.sources import JdbcSource
from batchml.errors import BadConfig, Unavailable
from batchml.rows.conform import conform
from batchml.rows.matching import match, other_columns
from batchml.sources.delivery import (
    MALFORMED,
    OTHERS,
    ROW,
    Delivery,
    Extract,
    Request,
    combine,
    form_of,
    requested_periods,
    to_extract_columns,
)

PLACE = "place of the row"  # not the name of any column of a source
SQL_FAULT = "java.sql.SQLException"
# The first two digits of an SQLSTATE, which every database reports (ISO 9075).
WRONG = {
    "0A": ("the database does not support a part of the query", "correct source.query"),
    "22": ("the query cannot be computed for some row", "correct source.query, e.g. with NULLIF"),
    "28": ("the user or the password is wrong", "correct source.user or source.password"),
    "3D": ("the database does not exist", "correct source.url, or create the database"),
    "3F": ("the schema does not exist", "correct source.table or source.query"),
    "42": (
        "the table or the query is wrong, or the user may not read it",
        "correct source.table or source.query, or grant the user SELECT",
    ),
}
"""Problem and remedy by class of PostgreSQL's SQLSTATE."""
INTEGERS = ("int2", "int4", "int8", "serial", "bigserial", "smallserial")


def read_jdbc(request: Request) -> Extract:
    """Return the rows of a table or a query, and the rows without a date.

    A row's number is its ``partition_column``, or its index in the database's result. PostgreSQL
    writes each value as text, which is exact, independent of Java's time zone, and also works for
    values that Java does not have (NaN, infinity).
    """
    source = request.pipeline.source
    assert isinstance(source, JdbcSource), "SOURCES pairs this function with JdbcSource"
    name = source.table or "query"
    delivered = {}
    with _translated_errors(request, name):
        raw, differences = _load(request, source, name)
        texts = raw.drop(ROW, MALFORMED, OTHERS).schema
        declared = request.pipeline.columns
        conformed = conform(texts, declared, name, form_of(request.pipeline))
        # A snapshot is the same for every date it is stored for.
        for day in requested_periods(request):
            frame = to_extract_columns(raw, conformed, source, day, name)
            delivered[day] = Delivery(name, frame, differences=differences)
    return combine(request, delivered, missing=())


def _load(request: Request, source: JdbcSource, name: str) -> tuple[DataFrame, tuple[str, ...]]:
    """Return the rows, and where their columns depart from the declared ones."""
    declared = request.pipeline.columns
    types = _types(request, source, name)
    matched = match(types, declared, name)
    if matched.problems:
        raise other_columns(name, matched.problems)

    event_time = matched.columns.get(source.event_time or "")
    rows = _sliced(source, event_time, request.start, request.end)
    received = [column for column in matched.columns.values() if column is not None]
    partition_column = _partition_column(source, declared, types)
    query = _as_texts(rows, received, matched.undeclared, partition_column)

    reader = request.spark.read.format("jdbc").options(**_connection(source))
    frame = reader.option("dbtable", f"({query}) AS texts").load()
    number = F.monotonically_increasing_id()
    if partition_column is not None:
        parts = _parts(reader, source, rows, partition_column)
        if parts:
            frame = reader.options(**parts, dbtable=f"({query}) AS texts").load()
        number = F.col(f"`{PLACE}`").cast("long")

    well_formed = F.lit(None).cast("string")
    numbered = frame.withColumns({ROW: number, MALFORMED: well_formed})
    differences = tuple(f"{name}: {difference}" for difference in matched.differences)
    return numbered.drop(PLACE), differences


def _parts(
    reader: DataFrameReader, source: JdbcSource, rows: str, partition_column: str
) -> dict[str, Any]:
    """Return the options that divide the rows among tasks; none without rows."""
    bounds = (
        f"(SELECT min({partition_column}) AS low, max({partition_column}) AS high "
        f"FROM ({rows}) AS rows) AS b"
    )
    low, high = reader.option("dbtable", bounds).load().collect()[0]
    if low is None:
        return {}
    return {
        "partitionColumn": _quoted(PLACE),
        "lowerBound": low,
        "upperBound": high,
        "numPartitions": source.partitions,
    }


def _types(request: Request, source: JdbcSource, name: str) -> dict[str, str]:
    """Return the names of a query's columns and the database's names of their types.

    The database plans the query, but does not run it. Raise BadData for a name that occurs twice.
    """
    jvm: Any = request.spark.sparkContext._jvm
    options = _connection(source)
    rows = _sliced(source, None, request.start, request.end)
    getattr(jvm, "java.lang.Class").forName("org.postgresql.Driver")
    connection = getattr(jvm, "java.sql.DriverManager").getConnection(
        options["url"], options["user"], options["password"]
    )
    try:
        statement = connection.prepareStatement(f"SELECT * FROM ({rows}) AS rows WHERE false")
        columns = statement.executeQuery().getMetaData()
        places = range(1, columns.getColumnCount() + 1)
        names = [str(columns.getColumnLabel(place)) for place in places]
        types = [str(columns.getColumnTypeName(place)) for place in places]
    finally:
        connection.close()
    match(names, {}, name)
    return dict(zip(names, types, strict=True))


def _partition_column(
    source: JdbcSource, declared: dict[str, Declared], types: dict[str, str]
) -> str | None:
    """Return the SQL of the column that the rows are divided by, an integer in any type."""
    column = source.partition_column
    if column is None:
        return None
    matched = match(types, {column: declared[column]}, "")
    name = matched.columns[column]
    if name is None:
        return None  # it is optional
    quoted = _quoted(name)
    if types[name] in INTEGERS:
        return quoted
    return f"({quoted})::bigint"


def _as_texts(
    rows: str, received: list[str], undeclared: tuple[str, ...], partition_column: str | None
) -> str:
    """Return the query of the same rows with each declared column as text.

    The others are one JSON object.
    """
    columns = []
    for name in received:
        quoted = _quoted(name)
        columns.append(f"{quoted}::text AS {quoted}")
    if partition_column is not None:
        columns.append(f"{partition_column} AS {_quoted(PLACE)}")
    others = "NULL::text"
    if undeclared:
        declared = ", ".join(map(_literal, received))
        others = f"(to_jsonb(rows) - ARRAY[{declared}])::text"
    columns.append(f"{others} AS {_quoted(OTHERS)}")
    return f"SELECT {', '.join(columns)} FROM ({rows}) AS rows"


def _sliced(source: JdbcSource, event_time: str | None, start: dt.date, end: dt.date) -> str:
    """Return the query of the rows of the dates, and of those without one.

    The session's zone is the source's: a date begins at its midnight.
    """
    rows = f"SELECT * FROM {source.table}"
    if source.query is not None:
        # A query may end with a semicolon, or with a comment, which would take the bracket along.
        query = source.query.strip().removesuffix(";")
        rows = f"SELECT * FROM ({query}\n) AS query"
    if event_time is None:
        return rows
    time = _quoted(event_time)
    after = end + dt.timedelta(days=1)
    return f"{rows} WHERE {time} >= DATE '{start}' AND {time} < DATE '{after}' OR {time} IS NULL"


def _quoted(name: str) -> str:
    """Return a name quoted for SQL (ISO 9075)."""
    doubled = name.replace('"', '""')
    return f'"{doubled}"'


def _literal(text: str) -> str:
    """Return a text as a literal of SQL."""
    doubled = text.replace("'", "''")
    return f"'{doubled}'"


def _connection(source: JdbcSource) -> dict[str, str]:
    """Return the options of a connection."""
    return {
        "url": expand(source.url, os.environ, "source.url"),
        "user": expand(source.user, os.environ, "source.user"),
        "password": expand(source.password, os.environ, "source.password"),
        "fetchsize": str(source.fetch_size),
        "queryTimeout": str(source.seconds),
        # PostgreSQL's driver sets the session to the machine's zone. A time with zone would be cut
        # at that zone's midnight.
        "sessionInitStatement": f"SET TIME ZONE '{source.time_zone}'",
    }


@contextmanager
def _translated_errors(request: Request, name: str) -> Iterator[None]:
    """Translate the database's errors: BadConfig if a retry cannot help, else Unavailable."""
    try:
        yield
    except (Py4JJavaError, CapturedException) as error:
        fault = _sql_fault(request, error)
        if fault is None:
            raise
        message = str(fault.getMessage())
        details = [line.strip() for line in message.splitlines() if line.strip()]
        state = str(fault.getSQLState())
        if state[:2] in WRONG:
            problem, remedy = WRONG[state[:2]]
            raise BadConfig(f"{name}: {problem}", *details, remedy=remedy) from error
        raise Unavailable(
            f"{name} could not be read from its database",
            *details,
            remedy="check that the database is up and that this machine can reach it",
        ) from error


def _sql_fault(request: Request, error: Py4JJavaError | CapturedException) -> Any:
    """Return the exception of the database behind an error of Spark, or None."""
    gateway = request.spark.sparkContext._gateway
    fault: Any
    if isinstance(error, Py4JJavaError):
        fault = error.java_exception
    else:
        fault = error._origin
    while fault is not None and not is_instance_of(gateway, fault, SQL_FAULT):  # type: ignore[no-untyped-call]
        fault = fault.getCause()
    return fault
