"""`make seed`: a CSV file into the database table that a pipeline's source reads, as the rows of one date."""

import argparse
import csv
import datetime as dt
import io
import os
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from pathlib import Path

import psycopg2
from psycopg2.extensions import connection as Connection
from psycopg2.sql import SQL, Composable, Identifier, Literal
from rich.console import Console

from batchml.config import JdbcSource, Pipeline, conf_folder, expand, load_pipeline, parse_date
from batchml.errors import BadConfig, BadData, PipelineError, Unavailable
from local import run_report

SQL_TYPES = {
    "string": "text",
    "int": "integer",
    "long": "bigint",
    "double": "double precision",
    "boolean": "boolean",
    "date": "date",
    "timestamp_ntz": "timestamp",
}


def main(argv: Sequence[str]) -> int:
    """0 when the rows are in place, else the exit code of what was wrong."""
    parser = argparse.ArgumentParser(prog="make seed", description=__doc__)
    parser.add_argument("--pipeline", required=True, help="a pipeline whose source is a table (kind: jdbc)")
    parser.add_argument("--date", help="the date the rows belong to; the table's other dates stay")
    parser.add_argument("--header", action="store_true", help="the file's first line names its columns")
    parser.add_argument("file", type=Path)
    given = parser.parse_args(argv)
    console: Console = run_report.console()
    try:
        pipeline = load_pipeline(given.pipeline, conf_folder())
        date = parse_date(given.date, "--date") if given.date else None
        with given.file.open(encoding="utf-8", newline="") as lines:
            size = seed(pipeline, date, read(lines, skip_first=given.header))
        console.print(f"{given.pipeline}: {size:,} rows of {given.file.name} are in the table")
    except OSError as error:
        console.print(str(error), style="red", markup=False)
        return BadData.exit_code
    except PipelineError as error:
        console.print(str(error), style="red", markup=False)
        return error.exit_code
    return 0


def read(lines: Iterable[str], *, skip_first: bool = False) -> Iterator[list[str]]:
    """The fields of every line that is not empty, without the spaces around them."""
    rows = csv.reader(lines, skipinitialspace=True)
    if skip_first:
        next(rows, None)
    yield from ([field.strip() for field in row] for row in rows if row)


def seed(
    pipeline: Pipeline, date: dt.date | None, rows: Iterable[Sequence[str]], environ: Mapping[str, str] = os.environ
) -> int:
    """Replaces the rows of ``date`` (without one, all rows) in the source's table, in one transaction; gives how many.

    Database and table are made if they are not there. ``rows`` hold the declared columns in their order, but for the
    table's own: the date, and the column that it is read in parallel by, which becomes a running number.
    """
    source, table = _table(pipeline)
    if (source.event_time is None) != (date is None):
        raise BadConfig(f"{pipeline.name}: its rows {'have no date' if date else 'need a date'}")
    given = [name for name in pipeline.columns if name not in (source.event_time, source.partition_column)]
    with closing(connect(source, environ)) as connection, connection, connection.cursor() as cursor:
        cursor.execute(SQL("CREATE TABLE IF NOT EXISTS {} ({})").format(table, SQL(", ").join(_columns(pipeline))))
        if date is None:
            cursor.execute(SQL("DELETE FROM {}").format(table))
        else:
            day = Identifier(str(source.event_time))
            cursor.execute(SQL("DELETE FROM {} WHERE {} = {}").format(table, day, Literal(date)))
            cursor.execute(SQL("ALTER TABLE {} ALTER {} SET DEFAULT {}").format(table, day, Literal(date)))
        copied = io.StringIO()
        csv.writer(copied).writerows(_whole(rows, given))
        copied.seek(0)
        try:
            names = SQL(", ").join(map(Identifier, given))
            cursor.copy_expert(SQL("COPY {} ({}) FROM STDIN WITH CSV").format(table, names), copied)
        except psycopg2.DataError as error:
            raise BadData(f"{source.table}: a row does not fit the table", *str(error).strip().splitlines()) from error
        return int(cursor.rowcount)


def is_empty(pipeline: Pipeline, environ: Mapping[str, str] = os.environ) -> bool:
    """Whether the source's table has no row, or is not there."""
    source, table = _table(pipeline)
    with closing(connect(source, environ)) as connection, connection, connection.cursor() as cursor:
        cursor.execute("SELECT to_regclass(%s)", [source.table])
        if cursor.fetchone() == (None,):
            return True
        cursor.execute(SQL("SELECT NOT EXISTS (SELECT FROM {})").format(table))
        return cursor.fetchone() == (True,)


def _table(pipeline: Pipeline) -> tuple[JdbcSource, Composable]:
    source = pipeline.source
    if not isinstance(source, JdbcSource) or source.table is None:
        raise BadConfig(f"conf/pipelines/{pipeline.name}.yaml: source is no table of a database")
    return source, SQL(".").join(map(Identifier, source.table.split(".")))


def connect(source: JdbcSource, environ: Mapping[str, str]) -> Connection:
    """To the source's database, which is made if it is not there."""
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
        raise Unavailable(f"the database at {place} cannot be reached", *str(error).strip().splitlines()) from error


def _columns(pipeline: Pipeline) -> list[Composable]:
    own = pipeline.source.partition_column if isinstance(pipeline.source, JdbcSource) else None
    return [
        SQL("{} bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY").format(Identifier(name))
        if name == own
        else SQL("{} {}").format(Identifier(name), SQL(SQL_TYPES[column.type]))
        for name, column in pipeline.columns.items()
    ]


def _whole(rows: Iterable[Sequence[str]], names: Sequence[str]) -> Iterator[Sequence[str]]:
    for number, row in enumerate(rows, 1):
        if len(row) != len(names):
            raise BadData(
                f"row {number} has {len(row)} fields, the table {len(names)}: {', '.join(row)}",
                remedy=f"the file's columns must be: {', '.join(names)}",
            )
        yield row


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
