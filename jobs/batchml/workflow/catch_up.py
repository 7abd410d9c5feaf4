"""Work on the dates that a job owes, before those that were requested."""

import datetime as dt
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from batchml.clients import landing
from batchml.config import Pipeline, Places
from batchml.config.definitions import INGESTED, definition_of
from batchml.config.sources import FileSource, HttpSource, days_between
from batchml.errors import (
    BadConfig,
    BadData,
    NothingToDo,
    PipelineError,
    Unavailable,
    Unchanged,
)
from batchml.job_line import CaughtUp
from batchml.lake import owed
from batchml.lake.first_ledger import read_ledger, write_entries
from batchml.lake.ledger import NO_ROWS, Entry, Ledger
from batchml.lake.owed import Deliveries, Horizon, Owed

if TYPE_CHECKING:
    from batchml.context import Context, Summary

    Step = Callable[[Context], Summary]
    Explain = Callable[[Exception], PipelineError]
    FindUnchanged = Callable[["Request", landing.FileSystem], "Unaltered"]

LOG = logging.getLogger("batchml")
Mode = Literal["no", "yes", "only"]
"""``only``: work on the owed dates of a range, and on no others."""
TABLES = {"ingest": "bronze"}
TABLES |= {job: each.table for job, each in owed.DERIVATIONS.items()}
"""The table whose dates a job owes."""


@dataclass(frozen=True)
class Request:
    """The request that started a job. ``start`` is None if only ``end`` was requested."""

    job: str
    pipeline: Pipeline
    places: Places
    start: dt.date | None
    end: dt.date
    mode: Mode = "no"
    since: dt.date | None = None
    is_own_step: bool = True
    """False if an option replaces the job's own work."""
    version: int | None = None
    """The version to score with, if one was requested."""

    @property
    def owes_dates(self) -> bool:
        """Return True if the job works on dates that it may owe."""
        return self.is_own_step and self.job in TABLES

    @property
    def folder(self) -> str:
        """Return the pipeline's folder in the lake."""
        return self.places.tables_of(self.pipeline.name)

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


@dataclass(frozen=True)
class Unaltered:
    """The requested dates that stay as they are.

    ``summary`` is what the JSON line reports if all of them do.
    """

    dates: frozenset[dt.date] = frozenset()
    summary: "Summary | None" = None


@dataclass
class Result:
    """The outcome of the owed dates."""

    dates: list[CaughtUp] = field(default_factory=list)
    postponed: int = 0


@dataclass
class Work:
    """The work of a job: the dates it owes and the requested ones."""

    request: Request
    plan: Plan | None = None
    result: Result = field(default_factory=Result)
    find_unchanged: "FindUnchanged | None" = None
    """Finds the requested dates that stay as they are; None if all of them are replaced."""
    unaltered: Unaltered = Unaltered()

    def look(self) -> None:
        """Look for work without Spark. Raise NothingToDo if there is none.

        A landing folder on another file system is read after Spark has started.
        """
        request = self.request
        if not request.owes_dates:
            self.plan = Plan()
            return
        # Deliveries, and lookup tables that may have changed.
        lists_files = request.job == "ingest" or self.find_unchanged is not None
        needs_spark = lists_files and not landing.is_local(request.places.landing)
        if not needs_spark:
            self._make_plan(landing.LOCAL)

    def _make_plan(self, files: landing.FileSystem) -> Plan:
        """Set the plan. Raise NothingToDo if there is no work."""
        plan = make_plan(self.request, files)
        require_work(self.request, plan)
        if self.find_unchanged is not None:
            self.unaltered = self.find_unchanged(self.request, files)
            if not plan.passes and self.is_unaltered:
                raise self._nothing_changed()
        self.plan = plan
        return plan

    @property
    def is_unaltered(self) -> bool:
        """Return True if all of the requested dates stay as they are."""
        dates = self.request.dates
        return bool(dates) and self.unaltered.dates.issuperset(dates)

    def _nothing_changed(self) -> Unchanged:
        request = self.request
        dates = f"{request.dates[0]}..{request.end}"
        return Unchanged.of(request.job, request.pipeline.name, dates, self.unaltered.summary)

    def run(self, context: "Context", step: "Step", explain: "Explain") -> "Summary":
        """Run ``step`` for the owed dates, oldest first, then for those that were requested.

        A failure of an owed date leaves it owed. Only the requested dates decide how the job ends.
        ``explain`` turns an unexpected exception into an error.
        """
        plan = self.plan
        if plan is None:
            plan = self._make_plan(context.file_system)
        self.result.postponed = plan.postponed
        healing = Healing(context, self.request, step, explain, self.result)
        last: Summary | PipelineError | None = None
        for dates in plan.passes:
            outcome = healing.work_on(dates)
            # Such an error would be the same for every date.
            if isinstance(outcome, Unavailable | BadConfig):
                last = outcome
                break
            last = better_outcome(last, outcome)

        is_only_healing = self.request.owes_dates and self.request.mode == "only"
        if not is_only_healing:
            return self._run_requested(context, step)
        if isinstance(last, PipelineError):
            raise last
        assert last is not None, "require_work has seen a pass"
        return last

    def _run_requested(self, context: "Context", step: "Step") -> "Summary":
        """Run ``step`` for the requested dates, or for those of them that have changed."""
        if self.is_unaltered:
            raise self._nothing_changed()
        if not self.unaltered.dates:
            return step(context)
        changed = frozenset(self.request.dates) - self.unaltered.dates
        return step(replace(context, only=changed))


