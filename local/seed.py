"""`make seed`: insert a CSV file into the table of a database source, as the rows of one date."""

import argparse
import csv
import datetime as dt
import io
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from pathlib import Path

import psycopg2
from psycopg2.extensions import connection as Connection
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
    parser.add_argument("--date", help="the date the rows belong to; the table's other dates stay")
    parser.add_argument(
        "--header", action="store_true", help="the file's first line names its columns"
    )
    parser.add_argument("file", type=Path)


def main(arguments: argparse.Namespace, console: Console) -> int:
    """Insert the rows of the file and return 0."""
    pipeline = load_pipeline(arguments.pipeline, conf_folder())
    date = parse_date(arguments.date, "--date") if arguments.date else None
    file: Path = arguments.file
    try:
        with file.open(encoding="utf-8", newline="") as lines:
            size = seed(pipeline, date, read(lines, skip_first=arguments.header))
    except OSError as error:
        raise BadData(str(error)) from error
    console.print(f"{pipeline.name}: {size:,} rows of {file.name} are in the table")
    return 0


def read(lines: Iterable[str], *, skip_first: bool = False) -> Iterator[list[str]]:
    """Yield the fields of every line that is not empty, without the spaces around them."""
    rows = csv.reader(lines, skipinitialspace=True)
    if skip_first:
        next(rows, None)
    yield from ([field.strip() for field in row] for row in rows if row)


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
        fault = "have no date" if date else "need a date"
        raise BadConfig(f"{pipeline.name}: its rows {fault}")
    given = [
        name
        for name in pipeline.columns
        if name not in (source.event_time, source.partition_column)
    ]
    with closing(connect(source, environ)) as connection, connection, connection.cursor() as cursor:
        cursor.execute(
            SQL("CREATE TABLE IF NOT EXISTS {} ({})").format(
                table, SQL(", ").join(_columns(pipeline))
            )
        )
        if date is None:
            cursor.execute(SQL("DELETE FROM {}").format(table))
        else:
            day = Identifier(str(source.event_time))
            cursor.execute(SQL("DELETE FROM {} WHERE {} = {}").format(table, day, Literal(date)))
            cursor.execute(
                SQL("ALTER TABLE {} ALTER {} SET DEFAULT {}").format(table, day, Literal(date))
            )
        copied = io.StringIO()
        csv.writer(copied).writerows(_whole(rows, given))
        copied.seek(0)
        try:
            names = SQL(", ").join(map(Identifier, given))
            cursor.copy_expert(SQL("COPY {} ({}) FROM STDIN WITH CSV").format(table, names), copied)
        except psycopg2.DataError as error:
            raise BadData(
                f"{source.table}: a row does not fit the table", *str(error).strip().splitlines()
            ) from error
        return int(cursor.rowcount)


def is_empty(pipeline: Pipeline, environ: Mapping[str, str] = os.environ) -> bool:
    """Return True if the source's table has no row or does not exist."""
    source, table = _table(pipeline)
    with closing(connect(source, environ)) as connection, connection, connection.cursor() as cursor:
        cursor.execute("SELECT to_regclass(%s)", [source.table])
        if cursor.fetchone() == (None,):
            return True
        cursor.execute(SQL("SELECT NOT EXISTS (SELECT FROM {})").format(table))
        return cursor.fetchone() == (True,)


def _table(pipeline: Pipeline) -> tuple[JdbcSource, Composable]:
    """Return the pipeline's source, and its table as SQL."""
    source = pipeline.source
    if not isinstance(source, JdbcSource) or source.table is None:
        raise BadConfig(f"conf/pipelines/{pipeline.name}.yaml: source is no table of a database")
    return source, SQL(".").join(map(Identifier, source.table.split(".")))


def connect(source: JdbcSource, environ: Mapping[str, str]) -> Connection:
    """Connect to the source's database, which is created if missing."""
    given = (source.url, source.user, source.password)
    address, user, password = (expand(text, environ, "source") for text in given)
    place, _, database = address.removeprefix("jdbc:postgresql://").partition("/")
    host, _, port = place.partition(":")
    account = {"host": host, "port": port or "5432", "user": user, "password": password}
    try:
        try:
            return psycopg2.connect(dbname=database, **account)
        except psycopg2.OperationalError as error:
            if "does not exist" not in str(error):
                raise
        maker = psycopg2.connect(dbname="postgres", **account)
        maker.autocommit = True  # CREATE DATABASE allows no transaction
        with maker.cursor() as cursor:
            cursor.execute(SQL("CREATE DATABASE {}").format(Identifier(database)))
        maker.close()
        return psycopg2.connect(dbname=database, **account)
    except psycopg2.OperationalError as error:
        raise Unavailable(
            f"the database at {place} cannot be reached", *str(error).strip().splitlines()
        ) from error


def _columns(pipeline: Pipeline) -> list[Composable]:
    """Return the columns of CREATE TABLE."""
    own = pipeline.source.partition_column if isinstance(pipeline.source, JdbcSource) else None
    columns: list[Composable] = []
    for name, column in pipeline.columns.items():
        sql_type = SQL_TYPES[column.type]
        if name == own:
            sql_type = "bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY"
        columns.append(SQL("{} {}").format(Identifier(name), SQL(sql_type)))
    return columns


def _whole(rows: Iterable[Sequence[str]], names: Sequence[str]) -> Iterator[Sequence[str]]:
    """Yield ``rows``. Raise BadData for a row with another number of fields than ``names``."""
    for number, row in enumerate(rows, 1):
        if len(row) != len(names):
            raise BadData(
                f"row {number} has {len(row)} fields, the table {len(names)}: {', '.join(row)}",
                remedy=f"the file's columns must be: {', '.join(names)}",
            )
        yield row
