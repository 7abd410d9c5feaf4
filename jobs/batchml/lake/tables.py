"""Read and write the lake: one Delta table per pipeline and name, each replaced by date."""

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
from batchml.errors import BadConfig, BadData, NothingToDo, first_line
from batchml.lake import row_counts
from batchml.lake.session_settings import session_settings
from batchml.lake.staging import Staged, stage

COMMIT = re.compile(r"(\d{20})\.json")
# Delta counts every file's rows. It keeps the least and greatest value only of these columns.
# Tables are read by their date, which is the partition, and the overview needs the version that
# scored a date.
WITH_STATISTICS = ("model_version",)
# A task may write to this many files at a time, enough for the dates of a month. With more dates
# it sorts its rows by date first, as it always does by default. Parquet divides its memory among
# the files.
OPEN_FILES = {"spark.sql.maxConcurrentOutputFileWriters": "40"}


@dataclass(frozen=True)
class Lake:
    """The Delta tables of one pipeline under ``root``.

    ``commit`` names job, run and code version in each commit that replaces dates.
    """

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

    def latest_version(self, table: str) -> int:
        """Return the table's newest version. Raise NothingToDo if the table does not exist yet.

        Read it from the names of the commits, as Delta's protocol defines them. Reading the table's
        history would be a Spark job.
        """
        versions = self._versions(table)
        if not versions:
            raise NothingToDo(
                f"there is no table {self.path(table)} yet",
                remedy=f"run the job that writes {table!r} first",
            )
        return max(versions)

    def _versions(self, table: str) -> list[int]:
        log = storage.join(self.path(table), "_delta_log")
        names = storage.names(self.spark, log)
        matches = map(COMMIT.fullmatch, names)
        return [int(match[1]) for match in matches if match is not None]

    def create_frame(self, rows: Sequence[Sequence[object]], schema: StructType) -> DataFrame:
        """Return a frame of a few rows, each with its values in the order of ``schema``.

        Build it with Arrow. For plain rows Spark would start Python on an executor to read them.
        """
        if not rows:  # Arrow would make columns without a type
            return self.spark.createDataFrame([], schema)
        columns = {}
        for place, name in enumerate(schema.fieldNames()):
            columns[name] = [row[place] for row in rows]
        frame = self.spark.createDataFrame(pa.table(columns), schema)
        # One partition, which is one file for each date.
        return frame.coalesce(1)

    def read(
        self, table: str, start: dt.date, end: dt.date, version: int | None = None
    ) -> DataFrame:
        """Return the rows from ``start`` to ``end``, both inclusive (default: newest version)."""
        is_between = F.col("event_date").between(F.lit(start), F.lit(end))
        return self.read_all(table, version).where(is_between)

    def read_all(self, table: str, version: int | None = None) -> DataFrame:
        """Return the rows of every date of one version (default: the newest).

        Raise NothingToDo if the table does not exist yet, BadData if that version can no longer be
        read.
        """
        if version is None:
            version = self.latest_version(table)
        reader = self.spark.read.format("delta").option("versionAsOf", version)
        try:
            return reader.load(self.path(table))
        except AnalysisException as error:
            raise BadData(
                f"version {version} of {self.path(table)} cannot be read any more: "
                "its files or its log have been removed",
                first_line(error),
                remedy="restore them from a backup",
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
        condition = dates_condition(dates)
        if part:
            condition = f"{condition} OR {part}"
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
        """Write the files that ``replace`` would, and leave it to the caller to commit them.

        ``is_by_date`` states that each file the rows are read from has one date, like a table's
        files. Then they need not be sorted. Files that are not committed at the end are deleted.
        """
        settings: Mapping[str, str] = {}
        if is_by_date:
            settings = OPEN_FILES
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
                    frame.select(schema.fieldNames()),
                    self.path(table),
                    condition,
                    json.dumps(dict(self.commit)),
                    _properties(schema),
                )
        except AnalysisException as error:
            raise BadConfig(
                f"{self.path(table)} has columns of other types than this configuration gives them",
                first_line(error),
                remedy="give the changed column another name, or move the old table away and build "
                "its dates again",
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
        if self._is_on_plain_path:
            counts = row_counts.rows_by_date(self.path(table), version, dates)
            if counts is not None:
                return counts
        rows = self._read_dates(table, dates, version)
        counted = rows.groupBy("event_date").count().collect()
        return {row["event_date"]: row["count"] for row in counted}

    def greatest_by_date(
        self, table: str, column: str, dates: Collection[dt.date]
    ) -> dict[dt.date, Any]:
        """Return the greatest value of ``column`` per date; no entry for a date without rows."""
        if not self.exists(table):
            return {}
        if self._is_on_plain_path:
            values = row_counts.greatest_by_date(self.path(table), column, dates)
            if values is not None:
                return values
        rows = self._read_dates(table, dates)
        greatest = rows.groupBy("event_date").agg(F.max(column)).collect()
        return {row[0]: row[1] for row in greatest}

    def _read_dates(
        self, table: str, dates: Collection[dt.date], version: int | None = None
    ) -> DataFrame:
        """Return the rows of ``dates``."""
        frame = self.read(table, min(dates), max(dates), version)
        is_requested = F.col("event_date").isin(list(dates))
        return frame.where(is_requested)

    @property
    def _is_on_plain_path(self) -> bool:
        return "://" not in self.root

    def has_rows(self, table: str, start: dt.date, end: dt.date) -> bool:
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
    if not dates:
        return "false"
    days = ", ".join(f"DATE'{date}'" for date in sorted(dates))
    return f"event_date IN ({days})"


def _properties(schema: StructType) -> dict[str, str]:
    """Return the properties that the first write gives to a table."""
    names = [name for name in schema.fieldNames() if name in WITH_STATISTICS]
    if names:
        return {"delta.dataSkippingStatsColumns": ",".join(names)}
    return {"delta.dataSkippingNumIndexedCols": "0"}
