"""Work on the dates that a job owes, before those that were requested."""

import datetime as dt
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from batchml.clients import landing
from batchml.config import Pipeline, Places
from batchml.config.definitions import definition_of
from batchml.config.sources import FileSource, HttpSource, days_between
from batchml.errors import BadConfig, Missing, NothingToDo, PipelineError, Unavailable
from batchml.job_line import CaughtUp
from batchml.lake import owed
from batchml.lake.first_ledger import read_ledger, write_entries
from batchml.lake.ledger import INGESTED, NO_ROWS, Entry, Ledger
from batchml.lake.owed import Deliveries, Horizon, Owed

if TYPE_CHECKING:
    from batchml.context import Context, Summary

    Step = Callable[[Context], Summary]

LOG = logging.getLogger("batchml")
Mode = Literal["no", "yes", "only"]
"""``only``: work on the owed dates of a range, and on no others."""
TABLES = {job: table for job, (table, _) in owed.UPSTREAM.items()} | {"ingest": "bronze"}
"""The table whose dates a job owes."""


@dataclass(frozen=True)
class Request:
    """What a job was started for. ``start`` is None if only ``end`` was given."""

    job: str
    pipeline: Pipeline
    places: Places
    start: dt.date | None
    end: dt.date
    mode: Mode = "no"
    since: dt.date | None = None
    is_own_step: bool = True
    """False if an option replaces the job's own work."""

    @property
    def owes_dates(self) -> bool:
        """Return True if the job works on dates that it may owe."""
        return self.is_own_step and self.job in TABLES

    @property
    def folder(self) -> str:
        """Return the pipeline's folder in the lake."""
        return f"{self.places.lake.rstrip('/')}/{self.pipeline.name}"

    @property
    def dates(self) -> list[dt.date]:
        """Return the requested dates; none if only owed dates are worked on."""
        if self.mode == "only":
            return []
        return days_between(self.start or self.end, self.end)


@dataclass(frozen=True)
class Plan:
    """The owed dates that a job works on now, by pass, and how many stay owed."""

    passes: Sequence[Sequence[Owed]] = ()
    postponed: int = 0


@dataclass
class Result:
    """What became of the owed dates."""

    dates: list[CaughtUp] = field(default_factory=list)
    postponed: int = 0


@dataclass
class Work:
    """The work of a job: what it owes and what was requested."""

    request: Request
    plan: Plan | None = None
    result: Result = field(default_factory=Result)

    def look(self) -> None:
        """Look for work without Spark. Raise NothingToDo if there is none.

        A landing folder on another file system is looked at when Spark has started.
        """
        if not self.request.owes_dates:
            self.plan = Plan()
        elif self.request.job != "ingest" or landing.is_local(self.request.places.landing):
            self.plan = make_plan(self.request, landing.LOCAL)
            require_work(self.request, self.plan)

    def run(self, context: "Context", step: "Step") -> "Summary":
        """Run ``step`` for the owed dates, oldest first, then for those that were requested.

        A failure of an owed date leaves it owed. Only the requested dates decide how the job ends.
        """
        if self.plan is None:
            self.plan = make_plan(self.request, context.file_system)
            require_work(self.request, self.plan)
        self.result.postponed = self.plan.postponed
        last: Summary | PipelineError | None = None
        for dates in self.plan.passes:
            last = _work_on(context, self.request, dates, step, self.result)
        if self.request.mode != "only" or not self.request.owes_dates:
            return step(context)
        if isinstance(last, PipelineError):
            raise last
        assert last is not None, "require_work has seen a pass"
        return last


def make_plan(request: Request, files: landing.FileSystem) -> Plan:
    """Return the owed dates of the job. ``files`` shows what is in the landing folder."""
    if request.mode == "no" or not request.owes_dates:
        return Plan()
    ledger = read_ledger(request.folder, request.pipeline)
    horizon = _horizon(request, ledger)
    if horizon is None:
        return Plan()
    found = _owed(request, ledger, horizon, files)
    max_days = request.pipeline.catch_up.max_days
    chosen = found if request.mode == "only" else owed.at_most(found, max_days)
    return Plan(_passes(request, chosen), len(found) - len(chosen))


def _horizon(request: Request, ledger: Ledger) -> Horizon | None:
    if request.mode == "only":
        return owed.whole_range(ledger, request.start, request.end)
    since = None if ledger.is_from_tables else request.since
    return owed.horizon(ledger, request.pipeline, request.end, since)


def _owed(
    request: Request, ledger: Ledger, horizon: Horizon, files: landing.FileSystem
) -> list[Owed]:
    if request.job != "ingest":
        return owed.owed_downstream(ledger, request.pipeline, horizon, request.dates, request.job)
    deliveries = _deliveries(request, owed.dates_to_look_at(ledger, horizon), files)
    return owed.owed_by_ingest(ledger, request.pipeline, horizon, request.dates, deliveries)


