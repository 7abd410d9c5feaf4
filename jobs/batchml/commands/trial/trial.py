"""Run the jobs of an edited pipeline in a sandbox, and compare its tables with production."""

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from batchml.commands.trial.champion import TriedChampion, copy_champion
from batchml.commands.trial.dates import TriedDates, divide_dates
from batchml.commands.trial.difference import COUNTED, Difference, Tables, compare_tables
from batchml.commands.trial.jobs import RunJob, exit_code_of
from batchml.commands.trial.sandbox import Sandbox
from batchml.config import Pipeline, Places
from batchml.errors import BadConfig, PipelineError, Unavailable
from batchml.job_line import JobLine
from batchml.job_specs import JOBS
from batchml.lake.first_ledger import read_ledger
from batchml.lake.ledger import Ledger
from batchml.lake.table_version import TableVersion, compare_predictions

PREDICTIONS = "predictions"
FAULTS = (PipelineError.exit_code, BadConfig.exit_code, Unavailable.exit_code)
"""Exit codes by which a trial is not made. Rejected data and nothing to do are results of it."""


@dataclass(frozen=True)
class Production:
    """What production has at the start of the trial. Later commits to it are not read."""

    places: Places
    ledger: Ledger
    tables: Tables

    @classmethod
    def read(cls, pipeline: Pipeline, places: Places) -> "Production":
        """Return the present state of the tables of ``pipeline``."""
        folder = places.tables_of(pipeline.name)
        ledger = read_ledger(folder, pipeline)
        return cls(places, ledger, newest_tables(folder))


@dataclass(frozen=True)
class Request:
    """The edited pipeline, the dates to try it on, and where and how its jobs run."""

    pipeline: Pipeline
    dates: Sequence[dt.date]
    production: Production
    sandbox: Sandbox
    run_job: RunJob
    settings: Sequence[str] = ()
    """The settings of the training that ``run_job`` sets in place of the YAML's."""

    @property
    def folder(self) -> str:
        """Return the folder of the tables in the sandbox."""
        return self.sandbox.places.tables_of(self.pipeline.name)


@dataclass(frozen=True)
class Trial:
    """The result of a trial. Without a date that can be compared, ``difference`` is None."""

    pipeline: str
    tried: tuple[dt.date, ...]
    settings: tuple[str, ...]
    metric: str
    champion: TriedChampion
    dates: TriedDates = field(default_factory=TriedDates)
    jobs: tuple[JobLine, ...] = ()
    difference: Difference | None = None

    def line_of(self, job: str) -> JobLine | None:
        """Return the last line of ``job``; None if it was not run."""
        return next((line for line in self.jobs if line.job == job), None)

    @property
    def exit_code(self) -> int:
        """Return 0, or the code of the first job that a fault has ended.

        Without any delivery of the dates, the source counts as unavailable.
        """
        codes = [exit_code_of(line) for line in self.jobs]
        if self.tried == self.dates.gone:
            codes.append(Unavailable.exit_code)
        return next((code for code in codes if code in FAULTS), 0)


def newest_tables(folder: str) -> Tables:
    """Return the newest version of each table in ``folder``, without tables that do not exist."""
    tables = {}
    for name in (*COUNTED, PREDICTIONS):
        version = TableVersion.latest(f"{folder}/{name}")
        if version is not None:
            tables[name] = version
    return tables


def run_trial(request: Request) -> Trial:
    """Return the result of the edited pipeline on the dates of ``request``."""
    # With the columns of production, jobs add and refuse the same columns as there.
    for name, table in request.production.tables.items():
        table.create_empty_copy(f"{request.folder}/{name}")
    champion = copy_champion(request.pipeline, request.production.places, request.sandbox)
    jobs = _Jobs(request, champion)
    dates = jobs.run_all()
    trial = Trial(
        pipeline=request.pipeline.name,
        tried=tuple(request.dates),
        settings=tuple(request.settings),
        metric=request.pipeline.gate.metric,
        champion=champion,
        dates=dates,
        jobs=tuple(jobs.lines),
    )
    if not dates.compared:
        return trial
    return replace(trial, difference=_compare(trial, request, jobs.made_tables))


@dataclass
class _Jobs:
    """The jobs of a trial in their order, each only if the ones before allow it."""

    request: Request
    champion: TriedChampion
    lines: list[JobLine] = field(default_factory=list)

    def run_all(self) -> TriedDates:
        """Run the jobs, and return the dates divided by what ``ingest`` has made of them."""
        request, champion = self.request, self.champion
        first, last = request.dates[0], request.dates[-1]
        reach_days = max(request.pipeline.reach_days, champion.reach_days)
        self._run("ingest", first - dt.timedelta(days=reach_days), last)
        if exit_code_of(self.lines[0]) in FAULTS:
            return TriedDates()
        tried = read_ledger(request.folder, request.pipeline)
        dates = divide_dates(request.dates, request.production.ledger, tried)
        if not dates.compared:
            return dates

        first, last = dates.compared[0], dates.compared[-1]
        if not self._run("build_features", first, last):
            return dates
        if champion.can_score:
            self._run("score_batch", first, last)
        if not champion.unknown and self._run("train_model", last, last):
            self._run("evaluate_model", last, last)
        return dates

    def _run(self, job: str, first: dt.date, last: dt.date) -> bool:
        """Run ``job`` and return True if it has done its work."""
        line = self.request.run_job(job, first, last)
        self.lines.append(line)
        return line.is_done

    @property
    def made_tables(self) -> set[str]:
        """Return the tables that were written. Even if it ends with 3, ingest writes good dates."""
        tables = set(JOBS["ingest"].outlets)
        for line in self.lines:
            if line.is_done:
                tables.update(JOBS[line.job].outlets)
        return tables


def _compare(trial: Trial, request: Request, made_tables: set[str]) -> Difference:
    """Return the difference to production on the dates that can be compared."""
    before = _only(request.production.tables, made_tables)
    after = _only(newest_tables(request.folder), made_tables)
    dates = trial.dates.compared
    key = request.pipeline.key
    difference = compare_tables(before, after, dates, key)
    version = trial.champion.version
    if version is None or PREDICTIONS not in before or PREDICTIONS not in after:
        return difference
    tables = (before[PREDICTIONS], after[PREDICTIONS])
    if not set(key) <= tables[0].column_types().keys():
        return difference
    predictions = compare_predictions(tables, dates, key, version)
    return replace(difference, predictions=predictions)


def _only(tables: Tables, names: set[str]) -> Tables:
    return {name: table for name, table in tables.items() if name in names}
