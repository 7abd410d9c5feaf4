"""Maintain one table of the lake: compact its dates, and remove files that no version needs."""

import datetime as dt
import math
import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

from delta import DeltaTable
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from batchml.clients import storage
from batchml.errors import BadData
from batchml.lake.session_settings import session_settings
from batchml.lake.tables import Lake, dates_condition

PARTITION = re.compile(r"/event_date=(\d{4}-\d{2}-\d{2})/")
LEAST_LOG_DAYS = 365  # as conf/spark has it for new tables
# By default VACUUM ignores its argument, the hours, in favour of the table's longer retention.
USES_GIVEN_HOURS = {
    "spark.databricks.delta.vacuum.retentionWindowIgnore.enabled": "false",
    "spark.databricks.delta.retentionDurationCheck.enabled": "false",
}
PROPERTIES = ("delta.logRetentionDuration", "delta.deletedFileRetentionDuration")


@dataclass(frozen=True)
class TableFiles:
    """The Delta table ``name`` of a lake."""

    lake: Lake
    name: str

    def live_files(self) -> list[str]:
        """Return the newest version's files, without reading a row."""
        return self.lake.read_all(self.name).inputFiles()

    def compact(self, dates: list[dt.date]) -> None:
        """Rewrite the rows of each date into as few files as they need.

        The rows stay the same; the table gets a new version.
        """
        self._table().optimize().where(dates_condition(dates)).executeCompaction()

    def replaced_at(self, version: int) -> dt.datetime | None:
        """Return when the next version replaced ``version``; None while it is the newest.

        Raise BadData if the log no longer reaches back to it.
        """
        if version >= self.lake.latest_version(self.name):
            return None
        is_next = F.col("version") == version + 1
        commits = self._table().history().where(is_next)
        next_commits = commits.select("timestamp").collect()
        if not next_commits:
            raise BadData(
                f"{self.lake.path(self.name)}: the log does not reach back to version {version}, "
                "which a model needs",
                remedy="stop keeping that model: if it is the champion, train and promote another "
                "one; then remove its other alias, and lower maintenance.keep_models",
            )
        timestamp: dt.datetime = next_commits[0]["timestamp"]
        return timestamp

    def extend_retention(self, hours: int) -> None:
        """Keep the log and the names of replaced files a month longer than the files.

        Keep them for at least a year. If the log no longer names a file, VACUUM decides by the
        file's own age, and removes it even if a version needs it.
        """
        days_of_files = math.ceil(hours / 24)
        days = max(LEAST_LOG_DAYS, days_of_files + 31)
        interval = f"interval {days} days"
        detail = self._table().detail().select("properties").collect()[0]
        properties = detail["properties"]
        if all(properties.get(key) == interval for key in PROPERTIES):
            return
        settings = ", ".join(f"'{key}' = '{interval}'" for key in PROPERTIES)
        self._run(f"ALTER TABLE {self._sql_name} SET TBLPROPERTIES ({settings})")

    def vacuum_dry_run(self, hours: int) -> list[str]:
        """Return the files ``vacuum`` would remove (Delta lists a thousand at most)."""
        with session_settings(self.lake.spark, USES_GIVEN_HOURS):
            files = self._run(f"VACUUM {self._sql_name} RETAIN {hours} HOURS DRY RUN")
            return [row["path"] for row in files.collect()]

    def file_size(self, file: str) -> int:
        """Return the size in bytes of one file that ``vacuum_dry_run`` returned."""
        return storage.usage(self.lake.spark, file).bytes

    def vacuum(self, hours: int) -> None:
        """Remove files that no version of the last ``hours`` needs."""
        with session_settings(self.lake.spark, USES_GIVEN_HOURS):
            self._table().vacuum(float(hours))

    def usage(self) -> storage.Usage:
        """Return number and size of its files, without those of the log, to which VACUUM adds."""
        spark = self.lake.spark
        folder = self.lake.path(self.name)
        whole = storage.usage(spark, folder)
        log = storage.usage(spark, storage.join(folder, "_delta_log"))
        return storage.Usage(
            files=whole.files - log.files,
            bytes=whole.bytes - log.bytes,
        )

    @property
    def _sql_name(self) -> str:
        return f"delta.`{self.lake.path(self.name)}`"

    def _run(self, statement: str) -> DataFrame:
        return self.lake.spark.sql(statement)

    def _table(self) -> DeltaTable:
        return DeltaTable.forPath(self.lake.spark, self.lake.path(self.name))


def crowded_dates(files: Iterable[str], most_files: int) -> list[dt.date]:
    """Return the dates with more than ``most_files`` files of a table.

    The date is the partition, and therefore in the files' names.
    """
    counts: Counter[str] = Counter()
    for file in files:
        match = PARTITION.search(file)
        if match is not None:
            counts[match[1]] += 1
    return [dt.date.fromisoformat(date) for date, count in counts.items() if count > most_files]