def _deliveries(
    request: Request, dates: Sequence[dt.date], files: landing.FileSystem
) -> Deliveries:
    """Return what the landing folder has. An API or a database has to be read instead."""
    source = request.pipeline.source
    if not isinstance(source, FileSource):
        return Deliveries({}, is_complete=False)
    landed = landing.delivered(request.places.landing, source, dates, files)
    fingerprints = {date: fingerprint.to_text() for date, fingerprint in landed.items()}
    return Deliveries(fingerprints, is_complete=not source.fetch)


def _passes(request: Request, dates: Sequence[Owed]) -> list[list[Owed]]:
    """Return the dates that are worked on together: all of them.

    Of a database only consecutive ones are: it returns every row from the first to the last.
    """
    if not dates:
        return []
    source = request.pipeline.source
    if request.job != "ingest" or isinstance(source, FileSource | HttpSource):
        return [list(dates)]
    return owed.in_ranges(dates, lambda _: None)


def require_work(request: Request, plan: Plan) -> None:
    """Raise NothingToDo if there is nothing to work on, before Spark is started to find that out.

    The ledger knows whether the dates have rows, the landing folder whether they were delivered.
    """
    if plan.passes or not request.owes_dates:
        return
    if request.mode == "only":
        raise NothingToDo(
            f"{request.pipeline.name}: {request.job} owes nothing up to {request.end}"
        )
    if request.job == "ingest":
        _require_delivery(request)
    elif request.mode == "yes":
        _require_input(request)


def _require_delivery(request: Request) -> None:
    """Raise Missing if none of the requested dates has been delivered."""
    source, folder = request.pipeline.source, request.places.landing
    if not isinstance(source, FileSource) or source.fetch or not landing.is_local(folder):
        return
    if not Path(folder).is_dir() or landing.delivered(folder, source, request.dates):
        return
    _record_missing(request)
    paths = dict.fromkeys(source.path_on(date) for date in request.dates)
    raise Missing(
        f"no file yet for {request.dates[0]}..{request.end}: "
        + ", ".join(f"{folder}/{path}" for path in paths),
        remedy="put it there, or set BATCHML_LANDING to the folder that holds it; "
        "`make fetch` downloads months",
    )


def _record_missing(request: Request) -> None:
    """Record the requested dates as missing, but for those that have an entry or a day off."""
    ledger = read_ledger(request.folder, request.pipeline)
    definition = definition_of(request.pipeline, "bronze")
    now = dt.datetime.now(dt.UTC)
    missing = Entry("", dt.date.min, "missing", 0, NO_ROWS, "", definition, request.job, now)
    write_entries(
        request.folder,
        request.pipeline,
        [
            replace(missing, table_name=table, event_date=date)
            for date in request.dates
            for table in INGESTED
            if request.pipeline.source.has_delivery(date) and ledger.get(table, date) is None
        ],
    )


def _require_input(request: Request) -> None:
    """Raise NothingToDo if neither the table nor its input has rows of the requested dates."""
    ledger = read_ledger(request.folder, request.pipeline)
    if ledger.first_date is None:
        return
    table, upstream = owed.UPSTREAM[request.job]
    entries = [ledger.get(name, date) for name in (table, upstream) for date in request.dates]
    if any(entry is not None and entry.has_rows for entry in entries):
        return
    dates = f"{request.dates[0]}..{request.end}"
    raise NothingToDo(
        f"{request.pipeline.name}: {upstream} has no rows for {dates}",
        remedy="run the job that writes it for these dates first",
    )


def _work_on(
    context: "Context",
    request: Request,
    dates: Sequence[Owed],
    step: "Step",
    result: Result,
) -> "Summary | PipelineError":
    """Run ``step`` for ``dates``; if that fails, for each delivery on its own."""
    days = [each.date for each in dates]
    context.say("catching up %d dates: %s..%s", len(days), days[0], days[-1])
    only = frozenset(days)
    part = replace(context, start=days[0], end=days[-1], only=only, kept=[], options={})
    error: PipelineError | None = None
    try:
        summary = step(part)
    except (Unavailable, BadConfig) as fault:  # the same for every date
        error = fault
    except PipelineError as fault:
        groups = owed.in_ranges(dates, request.pipeline.source.first_day)
        if len(groups) > 1:
            parts = [_work_on(context, request, group, step, result) for group in groups]
            done = [each for each in parts if not isinstance(each, PipelineError)]
            return done[-1] if done else parts[-1]
        error = fault
    finally:
        part.release()
    if error is not None:
        context.say("%s", error)
    result.dates += _outcomes(request, dates, error)
    return summary if error is None else error


def _outcomes(
    request: Request, dates: Sequence[Owed], error: PipelineError | None
) -> list[CaughtUp]:
    """Return what became of each date: its state in the ledger, or the error."""
    ledger = read_ledger(request.folder, request.pipeline)
    outcomes = []
    for each in dates:
        entry = ledger.get(TABLES[request.job], each.date)
        state: str = entry.state if entry is not None else "still owed"
        if error is not None and not isinstance(error, NothingToDo) and state != "rejected":
            state = f"failed: {error.message}"
        outcomes.append(CaughtUp(date=each.date, reason=each.reason, outcome=state))
    return outcomes
