"""Tables and queries of a database, read in parallel; the database does the cutting by date."""

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
from pyspark.sql import types as T

from batchml.config import expand
from batchml.config.sources import JdbcSource
from batchml.errors import BadConfig, Unavailable
from batchml.sources.declared import MALFORMED, ROW, as_declared
from batchml.sources.extract import Extract, Request
from batchml.sources.periods import asked, gather

SQL_FAULT = "java.sql.SQLException"
# The first two digits of an SQLSTATE, which every database gives (ISO 9075): wrong password, wrong name or grammar.
WRONG = {"28": "the user or the password of the source is wrong", "42": "the table or the query of the source is wrong"}


def read_jdbc(request: Request) -> Extract:
    """Rows of a table or a query. A row's place is its ``partition_column``, or its index in the database's answer.

    Rows without a date belong to no day: they are filed under the first one asked for, to be seen and kept apart.
    """
    source = request.pipeline.source
    assert isinstance(source, JdbcSource), "SOURCES pairs this function with JdbcSource"
    name = source.table or "query"
    with _asking(request, name):
        raw = _load(request, source)
        # A snapshot is the same for every date it is held for.
        delivered = {day: as_declared(raw, request, day, name) for day in asked(request)}
    return gather(request, delivered, missing=())


def _load(request: Request, source: JdbcSource) -> DataFrame:
    rows = _sliced(source, request.start, request.end)
    reader = request.spark.read.format("jdbc").options(**_connection(source))
    frame = reader.option("dbtable", f"({rows}) AS rows").load()
    place = F.monotonically_increasing_id()
    if (column := source.partition_column) is not None:
        quoted = _quoted(column)
        bounds = f"(SELECT min({quoted}) AS low, max({quoted}) AS high FROM ({rows}) AS rows) AS bounds"
        low, high = reader.option("dbtable", bounds).load().collect()[0]
        if low is not None:
            parts = {"partitionColumn": quoted, "lowerBound": low, "upperBound": high}
            frame = reader.options(**parts, numPartitions=source.partitions, dbtable=f"({rows}) AS rows").load()
        place = F.col(f"`{column}`").cast("long")
    texts = [field.name for field in frame.schema if isinstance(field.dataType, T.StringType)]
    known = {name: F.when(~F.trim(f"`{name}`").isin(*source.nulls), F.col(f"`{name}`")) for name in texts}
    return frame.withColumns({**(known if source.nulls else {}), ROW: place, MALFORMED: F.lit(None).cast("string")})


def _sliced(source: JdbcSource, start: dt.date, end: dt.date) -> str:
    """The query of the rows of the dates, and of those without one."""
    rows = f"SELECT * FROM {source.table}" if source.query is None else f"SELECT * FROM ({source.query}) AS query"
    if source.event_time is None:
        return rows
    time, after = _quoted(source.event_time), end + dt.timedelta(days=1)
    return f"{rows} WHERE {time} >= DATE '{start}' AND {time} < DATE '{after}' OR {time} IS NULL"


def _quoted(name: str) -> str:
    """A name as SQL has it (ISO 9075)."""
    doubled = name.replace('"', '""')
    return f'"{doubled}"'


def _connection(source: JdbcSource) -> dict[str, str]:
    given = {name: getattr(source, name) for name in ("url", "user", "password")}
    # PostgreSQL's driver sets the session to the machine's zone, whose midnight would cut a time with zone.
    in_utc = {"sessionInitStatement": "SET TIME ZONE 'UTC'"} if source.url.startswith("jdbc:postgresql:") else {}
    return {
        **{name: expand(text, os.environ, f"source.{name}") for name, text in given.items()},
        "fetchsize": str(source.fetch_size),
        "queryTimeout": str(source.seconds),
        **in_utc,
        "preferTimestampNTZ": "true",  # or a session's time zone could move rows to another date
    }


@contextmanager
def _asking(request: Request, name: str) -> Iterator[None]:
    """What the database says against it: BadConfig for what asking again cannot change, else Unavailable."""
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
        remedy = "is the database up, and can this machine reach it?"
        raise Unavailable(f"{name} could not be read from its database", *said, remedy=remedy) from error
