"""Write the files of a table's new version first, and commit them afterwards.

Until the commit no reader sees them, so that a step can count and compare what it has written. This
is ``WriteIntoDelta.run``, which Delta does in one call, in separate steps.
"""

import datetime as dt
import json
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from py4j.protocol import Py4JError, Py4JJavaError
from pyspark.errors import PySparkException
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql.classic.dataframe import DataFrame as ClassicDataFrame

from batchml.clients import storage
from batchml.errors import Unavailable

DELTA = "org.apache.spark.sql.delta"
PARTITION = "event_date"
CONFLICT = "[DELTA_CONCURRENT"


@dataclass(frozen=True)
class Change:
    """One action of Delta's log.

    Actions of files have ``path`` and ``date``, those that add a file also its ``rows``.
    """

    action: Any
    path: str | None = None
    date: dt.date | None = None
    rows: int | None = None

    @property
    def is_added(self) -> bool:
        """Return True if the action adds a file."""
        return self.rows is not None

    def is_about(self, dates: Collection[dt.date] | None) -> bool:
        """Return True for a file of one of ``dates``, and for an action that is about no file."""
        return dates is None or self.date is None or self.date in dates


@dataclass(frozen=True)
class Staged:
    """The written, uncommitted files of the table at ``path``.

    They replace the rows for which ``condition`` is true.
    """

    spark: SparkSession
    path: str
    condition: str
    user_metadata: str
    log: Any
    transaction: Any
    data: Any
    before_commit: Callable[[], None] = lambda: None
    """Raises an error if this process must not write any more."""
    committed: list[Change] = field(default_factory=list)

    @cached_property
    def _changes(self) -> list[Change]:
        return [_change(action) for action in _each(self.data.actions())]

    @cached_property
    def rows(self) -> dict[dt.date, int]:
        """Return the rows written per date, from the files' statistics; no entry without rows."""
        counts: Counter[dt.date] = Counter()
        for change in self._changes:
            if change.date is not None and change.rows is not None:
                counts[change.date] += change.rows
        return dict(+counts)

    def read(self, dates: Collection[dt.date]) -> DataFrame:
        """Return the written rows of ``dates``."""
        added = [each.action for each in self._changes if each.is_added and each.date in dates]
        jvm = _jvm(self.spark)
        none = _none(jvm)
        protocol = _some(jvm, self.transaction.protocol())
        snapshot = _class(jvm, "DummySnapshot")(
            self.log.logPath(), self.log, self.transaction.metadata(), none, protocol
        )
        frame = self.log.createDataFrame(snapshot, _sequence(jvm, added), False, none)
        return ClassicDataFrame(frame, self.spark)

    def commit(self, dates: Collection[dt.date] | None = None) -> int:
        """Make the files of ``dates`` part of the table (default: all), and return its version.

        Other dates stay unchanged. Delta makes no new version if nothing changes, as for a day with
        an empty quarantine. Raise Unavailable if another job has written the table meanwhile.
        """
        self.before_commit()
        chosen = [change for change in self._changes if change.is_about(dates)]
        actions = [change.action for change in chosen]
        operation = self._operation()

        # From here on an error may come after Delta's commit, which then needs the files.
        self.committed.extend(chosen)
        try:
            version = self.transaction.commitIfNeeded(
                _sequence(_jvm(self.spark), actions), operation, self.data.stringTags()
            )
        except (PySparkException, Py4JJavaError) as error:
            conflict = _conflict(error)
            if conflict is None:
                raise
            self.committed.clear()
            raise Unavailable(
                f"{self.path}: another job has written the table meanwhile",
                conflict,
                remedy="run this job again when the other one has ended",
            ) from error

        if version.isDefined():
            return int(version.get())
        return int(self.transaction.snapshot().version())

    def _operation(self) -> Any:
        """Return the operation as Delta's history shows it."""
        jvm = _jvm(self.spark)
        none = _none(jvm)
        return _class(jvm, "DeltaOperations$Write")(
            getattr(jvm, "org.apache.spark.sql.SaveMode").Overwrite,
            _some(jvm, _sequence(jvm, [PARTITION])),
            _some(jvm, self.condition),
            _some(jvm, self.user_metadata),
            none,
            none,
            none,
            none,
            none,
        )

    def discard(self) -> None:
        """Delete the files that were not committed. VACUUM removes those of a killed job."""
        kept = {change.path for change in self.committed}
        # With a deletion vector Delta removes a file and adds it again.
        kept |= {change.path for change in self._changes if not change.is_added}
        for change in self._changes:
            if change.path is not None and change.path not in kept:
                # A failure here must not hide the error that ended the job.
                with suppress(Unavailable, Py4JError, ConnectionError):
                    storage.delete(self.spark, storage.join(self.path, change.path))


