"""Make the map of days of a pipeline from its ledger, without Spark."""

import datetime as dt
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from batchml.clients import landing
from batchml.config import Pipeline, Places
from batchml.config.definitions import INGESTED
from batchml.config.sources import days_between
from batchml.lake import owed
from batchml.lake.ledger import IN_WORK, Entry, Ledger
from batchml.lake.owed import Deliveries, Horizon
from batchml.report.days import TABLES, Cell, DayMap, State
from batchml.workflow.catch_up import deliveries_of
from batchml.workflow.freshness import REASONS as UNUSABLE
from batchml.workflow.freshness import UNFINISHED, due_snapshots, keeps_up
from batchml.workflow.monitored import Monitored, read_monitored
from batchml.workflow.stored import Stored

NOT_ARRIVED = UNUSABLE["missing"]
REASONS = {**UNUSABLE, "accepted": "accepted that it never comes"}
ALARM = "its drift is at the level of an alarm"
OPTIONAL = ("predictions", "drift")
"""Tables that no date owes before there is a champion."""
Reasons = Mapping[str, Mapping[dt.date, str]]
"""Why dates are owed, by table."""


@dataclass(frozen=True)
class Span:
    """The dates of a map: ``days`` up to ``end``, or to the date that is due by ``yesterday``.

    Drift levels and errors of the last ``monitored_days`` are read, from one file per date.
    """

    days: int
    yesterday: dt.date
    end: dt.date | None = None
    monitored_days: int = 30


def map_of(stored: Stored, span: Span) -> DayMap | None:
    """Return the map of a pipeline by what is stored of it; None before the first run."""
    pipeline, ledger = stored.pipeline, stored.ledger
    newest = last_date(ledger, pipeline, span.yesterday)
    if newest is None:
        return None
    last = span.end or newest
    first = last - dt.timedelta(days=span.days - 1)
    dates = days_between(first, last)
    reasons = _reasons(stored.places, pipeline, ledger, last)
    monitored = read_monitored(stored.tables, dates, span.monitored_days)
    cells = make_cells(ledger, dates, reasons, monitored)
    return DayMap(pipeline.name, dates, cells, monitored.unreadable)


def last_date(ledger: Ledger, pipeline: Pipeline, yesterday: dt.date) -> dt.date | None:
    """Return ``yesterday`` for a scheduled pipeline that kept up with time, else its newest date.

    Return None before the first run.
    """
    entries = ledger.of_table("bronze")
    if not entries:
        return None
    newest = max(entries)
    if not keeps_up(ledger, pipeline):
        return newest
    return max(newest, yesterday)


def make_cells(
    ledger: Ledger,
    dates: Sequence[dt.date],
    reasons: Reasons,
    monitored: Monitored,
) -> dict[tuple[str, dt.date], Cell]:
    """Return the cells of ``dates`` from values that were read before, by table and date."""
    cells = {}
    for table in TABLES:
        entries = ledger.of_table(table)
        if table in OPTIONAL and not entries:
            continue

        owed_dates = reasons.get(table, {})
        for date in dates:
            entry = entries.get(date)
            reason = owed_dates.get(date, "")
            cell = _cell(table, date, entry, reason)
            if cell is not None:
                cells[table, date] = _with_monitoring(cell, monitored)
    return cells


def _cell(table: str, date: dt.date, entry: Entry | None, reason: str) -> Cell | None:
    """Return the state of the date; None if nothing is expected of it."""
    if entry is None:
        return _cell_without_entry(table, date, reason)
    if entry.made_from == IN_WORK:
        return _cell_in_work(entry)
    state: State = entry.state
    if reason and state in ("done", "empty"):
        state = "outdated"
    if not reason:
        reason = REASONS.get(state, "")
    return Cell(date, table, state, reason, entry.rows, run=entry.run)


def _cell_in_work(entry: Entry) -> Cell:
    """Return the cell of a date that a run writes, or wrote when it was ended."""
    state: State = "owed"
    if entry.state in ("done", "empty"):
        state = "outdated"
    return Cell(entry.event_date, entry.table_name, state, UNFINISHED, run=entry.run)


def _cell_without_entry(table: str, date: dt.date, reason: str) -> Cell | None:
    if not reason:
        return None
    state: State = "owed"
    if reason == NOT_ARRIVED:
        state = "missing"
    return Cell(date, table, state, reason)


def _with_monitoring(cell: Cell, monitored: Monitored) -> Cell:
    """Return the cell with the version of a scored date, and level and error of a monitored one."""
    if cell.table not in OPTIONAL or not cell.rows:
        return cell
    cell = replace(cell, version=monitored.versions.get(cell.date))
    if cell.table == "predictions":
        return cell

    level = monitored.levels.get(cell.date)
    error = monitored.errors.get(cell.date)
    reason = cell.reason
    if level == "alarm" and not reason:
        reason = ALARM
    return replace(cell, level=level, error=error, reason=reason)


def _reasons(
    places: Places,
    pipeline: Pipeline,
    ledger: Ledger,
    end: dt.date,
) -> dict[str, dict[dt.date, str]]:
    """Return why dates up to ``end`` are owed, by table, as the next run would see them."""
    horizon = owed.horizon(ledger, pipeline, end, None)
    if horizon is None:
        return {}
    reasons: dict[str, dict[dt.date, str]] = {}
    ingest_reasons = _ingest_reasons(places, pipeline, ledger, horizon)
    for table in INGESTED:
        reasons[table] = ingest_reasons
    for job, derivation in owed.DERIVATIONS.items():
        late = owed.owed_downstream(ledger, pipeline, horizon, (), job)
        reasons[derivation.table] = {each.date: each.reason for each in late}
    return reasons


def _ingest_reasons(
    places: Places,
    pipeline: Pipeline,
    ledger: Ledger,
    horizon: Horizon,
) -> dict[dt.date, str]:
    """Return why dates are to be ingested. A date that is only checked again is not owed."""
    if pipeline.is_snapshot:
        missed = _missed_snapshots(pipeline, ledger, horizon)
        return dict.fromkeys(missed, owed.MISSED)

    deliveries = _deliveries(places, pipeline, ledger, horizon)
    late = owed.owed_by_ingest(ledger, pipeline, horizon, (), deliveries)
    reasons = {}
    for each in late:
        if each.reason != owed.RECHECKED:
            reasons[each.date] = each.reason
    known = ledger.of_table("bronze")
    for date in horizon.dates(()):
        if date not in known and pipeline.source.has_delivery(date):
            reasons.setdefault(date, NOT_ARRIVED)
    return reasons


def _missed_snapshots(
    pipeline: Pipeline,
    ledger: Ledger,
    horizon: Horizon,
) -> list[dt.date]:
    """Return the dates without an entry for which a snapshot was due.

    Without a schedule, or after runs on old dates only, none was.
    """
    if not keeps_up(ledger, pipeline):
        return []
    known = ledger.of_table("bronze")
    missed = []
    for date in due_snapshots(ledger, horizon.end):
        if date not in known and pipeline.source.has_delivery(date):
            missed.append(date)
    return missed


def _deliveries(
    places: Places,
    pipeline: Pipeline,
    ledger: Ledger,
    horizon: Horizon,
) -> Deliveries:
    """Return the deliveries in a local landing folder. Other sources take too long to list."""
    if not landing.is_local(places.landing):
        return Deliveries({}, is_complete=False)
    dates = owed.dates_to_check(ledger, horizon)
    return deliveries_of(pipeline, places, dates)
