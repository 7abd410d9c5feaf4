"""ingest --accept: stop owing missing or rejected dates that will never come."""

from dataclasses import replace

from batchml.config.definitions import INGESTED, definition_of
from batchml.context import Context, Summary
from batchml.errors import NothingToDo
from batchml.job_line import AcceptDatesDetails
from batchml.lake.ledger import NO_ROWS, Entry


def run(context: Context) -> Summary:
    """Accept the dates that are missing or were rejected, and have no rows.

    Raise NothingToDo if there is none. A later run of ingest for such a date works on it as usual.
    """
    ledger = context.read_ledger()
    definition = definition_of(context.pipeline, "bronze")
    entries = []
    dates = []
    for date in context.dates:
        if not _may_be_accepted(ledger.get("bronze", date)):
            continue
        dates.append(date)
        for table in INGESTED:
            entry = ledger.get(table, date)
            if entry is None:
                entry = Entry(table, date, "missing", 0, NO_ROWS, definition=definition)
            entries.append(replace(entry, state="accepted"))
    if not dates:
        raise NothingToDo(
            f"{context.pipeline.name}: no date is missing in {context.start}..{context.end}"
        )
    context.record(entries)
    context.log("accepted as never coming: %s", ", ".join(map(str, dates)))
    return Summary(details=AcceptDatesDetails(accepted=tuple(dates)))


def _may_be_accepted(entry: Entry | None) -> bool:
    """Return True if the date of ``entry`` has no rows, and someone may still wait for it."""
    if entry is None:
        return True
    is_settled = entry.state in ("accepted", "empty")
    return not entry.has_rows and not is_settled
