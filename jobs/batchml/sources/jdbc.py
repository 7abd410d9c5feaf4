"""Read tables and queries of a database in parallel. The database selects the dates."""

import datetime as dt
import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from py4j.java_gateway import is_instance_of
from py4j.protocol import Py4JJavaError
from pyspark.errors.exceptions.captured import CapturedException
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from batchml.config import expand
from batchml.config.pipeline import Column as Declared
from batchml.config.sources import JdbcSource
from batchml.errors import BadConfig, Unavailable
from batchml.rows.conform import conform, match, other_columns
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

PLACE = "place of the row"  # a name that no column of a source has
SQL_FAULT = "java.sql.SQLException"
# The first two digits of an SQLSTATE, which every database gives (ISO 9075): wrong password, wrong name or grammar.
WRONG = {
    "0A": "the query of the source does what its database cannot",
    "22": "the query of the source has no answer for some row",
    "28": "the user or the password of the source is wrong",
    "3D": "the database in the url of the source does not exist",
    "3F": "the schema of the source does not exist",
    "42": "the table or the query of the source is wrong",
}
INTEGERS = ("int2", "int4", "int8", "serial", "bigserial", "smallserial")


def read_jdbc(request: Request) -> Extract:
    """Return the rows of a table or a query, and the rows without a date.

    A row's number is its ``partition_column``, or its index in the database's answer. PostgreSQL writes each value as
    text: exact, without the zone of a Java machine, and with what Java has no value for (NaN, infinity).
    """
    source = request.pipeline.source
    assert isinstance(source, JdbcSource), "SOURCES pairs this function with JdbcSource"
    name = source.table or "query"
    with _asking(request, name):
        raw, differences = _load(request, source, name)
        texts = raw.drop(ROW, MALFORMED, OTHERS).schema
        declared = request.pipeline.columns
        conformed = conform(texts, declared, name, form_of(request.pipeline), is_text=True)
        # A snapshot is the same for every date it is stored for.
        delivered = {
            day: Delivery(
                name,
                to_extract_columns(raw, conformed, source, day, name),
                differences=differences,
            )
            for day in requested_periods(request)
        }
    return combine(request, delivered, missing=())


def _load(request: Request, source: JdbcSource, name: str) -> tuple[DataFrame, tuple[str, ...]]:
    reader = request.spark.read.format("jdbc").options(**_connection(source))
    declared = request.pipeline.columns
    types = _types(request, source, name)
    matched = match(types, declared, name)
    if matched.problems:
        raise other_columns(name, matched.problems)
    rows = _sliced(source, matched.columns.get(source.event_time or ""), request.start, request.end)
    differences = tuple(f"{name}: {difference}" for difference in matched.differences)

    partition_column = _partition_column(source, declared, types)
    received = [found for found in matched.columns.values() if found is not None]
    query = _as_texts(rows, received, matched.undeclared, partition_column)
    frame = reader.option("dbtable", f"({query}) AS texts").load()
    place = F.monotonically_increasing_id()
    if partition_column is not None:
        bounds = f"(SELECT min({partition_column}) AS low, max({partition_column}) AS high FROM ({rows}) AS rows) AS b"
        low, high = reader.option("dbtable", bounds).load().collect()[0]
        if low is not None:
            parts = {"partitionColumn": _quoted(PLACE), "lowerBound": low, "upperBound": high}
            frame = reader.options(
                **parts, numPartitions=source.partitions, dbtable=f"({query}) AS texts"
            ).load()
        place = F.col(f"`{PLACE}`").cast("long")
    raw = frame.withColumns({ROW: place, MALFORMED: F.lit(None).cast("string")}).drop(PLACE)
    return raw, differences


def _types(request: Request, source: JdbcSource, name: str) -> dict[str, str]:
    """Return the names of a query's columns and the database's names of their types.

    The database plans the query, but does not run it. Raise BadData for a name that is there twice.
    """
    jvm: Any = request.spark.sparkContext._jvm
    given = _connection(source)
    rows = _sliced(source, None, request.start, request.end)
    getattr(jvm, "java.lang.Class").forName("org.postgresql.Driver")
    connection = getattr(jvm, "java.sql.DriverManager").getConnection(
        given["url"], given["user"], given["password"]
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
    if source.partition_column is None:
        return None
    wanted = {source.partition_column: declared[source.partition_column]}
    name = match(types, wanted, "").columns[source.partition_column]
    if name is None:
        return None  # it is optional
    return _quoted(name) if types[name] in INTEGERS else f"({_quoted(name)})::bigint"


def _as_texts(
    rows: str, received: list[str], undeclared: tuple[str, ...], partition_column: str | None
) -> str:
    """Return the query of the same rows with each declared column as text, and the others as one JSON object."""
    texts = [f"{_quoted(name)}::text AS {_quoted(name)}" for name in received]
    declared = ", ".join("'" + name.replace("'", "''") + "'" for name in received)
    others = f"(to_jsonb(rows) - ARRAY[{declared}])::text" if undeclared else "NULL::text"
    place = [f"{partition_column} AS {_quoted(PLACE)}"] if partition_column is not None else []
    return f"SELECT {', '.join([*texts, *place, f'{others} AS {_quoted(OTHERS)}'])} FROM ({rows}) AS rows"


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
    time, after = _quoted(event_time), end + dt.timedelta(days=1)
    return f"{rows} WHERE {time} >= DATE '{start}' AND {time} < DATE '{after}' OR {time} IS NULL"


def _quoted(name: str) -> str:
    """Return a name quoted for SQL (ISO 9075)."""
    doubled = name.replace('"', '""')
    return f'"{doubled}"'


def _connection(source: JdbcSource) -> dict[str, str]:
    given = {name: getattr(source, name) for name in ("url", "user", "password")}
    return {
        **{name: expand(text, os.environ, f"source.{name}") for name, text in given.items()},
        "fetchsize": str(source.fetch_size),
        "queryTimeout": str(source.seconds),
        # PostgreSQL's driver sets the session to the machine's zone, whose midnight would cut a time with zone.
        "sessionInitStatement": f"SET TIME ZONE '{source.time_zone}'",
    }


@contextmanager
def _asking(request: Request, name: str) -> Iterator[None]:
    """Translate the database's errors: BadConfig if a retry cannot help, else Unavailable."""
    try:
        yield
    except (Py4JJavaError, CapturedException) as error:
        fault: Any = error.java_exception if isinstance(error, Py4JJavaError) else error._origin
        gateway = request.spark.sparkContext._gateway
        while fault is not None and not is_instance_of(gateway, fault, SQL_FAULT):  # type: ignore[no-untyped-call]
            fault = fault.getCause()
        if fault is None:
            raise
        said = [line.strip() for line in str(fault.getMessage()).splitlines() if line.strip()]
        if problem := WRONG.get(str(fault.getSQLState())[:2]):
            raise BadConfig(f"{name}: {problem}", *said) from error
        remedy = "check that the database is up and that this machine can reach it"
        raise Unavailable(
            f"{name} could not be read from its database", *said, remedy=remedy
        ) from error
