"""Read Delta tables without Spark, and without importing pandas, which takes half a second.

PyArrow imports pandas to make a table of any object, to read a dataset, and for a time with a zone.
So rows are read by the query engine of delta-rs, and times are converted without their zone.
"""

import datetime as dt
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa
from deltalake import DeltaTable, QueryBuilder
from deltalake.exceptions import DeltaError, DeltaProtocolError

from batchml.errors import first_line

Row = dict[str, Any]
READ_ERRORS = (DeltaError, OSError, pa.ArrowException)
"""The errors of a table that cannot be read without Spark."""
READABLE_FEATURES = {"timestampNtz"}


@dataclass(frozen=True)
class DateRange:
    """Dates from ``start`` to ``end``, both inclusive."""

    start: dt.date
    end: dt.date


def unreadable_message(what: str, error: Exception) -> str:
    """Return the message about a table, or its dates, that cannot be read."""
    return f"{what} cannot be read: {first_line(error)}"


@dataclass(frozen=True)
class DeltaTables:
    """The tables in ``folder``. Each is opened once, so all of its reads are of one version."""

    folder: str
    _opened: dict[str, DeltaTable | None] = field(default_factory=dict, repr=False, compare=False)

    def get(self, name: str) -> DeltaTable | None:
        """Return the table, or None if it does not exist."""
        if name not in self._opened:
            self._opened[name] = open_table(f"{self.folder}/{name}")
        return self._opened[name]

    def rows(
        self, name: str, dates: DateRange | None = None, columns: Sequence[str] = ()
    ) -> list[Row]:
        """Return the rows of ``dates`` or of all, none without a table."""
        table = self.get(name)
        if table is None:
            return []
        return read_rows(table, dates, columns)

    def files(self, name: str, columns: Collection[str]) -> list[Row]:
        """Return the table's files by its log, none without a table.

        Each has those of ``columns`` that the log has. An unpartitioned table has no dates.
        """
        table = self.get(name)
        if table is None:
            return []
        log = read_log(table)
        known = [column for column in log.column_names if column in columns]
        files: list[Row] = log.select(known).to_pylist()
        return files


def open_table(path: str) -> DeltaTable | None:
    """Return the table at ``path``, or None if there is none."""
    if not DeltaTable.is_deltatable(path):
        return None
    return DeltaTable(path)


def read_log(table: DeltaTable) -> pa.Table:
    """Return a row for each file of the table: its partition, number of rows and statistics."""
    actions = table.get_add_actions(flatten=True)
    return pa.RecordBatchReader.from_stream(actions).read_all()


def read_rows(
    table: DeltaTable, dates: DateRange | None = None, columns: Sequence[str] = ()
) -> list[Row]:
    """Return the rows of ``dates`` or of all, with ``columns`` or all of them.

    Raise DeltaProtocolError if the table has a feature that is not read here, such as deletions
    that are stored apart from the rows.
    """
    features = set(table.protocol().reader_features or ())
    unknown = features - READABLE_FEATURES
    if unknown:
        raise DeltaProtocolError(f"the table has the features {', '.join(sorted(unknown))}")

    query = QueryBuilder().register("rows", table).execute(_query(dates, columns))
    return _to_rows(pa.RecordBatchReader.from_stream(query).read_all())


def _query(dates: DateRange | None, columns: Sequence[str]) -> str:
    """Return the query in SQL, whose condition leaves out the files of other dates."""
    selected = "*"
    if columns:
        selected = ", ".join(f'"{column}"' for column in columns)
    text = f"SELECT {selected} FROM rows"
    if dates is not None:
        text += f" WHERE event_date BETWEEN DATE '{dates.start}' AND DATE '{dates.end}'"
    return text


def _to_rows(data: pa.Table) -> list[Row]:
    """Return the rows with values of Python. Times with a zone are in UTC."""
    with_zone = []
    for index, column in enumerate(data.schema):
        if pa.types.is_timestamp(column.type) and column.type.tz is not None:
            data = data.set_column(index, column.name, _without_zone(data.column(index)))
            with_zone.append(column.name)

    rows: list[Row] = data.to_pylist()
    for row in rows:
        for name in with_zone:
            if row[name] is not None:
                row[name] = row[name].replace(tzinfo=dt.UTC)
    return rows


def _without_zone(times: pa.ChunkedArray) -> pa.ChunkedArray:
    """Return the same instants as times in UTC that name no zone."""
    plain = pa.timestamp(times.type.unit)
    # A view, because a cast imports PyArrow's functions.
    return pa.chunked_array([chunk.view(plain) for chunk in times.chunks], plain)
