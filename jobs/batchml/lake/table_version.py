"""Read one version of a table without Spark: its rows by date, and a summary of each column."""

import datetime as dt
import tempfile
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Self

import duckdb
from deltalake import DeltaTable

from batchml.clients.delta_tables import READ_ERRORS, open_table
from batchml.errors import Unavailable, first_line

FAULTS = (*READ_ERRORS, duckdb.Error)
NUMBERS = ("byte", "short", "integer", "long", "float", "double", "decimal")
PARTITION = "event_date"
MEMORY = "1GB"
"""DuckDB's limit. Beyond it, distinct values are counted with files on disk."""


@dataclass(frozen=True)
class ColumnSummary:
    """The values of a column on some dates.

    ``mean`` is of a number, ``distinct`` counts the values of any other type. ``content`` is the
    same for the same values, in any order.
    """

    type: str
    rows: int
    nulls: int
    mean: float | None
    distinct: int | None
    content: str | None

    @property
    def null_share(self) -> float:
        """Return the share of the rows that are null; 0 without rows."""
        if not self.rows:
            return 0.0
        return self.nulls / self.rows


@dataclass(frozen=True)
class PredictionsDifference:
    """The predictions of one model version in two tables, on the dates that both have.

    ``matched`` rows are in both by their key, and ``changed`` ones among them have another
    prediction. The means are None for a class.
    """

    dates: int
    rows_before: int
    rows_after: int
    matched: int
    changed: int
    mean_before: float | None
    mean_after: float | None
    mean_absolute_difference: float | None


@dataclass(frozen=True)
class TableVersion:
    """One version of the table at ``path``. Later commits do not change what is read from it."""

    path: str
    version: int

    @classmethod
    def latest(cls, path: str) -> Self | None:
        """Return the newest version of the table at ``path``; None without a table."""
        with _reading(path):
            table = open_table(path)
            if table is None:
                return None
            return cls(path, table.version())

    def column_types(self) -> dict[str, str]:
        """Return the types of the columns, as Delta names them."""
        types = {}
        with _reading(self.path):
            for column in self._open().schema().fields:
                types[column.name] = str(getattr(column.type, "type", column.type))
        return types

    def rows_by_date(self, dates: Collection[dt.date]) -> dict[dt.date, int]:
        """Return the rows of each of ``dates``; no entry without rows."""
        return dict(self._query(dates, f"SELECT {PARTITION}, count(*) FROM chosen GROUP BY ALL"))

    def summaries(self, dates: Collection[dt.date]) -> dict[str, ColumnSummary]:
        """Return a summary of each column but the date, on ``dates``; none without dates."""
        types = self.column_types()
        types.pop(PARTITION, None)
        expressions = ["count(*)"]
        for name, type_ in types.items():
            expressions += _summary_expressions(name, type_)
        rows = self._query(dates, f"SELECT {', '.join(expressions)} FROM chosen")
        if not rows:
            return {}

        total, *values = rows[0]
        summaries = {}
        for place, (name, type_) in enumerate(types.items()):
            present, mean, distinct, content = values[4 * place : 4 * place + 4]
            nulls = total - present
            summaries[name] = ColumnSummary(type_, total, nulls, mean, distinct, content)
        return summaries

    def count_names(self, column: str, dates: Collection[dt.date]) -> dict[str, int]:
        """Return the rows by each name in ``column``, a list of names, on ``dates``."""
        if column not in self.column_types():
            return {}
        names = f"SELECT unnest({_quoted(column)}) AS name FROM chosen"
        query = f"SELECT name, count(*) FROM ({names}) GROUP BY name ORDER BY name"
        return dict(self._query(dates, query))

    def create_empty_copy(self, path: str) -> None:
        """Create a table at ``path`` with the same columns and without rows."""
        with _reading(self.path):
            DeltaTable.create(path, schema=self._open().schema(), partition_by=[PARTITION])

    def dataset(self, dates: Collection[dt.date]) -> Any:
        """Return the rows of ``dates`` as a dataset of Arrow, which is read in batches."""
        # Each file has one date. Unlike a filter of rows, this prepares only the chosen files.
        chosen = [(PARTITION, "in", [str(date) for date in dates])]
        return self._open().to_pyarrow_dataset(file_pruning_predicate=chosen)

    def _open(self) -> DeltaTable:
        return DeltaTable(self.path, version=self.version)

    def _query(self, dates: Collection[dt.date], query: str) -> list[tuple[Any, ...]]:
        """Return the result of ``query`` on the rows of ``dates``, its table ``chosen``."""
        if not dates:
            return []
        with _reading(self.path):
            return _execute(query, {"chosen": self.dataset(dates)})