def stage(
    frame: DataFrame,
    path: str,
    condition: str,
    user_metadata: str,
    properties: Mapping[str, str],
) -> Staged:
    """Write ``frame`` to files at ``path`` that will replace the rows of ``condition``.

    A column that is new to the table is added to it. ``properties`` go to a new table.
    """
    spark = frame.sparkSession
    jvm = _jvm(spark)
    session = spark._jsparkSession
    none = _none(jvm)
    log = _class(jvm, "DeltaLog").forTable(session, path)
    transaction = log.startTransaction(none, none)
    options = {
        "replaceWhere": condition,
        "mergeSchema": "true",
        "userMetadata": user_metadata,
    }
    write = _class(jvm, "commands.WriteIntoDelta")(
        log,
        getattr(jvm, "org.apache.spark.sql.SaveMode").Overwrite,
        _class(jvm, "DeltaOptions")(_map(jvm, options), session.sessionState().conf()),
        _sequence(jvm, [PARTITION]),
        _map(jvm, properties),
        frame._jdf,
        none,
        none,
        False,
    )
    data = write.writeAndReturnCommitData(transaction, session, none, False)
    return Staged(spark, path, condition, user_metadata, log, transaction, data)


def _conflict(error: Exception) -> str | None:
    """Return the line of ``error`` that names a conflict of two writers, or None."""
    for line in str(error).splitlines():
        if CONFLICT in line:
            return line
    return None


def _change(action: Any) -> Change:
    # The action's line of the log has all of its values, and needs a single call to Java.
    ((kind, record),) = json.loads(action.json()).items()
    if kind not in ("add", "remove"):
        return Change(action)
    date = dt.date.fromisoformat(record["partitionValues"][PARTITION])
    rows = None
    if kind == "add":
        rows = json.loads(record["stats"])["numRecords"]
    return Change(action, record["path"], date, rows)


def _each(actions: Any) -> Iterator[Any]:
    rest = actions.iterator()
    while rest.hasNext():
        yield rest.next()


def _jvm(spark: SparkSession) -> Any:
    return spark.sparkContext._jvm


# Classes are requested by their whole names. For the first part of a name alone, as in
# jvm.java.util, Java searches every one of Spark's jars.
def _class(jvm: Any, name: str) -> Any:
    return getattr(jvm, f"{DELTA}.{name}")


def _none(jvm: Any) -> Any:
    return getattr(jvm, "scala.Option").empty()


def _some(jvm: Any, value: Any) -> Any:
    return getattr(jvm, "scala.Some")(value)


def _sequence(jvm: Any, values: Sequence[Any]) -> Any:
    listed = getattr(jvm, "java.util.ArrayList")()
    for value in values:
        listed.add(value)
    return getattr(jvm, "org.apache.spark.api.python.PythonUtils").toSeq(listed)


def _map(jvm: Any, values: Mapping[str, str]) -> Any:
    mapped = getattr(jvm, "java.util.HashMap")()
    for key, value in values.items():
        mapped.put(key, value)
    return getattr(jvm, "org.apache.spark.api.python.PythonUtils").toScalaMap(mapped)
