"""Maintain one table of the lake: compact its dates, and remove files that no version needs."""

import datetime as dt
import math
import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

from delta import DeltaTable
from pyspark.sql import functions as F

from batchml.clients import storage
from batchml.errors import BadData
from batchml.lake.session_settings import session_settings
from batchml.lake.tables import Lake, dates_condition

PARTITION = re.compile(r"/event_date=(\d{4}-\d{2}-\d{2})/")
LEAST_LOG_DAYS = 365  # as conf/spark has it for new tables
# By default VACUUM ignores its argument, the hours, in favour of the table's own, longer retention.
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
        history = (
            self._table()
            .history()
            .where(F.col("version") == version + 1)
            .select("timestamp")
            .collect()
        )
        if not history:
            raise BadData(
                f"{self.lake.path(self.name)}: the log does not reach back to version {version}, "
                "which a model needs",
                remedy="archive that model: remove its alias, or lower maintenance.keep_models",
            )
        timestamp: dt.datetime = history[0]["timestamp"]
        return timestamp

    def extend_retention(self, hours: int) -> None:
        """Keep the log and the names of replaced files a month longer than the files.

        Keep them for at least a year. If the log no longer names a file, VACUUM decides by the
        file's own age, and removes it even if a version needs it.
        """
        days = max(LEAST_LOG_DAYS, math.ceil(hours / 24) + 31)
        properties = dict.fromkeys(PROPERTIES, f"interval {days} days")
        known = self._table().detail().select("properties").collect()[0]["properties"]
        has_changed = any(known.get(key) != value for key, value in properties.items())
        if has_changed:
            listed = ", ".join(f"'{key}' = '{value}'" for key, value in properties.items())
            self.lake.spark.sql(
                f"ALTER TABLE delta.`{self.lake.path(self.name)}` SET TBLPROPERTIES ({listed})"
            )

    def vacuum_dry_run(self, hours: int) -> list[str]:
        """Return the files ``vacuum`` would remove (Delta lists a thousand at most)."""
        with session_settings(self.lake.spark, USES_GIVEN_HOURS):
            files = self.lake.spark.sql(
                f"VACUUM delta.`{self.lake.path(self.name)}` RETAIN {hours} HOURS DRY RUN"
            )
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
        folder = self.lake.path(self.name)
        whole = storage.usage(self.lake.spark, folder)
        log = storage.usage(self.lake.spark, storage.join(folder, "_delta_log"))
        return storage.Usage(whole.files - log.files, whole.bytes - log.bytes)

    def _table(self) -> DeltaTable:
        return DeltaTable.forPath(self.lake.spark, self.lake.path(self.name))


def crowded_dates(files: Iterable[str], most_files: int) -> list[dt.date]:
    """Return the dates with more than ``most_files`` files of a table.

    The date is the partition, and therefore in the files' names.
    """
    matches = map(PARTITION.search, files)
    counts = Counter(match[1] for match in matches if match is not None)
    return [dt.date.fromisoformat(date) for date, count in counts.items() if count > most_files]
