"""A lake, a landing folder, a conf folder and an MLflow store in one folder, to run steps on."""

import datetime as dt
import shutil
import time
from dataclasses import dataclass, field, replace
from importlib import import_module
from pathlib import Path

import yaml
from pyspark.sql import DataFrame, SparkSession

from batchml.config import Pipeline, Places, conf_folder, load_pipeline
from batchml.context import Context, Summary
from batchml.errors import PipelineError
from batchml.job_line import DETAILS, CaughtUp
from batchml.job_specs import step_of
from batchml.lake.first_ledger import create_ledger
from batchml.lake.ledger import LedgerTable
from batchml.main import find_unchanged_by
from batchml.tracking import Tracker, open_tracker
from batchml.workflow.catch_up import Request, Work

# Plans over a few rows: compiling one takes longer than running it.
SETTLED = 60  # seconds
INTERPRETED = {
    "spark.sql.codegen.wholeStage": "false",
    "spark.sql.codegen.factoryMode": "NO_CODEGEN",
}
# The same for jobs that the tests start as processes. Jobs elsewhere compile their plans.
JAVA_OPTIONS = " ".join(f"-D{name}={value}" for name, value in INTERPRETED.items())


@dataclass
class Workbench:
    """The lake, landing folder and MLflow store of one folder, and the steps that run on them."""

    spark: SparkSession
    places: Places
    conf: Path
    caught_up: dict[str, CaughtUp] = field(default_factory=dict)
    """The owed dates that the last job worked on."""
    still_owed: int = 0

    def pipeline(self, name: str, *settings: str) -> Pipeline:
        """Return a pipeline of the workbench's conf folder."""
        return load_pipeline(name, self.conf, settings)

    def write_pipeline(self, name: str, raw: dict[str, object]) -> None:
        """Write the YAML of a pipeline."""
        (self.conf / "pipelines" / f"{name}.yaml").write_text(yaml.safe_dump(raw, sort_keys=False))

    def context(
        self, pipeline: Pipeline, start: str, end: str | None = None, job: str = "test"
    ) -> Context:
        """Return the context that a job would get."""
        first, last = dt.date.fromisoformat(start), dt.date.fromisoformat(end or start)
        return Context(
            job=job,
            pipeline=pipeline,
            start=first,
            end=last,
            code_version="test",
            places=self.places,
            session=self.spark,
            clock=time.monotonic,
            now=lambda: time.time() + SETTLED,  # files are written just before they are read
        )

    def run(
        self,
        job: str,
        name: str,
        start: str,
        end: str | None = None,
        *,
        settings: tuple[str, ...] = (),
        options: dict[str, object] | None = None,
    ) -> Summary:
        """Run one step as its job would."""
        context = self.context(self.pipeline(name, *settings), start, end, job)
        context = replace(context, options=options or {})
        step = import_module(f"batchml.steps.{step_of(job, context.options)}")
        work = self.work(context)
        create_ledger(context.folder, context.pipeline)
        try:
            work.look()
            summary = work.run(context, step.run, unexpected)
        finally:
            context.release()
            self.caught_up = {str(each.date): each for each in work.result.dates}
            self.still_owed = work.result.postponed
        assert isinstance(summary, Summary)
        assert summary.details is not None
        # A reader's defaults are for lines of an older version: a step itself leaves nothing out.
        assert summary.details.model_fields_set == set(type(summary.details).model_fields)
        assert type(summary.details) in DETAILS[job]
        return summary

    def work(self, context: Context) -> Work:
        """Return the work of a job with the options of ``context``."""
        options = context.options
        since = options.get("catch_up_from")
        find_unchanged = None
        if options.get("if_changed") == "yes":
            find_unchanged = find_unchanged_by(context.job)
        return Work(
            Request(
                job=context.job,
                pipeline=context.pipeline,
                places=self.places,
                start=context.start,
                end=context.end,
                mode=options.get("catch_up", "no"),
                since=dt.date.fromisoformat(since) if since else None,
                is_own_step=step_of(context.job, options) == context.job,
                version=options.get("with"),
            ),
            find_unchanged=find_unchanged,
        )

    def ledger(self, name: str, table: str) -> dict[str, str]:
        """Return the state of each date of a table."""
        found = LedgerTable(f"{self.places.lake}/{name}").read()
        assert found is not None
        return {str(date): entry.state for date, entry in sorted(found.of_table(table).items())}

    def copy_of(self, made: "Workbench") -> "Workbench":
        """Copy configuration, files, tables and models of ``made``, except the artifacts."""
        for source, target in (
            (made.conf, self.conf),
            (made.places.landing, self.places.landing),
            (made.places.lake, self.places.lake),
        ):
            shutil.copytree(source, target, dirs_exist_ok=True)
        source, target = (
            places.tracking_uri.removeprefix("sqlite:///") for places in (made.places, self.places)
        )
        shutil.copyfile(source, target)
        return self

    def table(self, name: str, table: str) -> DataFrame:
        """Return a whole table of the lake."""
        return self.spark.read.format("delta").load(f"{self.places.lake}/{name}/{table}")

    def rows(self, name: str, table: str) -> list[tuple[object, ...]]:
        """Return the table's rows, sorted for a comparison."""
        return sorted((tuple(row) for row in self.table(name, table).collect()), key=repr)

    def tracker(self, name: str) -> Tracker:
        """Return the pipeline's tracker."""
        return open_tracker(name, self.places)


def unexpected(error: Exception) -> PipelineError:
    """Raise an unexpected error: no step of a test may end with one."""
    raise error


def make_workbench(spark: SparkSession, empty_mlflow: Path, folder: Path) -> Workbench:
    """Return a workbench in ``folder``, with a copy of the project's own configuration."""
    landing = folder / "landing"
    landing.mkdir()
    shutil.copytree(conf_folder(), folder / "conf")
    shutil.copyfile(empty_mlflow, folder / "mlflow.db")
    places = Places(
        str(landing),
        str(folder / "lake"),
        f"sqlite:///{folder}/mlflow.db",
        str(folder / "artifacts"),
    )
    return Workbench(spark, places, folder / "conf")
