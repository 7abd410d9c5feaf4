"""What a step is given, and what it gives back."""

import datetime as dt
import logging
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from pyspark import StorageLevel
from pyspark.sql import DataFrame, SparkSession

from batchml.config import Pipeline, Places
from batchml.config.sources import days_between
from batchml.lake.tables import Lake


@dataclass
class Summary:
    """What a step did: the numbers of the job's last line."""

    rows_in: int = 0
    rows_out: int = 0
    tables: dict[str, int] = field(default_factory=dict)
    """Delta version written, by table."""
    mlflow: dict[str, Any] = field(default_factory=dict)
    """Run id, model name and version, as far as the step has any."""
    details: dict[str, Any] = field(default_factory=dict)
    """What else is worth knowing: counts by reason, metrics, the verdict."""


LOG = logging.getLogger("batchml")


@dataclass(frozen=True, kw_only=True)
class Run:
    """One running job: where things lie, and how it tells what it does."""

    code_version: str
    places: Places
    clock: Callable[[], float]
    now: Callable[[], float]
    """Seconds since 1970: what the age of files is counted from."""
    seconds: dict[str, float] = field(default_factory=dict)

    def say(self, message: str, *values: object) -> None:
        """One line on the job's log, for the person who reads along."""
        LOG.info(message, *values)

    @contextmanager
    def phase(self, name: str) -> Iterator[None]:
        """Measures a phase, and says on the log that it has begun: someone may be waiting."""
        self.say("%s ...", name)
        begun = self.clock()
        try:
            yield
        finally:
            self.seconds[name] = round(self.clock() - begun, 2)


@dataclass(frozen=True, kw_only=True)
class Desk(Run):
    """A job of a pipeline that starts no Spark."""

    pipeline: Pipeline
    start: dt.date
    end: dt.date


@dataclass(frozen=True, kw_only=True)
class Job(Run):
    """A job with a Spark session."""

    spark: SparkSession

    @property
    def application(self) -> str:
        """The Spark application's id, unique to this job's run."""
        return str(self.spark.sparkContext.applicationId)

    @contextmanager
    def phase(self, name: str) -> Iterator[None]:
        """As of every run; it also names the phase in Spark's UI."""
        self.spark.sparkContext.setJobDescription(name)
        try:
            with super().phase(name):
                yield
        finally:
            self.spark.sparkContext.setLocalProperty(
                "spark.job.description",
                None,  # type: ignore[arg-type]  # takes it away
            )


@dataclass(frozen=True, kw_only=True)
class Context(Job):
    """A job of a pipeline: its configuration, its dates and its tables."""

    pipeline: Pipeline
    start: dt.date
    end: dt.date
    lake: Lake
    options: Mapping[str, Any] = field(default_factory=dict)
    """What only this job's command line can ask for."""
    kept: list[DataFrame] = field(default_factory=list)

    @property
    def dates(self) -> list[dt.date]:
        """Every date from start to end."""
        return days_between(self.start, self.end)

    def keep(self, frame: DataFrame) -> DataFrame:
        """``frame``, computed once and kept (in memory, else on disk) until the job's end."""
        self.kept.append(frame.persist(StorageLevel.MEMORY_AND_DISK))
        return self.kept[-1]

    def release(self) -> None:
        """Frees what was kept."""
        while self.kept:
            self.kept.pop().unpersist()
