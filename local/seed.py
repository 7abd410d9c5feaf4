"""`make seed`: insert a CSV file into the table of a database source, as the rows of one date."""

import argparse
import csv
import datetime as dt
import io
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from pathlib import Path

import psycopg2
from psycopg2.extensions import connection as Connection
from psycopg2.extensions import cursor as Cursor
from psycopg2.sql import SQL, Composable, Identifier, Literal
from rich.console import Console

from batchml.config import JdbcSource, Pipeline, conf_folder, expand, load_pipeline, parse_date
from batchml.errors import BadConfig, BadData, Unavailable

SQL_TYPES = {
    "string": "text",
    "int": "integer",
    "long": "bigint",
    "double": "double precision",
    "boolean": "boolean",
    "date": "date",
    "timestamp_ntz": "timestamp",
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command."""
    parser.add_argument(
        "--pipeline", required=True, help="a pipeline whose source is a table (kind: jdbc)"
    )
    parser.add_argument("--date", help="the date of the rows. Other dates of the table stay")
    parser.add_argument(
        "--header", action="store_true", help="the file's first line names its columns"
    )
    parser.add_argument("file", type=Path)


def main(arguments: argparse.Namespace, console: Console) -> int:
    """Insert the rows of the file and return 0."""
    pipeline = load_pipeline(arguments.pipeline, conf_folder())
    date = None
    if arguments.date:
        date = parse_date(arguments.date, "--date")
    file: Path = arguments.file
    try:
        with file.open(encoding="utf-8", newline="") as lines:
            rows = read(lines, skip_first=arguments.header)
            size = seed(pipeline, date, rows)
    except OSError as error:
        raise BadData(str(error)) from error
    console.print(f"{pipeline.name}: {size:,} rows of {file.name} are now in the table")
    return 0


def read(lines: Iterable[str], *, skip_first: bool = False) -> Iterator[list[str]]:
    """Yield the fields of every line that is not empty, without the spaces around them."""
    rows = csv.reader(lines, skipinitialspace=True)
    if skip_first:
        next(rows, None)
    for row in rows:
        if row:
            yield [field.strip() for field in row]


def seed(
    pipeline: Pipeline,
    date: dt.date | None,
    rows: Iterable[Sequence[str]],
    environ: Mapping[str, str] = os.environ,
) -> int:
    """Replace the rows of ``date`` in the source's table in one transaction; return their number.

    Without a date, replace all rows. Database and table are created if missing. ``rows`` contain
    the declared columns in their order, except those that the table fills itself: the date, and the
    partition column, which becomes a running number.
    """
    source, table = _table(pipeline)
    if (source.event_time is None) != (date is None):
        problem = "its rows need a date"
        if date is not None:
            problem = "its rows have no date"
        raise BadConfig(f"{pipeline.name}: {problem}")

    filled_by_table = (source.event_time, source.partition_column)
    names = [name for name in pipeline.columns if name not in filled_by_table]
    definitions = SQL(", ").join(_columns(pipeline))
    with _transaction(source, environ) as cursor:
        cursor.execute(SQL("CREATE TABLE IF NOT EXISTS {} ({})").format(table, definitions))
        if date is None:
            cursor.execute(SQL("DELETE FROM {}").format(table))
        else:
            day = Identifier(str(source.event_time))
            value = Literal(date)
            delete = SQL("DELETE FROM {} WHERE {} = {}")
            set_default = SQL("ALTER TABLE {} ALTER {} SET DEFAULT {}")
            cursor.execute(delete.format(table, day, value))
            cursor.execute(set_default.format(table, day, value))
        try:
            return _copy(cursor, table, names, rows)
        except psycopg2.DataError as error:
            lines = str(error).strip().splitlines()
            raise BadData(f"{source.table}: a row does not fit the table", *lines) from error


def _copy(
    cursor: Cursor, table: Composable, names: Sequence[str], rows: Iterable[Sequence[str]]
) -> int:
    """Append ``rows`` to the columns ``names`` of ``table`` and return their number."""
    text = io.StringIO()
    csv.writer(text).writerows(_checked(rows, names))
    text.seek(0)
    columns = SQL(", ").join([Identifier(name) for name in names])
    copy = SQL("COPY {} ({}) FROM STDIN WITH CSV")
    cursor.copy_expert(copy.format(table, columns), text)
    return int(cursor.rowcount)


def is_empty(pipeline: Pipeline, environ: Mapping[str, str] = os.environ) -> bool:
    """Return True if the source's table has no row or does not exist."""
    source, table = _table(pipeline)
    with _transaction(source, environ) as cursor:
        cursor.execute("SELECT to_regclass(%s)", [source.table])
        if cursor.fetchone() == (None,):
            return True
        cursor.execute(SQL("SELECT NOT EXISTS (SELECT FROM {})").format(table))
        return cursor.fetchone() == (True,)


def _table(pipeline: Pipeline) -> tuple[JdbcSource, Composable]:
    """Return the pipeline's source, and its table as SQL."""
    source = pipeline.source
    if not isinstance(source, JdbcSource) or source.table is None:
        raise BadConfig(f"conf/pipelines/{pipeline.name}.yaml: source is not a database table")
    parts = [Identifier(part) for part in source.table.split(".")]
    return source, SQL(".").join(parts)


@contextmanager
def _transaction(source: JdbcSource, environ: Mapping[str, str]) -> Iterator[Cursor]:
    """Yield a cursor of one transaction in the source's database."""
    with closing(connect(source, environ)) as connection, connection, connection.cursor() as cursor:
        yield cursor


def connect(source: JdbcSource, environ: Mapping[str, str]) -> Connection:
    """Connect to the source's database, which is created if missing."""
    address = expand(source.url, environ, "source")
    server, _, database = address.removeprefix("jdbc:postgresql://").partition("/")
    host, _, port = server.partition(":")
    account = {
        "host": host,
        "port": port or "5432",
        "user": expand(source.user, environ, "source"),
        "password": expand(source.password, environ, "source"),
    }
    try:
        try:
            return psycopg2.connect(dbname=database, **account)
        except psycopg2.OperationalError as error:
            if "does not exist" not in str(error):
                raise
        connection = psycopg2.connect(dbname="postgres", **account)
        connection.autocommit = True  # CREATE DATABASE cannot run in a transaction
        with connection.cursor() as cursor:
            cursor.execute(SQL("CREATE DATABASE {}").format(Identifier(database)))
        connection.close()
        return psycopg2.connect(dbname=database, **account)
    except psycopg2.OperationalError as error:
        lines = str(error).strip().splitlines()
        raise Unavailable(f"the database at {server} cannot be reached", *lines) from error


def _columns(pipeline: Pipeline) -> list[Composable]:
    """Return the columns of CREATE TABLE."""
    running_number = None
    if isinstance(pipeline.source, JdbcSource):
        running_number = pipeline.source.partition_column
    columns: list[Composable] = []
    for name, column in pipeline.columns.items():
        sql_type = SQL_TYPES[column.type]
        if name == running_number:
            sql_type = "bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY"
        definition = SQL("{} {}").format(Identifier(name), SQL(sql_type))
        columns.append(definition)
    return columns


def _checked(rows: Iterable[Sequence[str]], names: Sequence[str]) -> Iterator[Sequence[str]]:
    """Yield ``rows``. Raise BadData for a row with another number of fields than ``names``."""
    for number, row in enumerate(rows, 1):
        if len(row) != len(names):
            raise BadData(
                f"row {number} has {len(row)} fields, the table {len(names)}: {', '.join(row)}",
                remedy=f"the file's columns must be: {', '.join(names)}",
            )
        yield row
