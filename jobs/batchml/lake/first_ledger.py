"""Create the ledger of a pipeline whose tables are older than its ledger."""

import datetime as dt
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

from batchml.clients.stored_files import Fingerprint
from batchml.config import Pipeline
from batchml.config.definitions import INGESTED, Table, definition_of
from batchml.config.sources import days_between
from batchml.lake.ledger import NO_ROWS, Entry, Ledger, LedgerTable, State
from batchml.lake.owed import DERIVATIONS
from batchml.lake.owed import made_from as made_from_of
from batchml.lake.row_counts import all_rows_by_date, small_table, table_exists

DERIVED = tuple(each.table for each in DERIVATIONS.values())
"""In the order of a day: each is made from silver or from one before it."""


def read_ledger(folder: str, pipeline: Pipeline) -> Ledger:
    """Return the ledger in ``folder``. Before it is created, derive it from the tables.

    Leave out the entries of a table that was moved away, or its dates would never be made again.
    """
    ledger = LedgerTable(folder).read()
    if ledger is None:
        return ledger_from_tables(folder, pipeline)
    return ledger.without(_moved_away(folder, ledger))


def _moved_away(folder: str, ledger: Ledger) -> set[str]:
    """Return the tables that have rows by the ledger, but do not exist."""
    with_rows = {entry.table_name for entry in ledger.entries.values() if entry.rows}
    return {name for name in with_rows if not table_exists(f"{folder}/{name}")}


def write_entries(folder: str, pipeline: Pipeline, entries: Sequence[Entry]) -> None:
    """Replace dates in the ledger. Create it first if it does not exist."""
    create_ledger(folder, pipeline)
    if entries:
        LedgerTable(folder).write(entries)


def create_ledger(folder: str, pipeline: Pipeline) -> None:
    """Create the ledger of a pipeline that has tables, unless it exists."""
    table = LedgerTable(folder)
    if table.exists():
        return
    ledger = ledger_from_tables(folder, pipeline)
    table.write(list(ledger.entries.values()))


def ledger_from_tables(folder: str, pipeline: Pipeline) -> Ledger:
    """Return the entries that follow from the tables in ``folder``; none without tables.

    Nothing becomes owed by it: a date without rows counts as accepted, and every date as made from
    its present input by the present definition.
    """
    bronze = all_rows_by_date(f"{folder}/bronze")
    if not bronze:
        return Ledger()

    deliveries = _deliveries(folder)
    days = days_between(min(bronze), max(bronze))
    entries: list[Entry] = []
    for table in INGESTED:
        rows = bronze
        if table != "bronze":
            rows = all_rows_by_date(f"{folder}/{table}")
        for entry in _entries(pipeline, table, days, rows):
            made_from = deliveries.get(pipeline.source.first_day(entry.event_date), "")
            # A date of silver or quarantine without rows has been ingested too.
            state = _state(entry.event_date in bronze)
            entries.append(replace(entry, state=state, made_from=made_from))

    for table in DERIVED:
        rows = all_rows_by_date(f"{folder}/{table}")
        dates = sorted(bronze.keys() | rows.keys())
        ledger = Ledger.of(entries)
        for entry in _entries(pipeline, table, dates, rows):
            made_from = made_from_of(ledger, pipeline, table, entry.event_date)
            entries.append(replace(entry, made_from=made_from))
    return Ledger.of(entries)


def _entries(
    pipeline: Pipeline,
    table: Table,
    dates: Iterable[dt.date],
    rows: Mapping[dt.date, int | None],
) -> list[Entry]:
    """Return the entries of ``dates``, of which those in ``rows`` are done."""
    definition = definition_of(pipeline, table)
    entries = []
    for date in dates:
        has_rows = date in rows
        entry = Entry(
            table,
            date,
            _state(has_rows),
            rows=rows.get(date, 0),
            identity="" if has_rows else NO_ROWS,
            definition=definition,
        )
        entries.append(entry)
    return entries


def _state(is_done: bool) -> State:
    if is_done:
        return "done"
    return "accepted"


def _deliveries(folder: str) -> dict[dt.date, str]:
    """Return the fingerprint of each stored delivery, by the first day of its period."""
    known = {}
    for row in small_table(f"{folder}/deliveries") or []:
        stored = Fingerprint(row["bytes"], row["modified"], row["tag"])
        known[row["event_date"]] = stored.to_text()
    return known
