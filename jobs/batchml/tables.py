"""The lake: one Delta table per pipeline and name, each replaced by date. The only module that knows Delta."""

import datetime as dt
import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass

from delta.tables import DeltaTable
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F
from pyspark.sql.types import StructType

from batchml import storage
from batchml.errors import NothingToDo


@dataclass(frozen=True)
class Lake:
    """The Delta tables of one pipeline under ``root``; ``commit`` names job, run and code version in every commit."""

    spark: SparkSession
    root: str
    pipeline: str
    commit: Mapping[str, str]

    def path(self, table: str) -> str:
        """Where the table lies."""
        return storage.join(self.root, self.pipeline, table)

    def require_writable(self) -> None:
        """Raises Unavailable, before any work is done, if the lake cannot be written."""
        storage.require_writable(self.spark, storage.join(self.root, self.pipeline))

    def version(self, table: str) -> int:
        """The table's newest version. Raises NothingToDo if there is no such table yet."""
        path = self.path(table)
        if not DeltaTable.isDeltaTable(self.spark, path):
            raise NothingToDo(f"there is no table {path} yet", remedy=f"run the job that writes {table!r} first")
        newest = DeltaTable.forPath(self.spark, path).history(1).head()
        assert newest is not None, "a Delta table has at least one commit"
        return int(newest["version"])

    def read(self, table: str, start: dt.date, end: dt.date, version: int | None = None) -> DataFrame:
        """The rows of the dates from ``start`` to ``end``, both inclusive, of one version (default: the newest)."""
        pinned = self.version(table) if version is None else version
        frame = self.spark.read.format("delta").option("versionAsOf", pinned).load(self.path(table))
        return frame.where(F.col("event_date").between(F.lit(start), F.lit(end)))

    def replace(self, table: str, frame: DataFrame, schema: StructType, dates: Collection[dt.date]) -> int:
        """Makes ``frame`` the whole content of ``dates`` in one commit, and gives the table's version after it.

        Other dates stay as they are; a second call with the same rows leaves the same rows.
        """
        days = ", ".join(f"DATE'{date}'" for date in sorted(dates))
        writer = frame.select(*schema.fieldNames()).write.format("delta").mode("overwrite").partitionBy("event_date")
        writer = writer.option("userMetadata", json.dumps(dict(self.commit)))
        writer.option("replaceWhere", f"event_date IN ({days})").save(self.path(table))
        # Not the session's last commit: Delta makes none where nothing changes, as for a day with an empty quarantine.
        return self.version(table)

    def rows_by_date(self, table: str, version: int, dates: Collection[dt.date]) -> dict[dt.date, int]:
        """Rows per date of one version, read back from the table itself."""
        frame = self.read(table, min(dates), max(dates), version)
        counted = frame.where(F.col("event_date").isin(*dates)).groupBy("event_date").count()
        return {row["event_date"]: row["count"] for row in counted.collect()}

    def scratch(self, name: str) -> str:
        """A folder for temporary files that driver and executors share, since both reach the lake."""
        return storage.join(self.root, self.pipeline, "_scratch", name)

    def clear_scratch(self, name: str) -> None:
        """Removes that folder."""
        storage.delete(self.spark, self.scratch(name))
