"""The values a step receives, and the summary it returns."""

import datetime as dt
import logging
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

from pyspark import StorageLevel
from pyspark.sql import DataFrame, SparkSession

from batchml.clients import storage
from batchml.clients.landing import FileSystem
from batchml.config import Pipeline, Places
from batchml.config.definitions import Table, definition_of, digest
from batchml.config.sources import days_between
from batchml.job_line import Details, MlflowIds
from batchml.lake.first_ledger import read_ledger, write_entries
from batchml.lake.ledger import Entry, Ledger, State
from batchml.lake.owed import input_of, made_from
from batchml.lake.tables import Lake

LOG = logging.getLogger("batchml")
AIRFLOW_RUN = "AIRFLOW_CTX_DAG_RUN_ID"  # Airflow sets it for the processes of a task


@dataclass(frozen=True, kw_only=True)
class Summary:
    """The work of a step, as the job's last line reports it."""

    rows_in: int = 0
    rows_out: int = 0
    tables: dict[str, int] = field(default_factory=dict)
    """The Delta version written, by table."""
    mlflow: MlflowIds = field(default_factory=MlflowIds)
    details: Details | None = None


@dataclass(frozen=True, kw_only=True)
class Run:
    """One running job."""

    job: str
    code_version: str
    places: Places
    clock: Callable[[], float]
    now: Callable[[], float]
    """Seconds since 1970, from which the age of files is computed."""
    session: SparkSession | None = None
    """None for a job that starts no Spark."""
    seconds: dict[str, float] = field(default_factory=dict)
    """The duration of each phase."""

    @property
    def spark(self) -> SparkSession:
        """Return the Spark session. Only a job that needs Spark by ``job_specs`` may call this."""
        assert self.session is not None, f"{self.job} needs no Spark by job_specs"
        return self.session

    @property
    def application(self) -> str:
        """Return the id of the Spark application, which is unique to this run of the job."""
        return str(self.spark.sparkContext.applicationId)

    @property
    def run_id(self) -> str:
        """Return the id of the Spark application, or the job's name without Spark."""
        if self.session is None:
            return self.job
        return self.application

    @property
    def recorded_run(self) -> str:
        """Return the run that the ledger names: Airflow's, or ``run_id`` of a manual job."""
        return os.environ.get(AIRFLOW_RUN) or self.run_id

    def log(self, message: str, *values: object) -> None:
        """Log one line for the person who watches the job."""
        LOG.info(message, *values)

    @contextmanager
    def phase(self, name: str) -> Iterator[None]:
        """Log the begin of a phase, name it in the Spark UI, and measure its duration."""
        self.log("%s ...", name)
        begun = self.clock()
        self._describe_spark_jobs(name)
        try:
            yield
        finally:
            self._describe_spark_jobs(None)
            self.seconds[name] = round(self.clock() - begun, 2)

    def _describe_spark_jobs(self, description: str | None) -> None:
        if self.session is not None:
            # None removes the description, although the stubs of PySpark do not allow it.
            self.session.sparkContext.setLocalProperty(
                "spark.job.description",
                description,  # type: ignore[arg-type]
            )


@dataclass(frozen=True, kw_only=True)
class Context(Run):
    """One running job of a pipeline."""

    pipeline: Pipeline
    start: dt.date
    end: dt.date
    options: Mapping[str, Any] = field(default_factory=dict)
    """The options given on the command line that only this job has."""
    persisted: list[DataFrame] = field(default_factory=list)
    """The frames that ``release`` frees."""
    only: frozenset[dt.date] | None = None
    """The dates to work on; None for all from ``start`` to ``end``."""
    is_catching_up: bool = False
    """The dates were not requested, but are owed."""
    require_lease: Callable[[], None] = lambda: None
    """Raises Unavailable if another process may write the tables now."""

    @cached_property
    def lake(self) -> Lake:
        """Return the pipeline's tables. A commit that replaces dates names job, run and code."""
        commit = {"job": self.job, "run": self.application, "code_version": self.code_version}
        return Lake(
            self.spark,
            self.places.lake,
            self.pipeline.name,
            commit,
            before_commit=self.require_lease,
        )

    @property
    def dates(self) -> list[dt.date]:
        """Return the dates to work on, in order."""
        dates = days_between(self.start, self.end)
        if self.only is None:
            return dates
        return [date for date in dates if date in self.only]

    @property
    def skips_unchanged(self) -> bool:
        """Return True if the requested dates are only replaced if their rows have changed."""
        return self.options.get("if_changed") == "yes"

    @property
    def folder(self) -> str:
        """Return the pipeline's folder in the lake."""
        return self.places.tables_of(self.pipeline.name)

    @property
    def file_system(self) -> FileSystem:
        """Return the file systems of the landing folder, as Hadoop reads them."""
        return storage.file_system(self.spark)

    def read_ledger(self) -> Ledger:
        """Return the pipeline's ledger."""
        return read_ledger(self.folder, self.pipeline)

    def record(self, entries: Sequence[Entry]) -> None:
        """Write ``entries`` to the ledger, after the tables they are about."""
        self.require_lease()
        time = dt.datetime.fromtimestamp(self.now(), dt.UTC)
        stamped = [replace(entry, run=self.recorded_run, time=time) for entry in entries]
        write_entries(self.folder, self.pipeline, stamped)

    def record_derived(self, table: Table, rows: Mapping[dt.date, int], *others: object) -> None:
        """Record the dates of a table that is made from another one.

        A date without rows is recorded only if the other table has an entry of it. ``others``
        decide the rows as well, in addition to the input and the definition.
        """
        ledger = self.read_ledger()
        known = ledger.of_table(input_of(table))
        definition = definition_of(self.pipeline, table)
        entries = []
        for date, count in rows.items():
            if not count and date not in known:
                continue

            source = made_from(ledger, self.pipeline, table, date)
            state: State = "empty"
            if count:
                state = "done"
            identity = digest(source, definition, *others)
            entries.append(Entry(table, date, state, count, identity, source, definition))
        self.record(entries)

    def persist(self, frame: DataFrame) -> DataFrame:
        """Compute ``frame`` once and store it on disk until the job ends.

        It is not stored in memory, which the job needs itself.
        """
        persisted = frame.persist(StorageLevel.DISK_ONLY)
        self.persisted.append(persisted)
        return persisted

    def release(self) -> None:
        """Free the persisted frames."""
        while self.persisted:
            self.persisted.pop().unpersist()
