"""The lake: one Delta table per pipeline and name, each replaced by date."""

import datetime as dt
import json
import re
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, replace
from typing import Any

import pyarrow as pa
from pyspark.errors import AnalysisException
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F
from pyspark.sql.types import StructType

from batchml.clients import storage
from batchml.errors import BadConfig, BadData, NothingToDo
from batchml.lake import row_counts
from batchml.lake.session_settings import session_settings
from batchml.lake.staging import Staged, stage

COMMIT = re.compile(r"(\d{20})\.json")
# Delta counts every file's rows; of columns it keeps the least and greatest value only here. Tables are read by their
# date, which the partition tells, and the overview asks who scored a date.
WITH_STATISTICS = ("model_version",)
# A task may write to so many files at a time, enough for the dates of a month. With more dates it
# sorts its rows by date first, as it always does by default. Parquet divides its memory among them.
OPEN_FILES = {"spark.sql.maxConcurrentOutputFileWriters": "40"}


@dataclass(frozen=True)
class Lake:
    """The Delta tables of one pipeline under ``root``; ``commit`` names job, run and code version in every commit."""

    spark: SparkSession
    root: str
    pipeline: str
    commit: Mapping[str, str]
    before_commit: Callable[[], None] = lambda: None
    """Raises an error if this process must not write any more."""

    def path(self, table: str) -> str:
        """Return the table's path."""
        return storage.join(self.root, self.pipeline, table)

    def require_writable(self) -> None:
        """Raise Unavailable, before any work is done, if the lake cannot be written."""
        storage.require_writable(self.spark, storage.join(self.root, self.pipeline))

    def exists(self, table: str) -> bool:
        """Return True if the table has a commit.

        A job that is killed in a table's first write leaves a log without one.
        """
        return bool(self._versions(table))

    def version(self, table: str) -> int:
        """Return the table's newest version. Raise NothingToDo if there is no such table yet.

        Read it from the names of the commits, as Delta's protocol defines them: the table's history
        would be a Spark job.
        """
        versions = self._versions(table)
        if not versions:
            raise NothingToDo(
                f"there is no table {self.path(table)} yet",
                remedy=f"run the job that writes {table!r} first",
            )
        return max(versions)

    def _versions(self, table: str) -> list[int]:
        names = storage.names(self.spark, storage.join(self.path(table), "_delta_log"))
        return [int(found[1]) for name in names if (found := COMMIT.fullmatch(name))]

    def frame(self, rows: Sequence[Sequence[object]], schema: StructType) -> DataFrame:
        """Return a frame of a few rows, each with its values in the order of ``schema``.

        Build it with Arrow: for plain rows Spark starts Python on an executor, only to read them.
        """
        if not rows:  # Arrow would make columns without a type
            return self.spark.createDataFrame([], schema)
        columns = {
            name: [row[place] for row in rows] for place, name in enumerate(schema.fieldNames())
        }
        # One partition, which is one file for each date.
        return self.spark.createDataFrame(pa.table(columns), schema).coalesce(1)

    def read(
        self, table: str, start: dt.date, end: dt.date, version: int | None = None
    ) -> DataFrame:
        """Return the rows from ``start`` to ``end``, both inclusive (default: newest version)."""
        return self.read_all(table, version).where(
            F.col("event_date").between(F.lit(start), F.lit(end))
        )

    def read_all(self, table: str, version: int | None = None) -> DataFrame:
        """Return the rows of every date of one version (default: the newest).

        Raise NothingToDo if there is no such table yet, BadData if that version can no longer be
        read.
        """
        pinned = self.version(table) if version is None else version
        try:
            return (
                self.spark.read.format("delta").option("versionAsOf", pinned).load(self.path(table))
            )
        except AnalysisException as error:
            raise BadData(
                f"version {pinned} of {self.path(table)} cannot be read any more",
                str(error).splitlines()[0],
                remedy="its files or its log have been cleaned up; restore them from a backup",
            ) from error

    def replace(
        self,
        table: str,
        frame: DataFrame,
        schema: StructType,
        dates: Collection[dt.date],
        part: str = "",
    ) -> int:
        """Replace the rows of ``dates`` by ``frame`` in one commit, and return the new version.

        ``part`` is a condition in SQL for rows of other dates that are replaced too. All other rows
        stay unchanged; a second call with the same rows leaves the same rows. A column that is new
        to the table is added to it. Raise BadConfig if a column's type has changed.
        """
        condition = f"{dates_condition(dates)} OR {part}" if part else dates_condition(dates)
        with self._stage(table, frame, schema, condition, {}) as staged:
            return staged.commit()

    def stage(
        self,
        table: str,
        frame: DataFrame,
        schema: StructType,
        dates: Collection[dt.date],
        *,
        is_by_date: bool = False,
    ) -> AbstractContextManager[Staged]:
        """Write what ``replace`` would, and leave it to the caller to commit it.

        ``is_by_date`` states that each file the rows are read from has one date, like a table's
        files. Then they need not be sorted. Files that are not committed at the end are deleted.
        """
        settings = OPEN_FILES if is_by_date else {}
        return self._stage(table, frame, schema, dates_condition(dates), settings)

    @contextmanager
    def _stage(
        self,
        table: str,
        frame: DataFrame,
        schema: StructType,
        condition: str,
        settings: Mapping[str, str],
    ) -> Iterator[Staged]:
        try:
            with session_settings(self.spark, settings):
                staged = stage(
                    frame.select(*schema.fieldNames()),
                    self.path(table),
                    condition,
                    json.dumps(dict(self.commit)),
                    _properties(schema),
                )
        except AnalysisException as error:
            raise BadConfig(
                f"{self.path(table)} has columns of other types than this configuration gives them",
                str(error).splitlines()[0],
                remedy="name the changed column anew, or move the old table away and build its dates again",
            ) from error
        try:
            yield replace(staged, before_commit=self.before_commit)
        finally:
            staged.discard()

    def rows_by_date(
        self, table: str, version: int, dates: Collection[dt.date]
    ) -> dict[dt.date, int]:
        """Return the rows per date of one version, counted from the table's own files.

        On a plain path use delta-rs, which needs none of the three queries of a count by Spark. It
        may not know another file system, or not have Spark's credentials for it.
        """
        if (
            "://" not in self.root
            and (found := row_counts.rows_by_date(self.path(table), version, dates)) is not None
        ):
            return found
        frame = self.read(table, min(dates), max(dates), version)
        counted = frame.where(F.col("event_date").isin(*dates)).groupBy("event_date").count()
        return {row["event_date"]: row["count"] for row in counted.collect()}

    def greatest_by_date(
        self, table: str, column: str, dates: Collection[dt.date]
    ) -> dict[dt.date, Any]:
        """Return the greatest value of ``column`` per date; no entry for a date without rows."""
        if not self.exists(table):
            return {}
        if (
            "://" not in self.root
            and (found := row_counts.greatest_by_date(self.path(table), column, dates)) is not None
        ):
            return found
        frame = self.read(table, min(dates), max(dates)).where(F.col("event_date").isin(*dates))
        rows = frame.groupBy("event_date").agg(F.max(column)).collect()
        return {row[0]: row[1] for row in rows}

    def holds(self, table: str, start: dt.date, end: dt.date) -> bool:
        """Return True if the table exists and has rows of these dates."""
        try:
            return not self.read(table, start, end).isEmpty()
        except NothingToDo:
            return False

    @contextmanager
    def scratch(self, name: str) -> Iterator[str]:
        """Create a temporary folder in the lake, which driver and executors share.

        Remove it afterwards.
        """
        folder = storage.join(self.root, self.pipeline, "_scratch", name)
        try:
            yield folder
        finally:
            storage.delete(self.spark, folder)


def dates_condition(dates: Collection[dt.date]) -> str:
    """Return the condition for rows of ``dates``, in SQL."""
    days = ", ".join(f"DATE'{date}'" for date in sorted(dates))
    return f"event_date IN ({days})" if days else "false"


def _properties(schema: StructType) -> dict[str, str]:
    """Return the properties a table gets from the first write."""
    known = [name for name in schema.fieldNames() if name in WITH_STATISTICS]
    return (
        {"delta.dataSkippingStatsColumns": ",".join(known)}
        if known
        else {"delta.dataSkippingNumIndexedCols": "0"}
    )