def compare_predictions(
    tables: tuple[TableVersion, TableVersion],
    dates: Collection[dt.date],
    key: Sequence[str],
    model_version: int,
) -> PredictionsDifference | None:
    """Return how the predictions of ``model_version`` differ in the two tables.

    Return None if they have none on the same date.
    """
    if not dates:
        return None
    before, after = tables
    is_number = after.column_types().get("prediction") in NUMBERS
    query = _predictions_query(key, model_version, is_number=is_number)
    with _reading(before.path):
        datasets = {"before": before.dataset(dates), "after": after.dataset(dates)}
        (row,) = _execute(query, datasets)
    difference = PredictionsDifference(*row)
    if not difference.dates:
        return None
    return difference


def _predictions_query(key: Sequence[str], model_version: int, *, is_number: bool) -> str:
    """Return the SQL of the values of PredictionsDifference, in their order."""
    names = dict.fromkeys((PARTITION, *key))
    columns = ", ".join(map(_quoted, names))
    condition = f"model_version = {model_version}"
    mean = difference = "avg(CAST(NULL AS DOUBLE))"
    if is_number:
        mean = "avg(prediction)"
        difference = "avg(abs(tried.prediction - present.prediction))"
    return f"""
        WITH dates AS (
            SELECT {PARTITION} FROM before WHERE {condition}
            INTERSECT SELECT {PARTITION} FROM after WHERE {condition}),
        present AS (FROM before WHERE {condition} AND {PARTITION} IN (FROM dates)),
        tried AS (FROM after WHERE {condition} AND {PARTITION} IN (FROM dates)),
        matched AS (
            SELECT count(*) AS matching, {difference} AS difference,
            count(*) FILTER (tried.prediction IS DISTINCT FROM present.prediction) AS changed
            FROM tried JOIN present USING ({columns}))
        SELECT (SELECT count(*) FROM dates),
        (SELECT count(*) FROM present), (SELECT count(*) FROM tried), matching, changed,
        (SELECT {mean} FROM present), (SELECT {mean} FROM tried), difference
        FROM matched"""


def _summary_expressions(name: str, type_: str) -> list[str]:
    """Return the SQL of rows that are not null, mean, distinct values, and content."""
    column = _quoted(name)
    mean, distinct = "NULL", f"count(DISTINCT {column})"
    if type_.startswith(NUMBERS):
        mean, distinct = f"avg({column})", "NULL"
    # A sum of hashes does not depend on the order of the rows. It also changes with the nulls.
    content = f"CAST(sum(CAST(hash({column}) AS HUGEINT)) AS VARCHAR)"
    return [f"count({column})", mean, distinct, content]


def _quoted(name: str) -> str:
    escaped = name.replace('"', '""')
    return f'"{escaped}"'


def _execute(query: str, datasets: Mapping[str, Any]) -> list[tuple[Any, ...]]:
    """Return the result of ``query`` on ``datasets``, by the names that it has for them."""
    with (
        tempfile.TemporaryDirectory() as folder,
        duckdb.connect(config={"memory_limit": MEMORY, "temp_directory": folder}) as connection,
    ):
        for name, dataset in datasets.items():
            connection.register(name, dataset)
        return connection.execute(query).fetchall()


@contextmanager
def _reading(path: str) -> Iterator[None]:
    """Turn a failure to read the table at ``path`` into Unavailable."""
    try:
        yield
    except FAULTS as error:
        raise Unavailable(
            f"{path} cannot be read without Spark",
            first_line(error),
            remedy="check that the lake can be reached; if files of the table were removed "
            "meanwhile, rerun the command",
        ) from error