def better_outcome(
    one: "Summary | PipelineError | None",
    other: "Summary | PipelineError",
) -> "Summary | PipelineError":
    """Return the outcome that decides how healing ends: work done, then an error, then none."""
    if one is None or not isinstance(other, PipelineError):
        return other
    if isinstance(one, NothingToDo):
        return other
    return one


def make_plan(request: Request, files: landing.FileSystem) -> Plan:
    """Return the owed dates of the job. ``files`` lists the landing folder."""
    if request.mode == "no" or not request.owes_dates:
        return Plan()
    ledger = read_ledger(request.folder, request.pipeline)
    horizon = _horizon(request, ledger)
    if horizon is None:
        return Plan()

    dates = _owed(request, ledger, horizon, files)
    chosen = dates
    if request.mode != "only":
        max_days = request.pipeline.catch_up.max_days
        chosen = owed.limit_dates(dates, max_days, horizon.window_start)
    postponed = len(dates) - len(chosen)
    return Plan(_passes(request, chosen), postponed)


def _horizon(request: Request, ledger: Ledger) -> Horizon | None:
    if request.mode == "only":
        return owed.requested_horizon(ledger, request.pipeline, request.start, request.end)
    since = request.since
    if ledger.is_from_tables:
        since = None
    return owed.horizon(ledger, request.pipeline, request.end, since)


def _owed(
    request: Request,
    ledger: Ledger,
    horizon: Horizon,
    files: landing.FileSystem,
) -> list[Owed]:
    pipeline, requested = request.pipeline, request.dates
    if request.job != "ingest":
        return owed.owed_downstream(ledger, pipeline, horizon, requested, request.job)
    dates = owed.dates_to_check(ledger, horizon)
    deliveries = deliveries_of(pipeline, request.places, dates, files)
    return owed.owed_by_ingest(ledger, pipeline, horizon, requested, deliveries)


def deliveries_of(
    pipeline: Pipeline,
    places: Places,
    dates: Sequence[dt.date],
    files: landing.FileSystem = landing.LOCAL,
) -> Deliveries:
    """Return the deliveries in the landing folder; none for an API or a database."""
    source = pipeline.source
    if not isinstance(source, FileSource):
        return Deliveries({}, is_complete=False)
    landed = landing.delivered(places.landing, source, dates, files)
    return Deliveries(landed, is_complete=not source.fetch)


def _passes(request: Request, dates: Sequence[Owed]) -> list[list[Owed]]:
    """Return the dates in groups that are worked on together.

    All are one group. Only of a database, which returns every row from the first to the last date,
    each group has consecutive dates.
    """
    if not dates:
        return []
    source = request.pipeline.source
    if request.job != "ingest" or isinstance(source, FileSource | HttpSource):
        return [list(dates)]
    return owed.consecutive(dates, lambda _: None)


