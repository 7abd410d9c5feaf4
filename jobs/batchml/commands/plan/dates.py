"""Find the dates that the next run rebuilds, by a simulation of its jobs on the ledger."""

import datetime as dt
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

from batchml.config import Pipeline
from batchml.config.definitions import INGESTED, Table, definition_of, digest
from batchml.lake import owed
from batchml.lake.ledger import Entry, Ledger
from batchml.lake.owed import Deliveries, Horizon, Owed

Rebuilt = Mapping[Table, list[Owed]]
"""The owed dates of each table, oldest first."""
AFTER_SCORING: tuple[Table, ...] = ("predictions", "drift")


@dataclass(frozen=True)
class Run:
    """The simulated run: its input, and the dates it may work on."""

    pipeline: Pipeline
    horizon: Horizon
    deliveries: Deliveries
    is_scoring: bool
    """False if no model can score, so that the tables after it stay unchanged."""


def rebuilt_dates(ledger: Ledger, run: Run) -> Rebuilt:
    """Return the dates that each table is rebuilt for, by the rules of the jobs.

    A date whose delivery is only requested again is left out: usually its rows are the same.
    """
    rebuilt: dict[Table, list[Owed]] = {}
    to_ingest = owed.owed_by_ingest(ledger, run.pipeline, run.horizon, (), run.deliveries)
    dates = _allowed(run, to_ingest)
    for table in INGESTED:
        rebuilt[table] = dates
        ledger = _after(ledger, run.pipeline, table, dates)

    for job, derivation in owed.DERIVATIONS.items():
        table = derivation.table
        if table in AFTER_SCORING and not run.is_scoring:
            continue
        owed_dates = owed.owed_downstream(ledger, run.pipeline, run.horizon, (), job)
        rebuilt[table] = _allowed(run, owed_dates)
        ledger = _after(ledger, run.pipeline, table, rebuilt[table])
    return rebuilt


def _allowed(run: Run, dates: Iterable[Owed]) -> list[Owed]:
    """Return the dates that one run works on, as catch_up.max_days limits them."""
    certain = [each for each in dates if each.reason != owed.RECHECKED]
    max_days = run.pipeline.catch_up.max_days
    return owed.limit_dates(certain, max_days, run.horizon.window_start)


def _after(
    ledger: Ledger,
    pipeline: Pipeline,
    table: Table,
    dates: Iterable[Owed],
) -> Ledger:
    """Return the ledger as it will be when ``dates`` of ``table`` are rebuilt."""
    definition = definition_of(pipeline, table)
    entries = []
    for each in dates:
        entry = ledger.get(table, each.date) or Entry(table, each.date, "done")
        source = _source(ledger, pipeline, table, entry)
        # Any other identity than the recorded one outdates what is made from the date.
        identity = digest(source, definition, "rebuilt")
        entries.append(
            replace(entry, state="done", identity=identity, made_from=source, definition=definition)
        )
    return Ledger.of([*ledger.entries.values(), *entries])


def _source(
    ledger: Ledger,
    pipeline: Pipeline,
    table: Table,
    entry: Entry,
) -> str:
    """Return what the rebuilt date is made from."""
    if table in INGESTED:
        return entry.made_from
    return owed.made_from(ledger, pipeline, table, entry.event_date)


@dataclass(frozen=True)
class DateRange:
    """Some dates of a table. ``rows`` are those recorded for them, None if a number is unknown."""

    dates: int
    first: dt.date
    last: dt.date
    rows: int | None


def date_range(entries: Mapping[dt.date, Entry], dates: Iterable[dt.date]) -> DateRange | None:
    """Return ``dates`` with the rows of their ``entries``; None without dates."""
    days = sorted(dates)
    if not days:
        return None
    rows: int | None = 0
    for date in days:
        entry = entries.get(date)
        if entry is None or entry.rows is None or rows is None:
            rows = None
        else:
            rows += entry.rows
    return DateRange(dates=len(days), first=days[0], last=days[-1], rows=rows)