def require_work(request: Request, plan: Plan) -> None:
    """Raise NothingToDo if there is nothing to work on, before Spark is started.

    The ledger shows whether the dates have rows, the landing folder whether they were delivered.
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
    source = request.pipeline.source
    folder = request.places.landing
    if not isinstance(source, FileSource) or source.fetch:
        return
    if not landing.is_local(folder) or not Path(folder).is_dir():
        return
    if landing.delivered(folder, source, request.dates):
        return

    dates = f"{request.dates[0]}..{request.end}"
    if not any(map(source.has_delivery, request.dates)):
        raise NothingToDo(f"{request.pipeline.name}: no file is expected for {dates}")
    _record_missing(request)
    # Several dates may have one file.
    paths = dict.fromkeys(f"{folder}/{source.path_on(date)}" for date in request.dates)
    raise landing.no_complete_file(request.pipeline, dates, paths)


def _record_missing(request: Request) -> None:
    """Record the requested dates as missing, except those with an entry or without a delivery."""
    pipeline = request.pipeline
    ledger = read_ledger(request.folder, pipeline)
    definition = definition_of(pipeline, "bronze")
    now = dt.datetime.now(dt.UTC)
    expected = filter(pipeline.source.has_delivery, request.dates)

    entries = []
    for date, table in product(expected, INGESTED):
        if ledger.get(table, date) is not None:
            continue
        entry = Entry(
            table_name=table,
            event_date=date,
            state="missing",
            rows=0,
            identity=NO_ROWS,
            definition=definition,
            run=request.job,
            time=now,
        )
        entries.append(entry)
    write_entries(request.folder, pipeline, entries)


def _require_input(request: Request) -> None:
    """Raise NothingToDo if neither the table nor its input has rows of the requested dates."""
    ledger = read_ledger(request.folder, request.pipeline)
    derivation = owed.DERIVATIONS[request.job]
    tables = (derivation.table, derivation.upstream)
    for name, date in product(tables, request.dates):
        entry = ledger.get(name, date)
        if entry is not None and entry.has_rows:
            return
    dates = f"{request.dates[0]}..{request.end}"
    raise NothingToDo(
        f"{request.pipeline.name}: {derivation.upstream} has no rows for {dates}",
        remedy="run the job that writes it for these dates first",
    )


@dataclass(frozen=True)
class Healing:
    """Runs the step of a job for owed dates."""

    context: "Context"
    request: Request
    step: "Step"
    explain: "Explain"
    result: Result

    def work_on(self, dates: Sequence[Owed]) -> "Summary | PipelineError":
        """Run the step for ``dates``. If one of several deliveries is bad, run it for each.

        Return the error if no date was worked on.
        """
        days = [each.date for each in dates]
        self.context.log("catching up %d dates: %s..%s", len(days), days[0], days[-1])
        before = self._ledger()
        outcome = self._attempt(days)
        if isinstance(outcome, BadData):
            return self._work_on_parts(dates, outcome, before)
        if isinstance(outcome, PipelineError):
            self._add_outcome(dates, outcome)
        else:
            self._add_outcome(dates, None)
        return outcome

    def _work_on_parts(
        self,
        dates: Sequence[Owed],
        error: BadData,
        before: Ledger,
    ) -> "Summary | PipelineError":
        """Run the step for each delivery of the dates that are the same as in ``before``.

        Return ``error`` if there are no parts, or if every part ends with an error.
        """
        open_dates = self._unchanged_since(before, dates)
        parts = owed.consecutive(open_dates, self.request.pipeline.source.first_day)
        is_indivisible = len(parts) == 1 and len(open_dates) == len(dates)
        if is_indivisible:
            self._add_outcome(dates, error)
            return error

        self._add_outcome([each for each in dates if each not in open_dates], None)
        last: Summary | PipelineError = error
        for part in parts:
            outcome = self.work_on(part)
            if not isinstance(outcome, PipelineError):
                last = outcome
        return last

    def _unchanged_since(self, before: Ledger, dates: Sequence[Owed]) -> list[Owed]:
        """Return the dates whose entries are the same as in ``before``."""
        table = TABLES[self.request.job]
        after = self._ledger()
        unchanged = []
        for each in dates:
            entry_before = before.get(table, each.date)
            entry = after.get(table, each.date)
            if entry == entry_before:
                unchanged.append(each)
        return unchanged

    def _attempt(self, days: Sequence[dt.date]) -> "Summary | PipelineError":
        part = replace(
            self.context,
            start=days[0],
            end=days[-1],
            only=frozenset(days),
            is_catching_up=True,
            persisted=[],
            options={},
        )
        try:
            return self.step(part)
        except PipelineError as error:
            self.context.log("%s", error)
            return error
        except Exception as error:  # one bad date must not stop the requested ones
            LOG.exception("%s failed with an unexpected error", self.request.job)
            return self.explain(error)
        finally:
            part.release()

    def _ledger(self) -> Ledger:
        return read_ledger(self.request.folder, self.request.pipeline)

    def _add_outcome(self, dates: Sequence[Owed], error: PipelineError | None) -> None:
        """Add the outcome of each date to the result: its state in the ledger, or the error."""
        ledger = self._ledger()
        table = TABLES[self.request.job]
        failure = ""
        if error is not None and not isinstance(error, NothingToDo):
            failure = f"failed: {error.message}"

        for each in dates:
            outcome = "still owed"
            entry = ledger.get(table, each.date)
            if entry is not None:
                outcome = entry.state
            if failure and outcome != "rejected":
                outcome = failure
            caught_up = CaughtUp(date=each.date, reason=each.reason, outcome=outcome)
            self.result.dates.append(caught_up)
