"""Count the rows read and written, and decide which dates become part of the tables."""

import datetime as dt
from collections import Counter
from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace

from pyspark.sql import functions as F

from batchml.clients.stored_files import Fingerprint
from batchml.config.pipeline import OUTSIDE_PERIOD
from batchml.context import Context
from batchml.errors import BadData
from batchml.lake.deliveries import DeliveryRecord
from batchml.lake.staging import Staged
from batchml.rows.accounting import (
    Counts,
    RowCounts,
    require_dated,
    too_many_rejected,
    unusable_dates,
)
from batchml.rows.reasons import no_reasons
from batchml.sources.delivery import Received, RowsRead
from batchml.workflow.ingested_dates import IngestedDates
from batchml.workflow.source_rows import SourceRows, no_rows


@dataclass(frozen=True)
class Decision:
    """The rows that become part of the tables.

    These are whole ``dates``, and the leftovers at the places ``separate_leftovers``, whose other
    rows stay. ``records`` has the record of each delivery by its place. ``error`` is about the
    dates that stay unchanged.
    """

    dates: list[dt.date]
    separate_leftovers: set[dt.date]
    records: dict[dt.date, DeliveryRecord]
    error: BadData | None
    rejected: frozenset[dt.date]
    unchanged: frozenset[dt.date] = frozenset()

    def leave(self, unchanged: frozenset[dt.date]) -> "Decision":
        """Return the decision that does not write dates whose rows are ``unchanged``."""
        unchanged &= set(self.dates)
        dates = [date for date in self.dates if date not in unchanged]
        return replace(self, dates=dates, unchanged=unchanged)

    def is_stored(self, date: dt.date) -> bool:
        """Return True if the tables have the rows of ``date`` as they were delivered."""
        return date in self.dates or date in self.unchanged


def count_rows(source_rows: SourceRows, bronze: Staged, quarantine: Staged) -> Counts:
    """Return the number of rows by date and of leftovers by place, with reasons and warnings."""
    pipeline = source_rows.context.pipeline
    counts = Counts()
    if not bronze.rows:
        return counts
    # Only bronze has the warnings of rows that are not rejected.
    has_warnings = any(check.on_fail == "warn" for check in pipeline.checks)
    if has_warnings:
        checked, warnings = bronze.read(bronze.rows), F.col("warnings")
    else:
        checked, warnings = quarantine.read(quarantine.rows), no_reasons()
    groups = checked.groupBy("event_date", "reasons", warnings.alias("warnings")).count()

    for date, reasons, warned, size in groups.collect():
        rows = RowCounts(
            rows=size,
            reasons=Counter(dict.fromkeys(reasons, size)),
            warnings=Counter(dict.fromkeys(warned, size)),
        )
        if reasons:
            rows.rejected = size
        if not pipeline.damage_reasons.isdisjoint(reasons):
            rows.damaged = size
        by_date = counts.dates
        if OUTSIDE_PERIOD in reasons:
            by_date = counts.leftovers
        by_date.setdefault(date, RowCounts()).add(rows)

    for date, size in bronze.rows.items():
        leftovers = counts.leftovers.get(date, RowCounts())
        if size > leftovers.rows:
            counts.dates.setdefault(date, RowCounts()).rows = size - leftovers.rows
    return counts


def decide(source_rows: SourceRows, counts: Counts, ledger: IngestedDates) -> Decision:
    """Decide which dates are written.

    Raise NothingToDo without rows, and BadData if a delivery or every date is unusable.
    """
    context, extract = source_rows.context, source_rows.extract
    pipeline = context.pipeline
    records = {}
    for delivery in extract.deliveries:
        records[delivery.place] = _delivery_record(source_rows, delivery, counts)
    dates = _rows_by_date(source_rows, counts, records)

    total = sum(rows.rows for rows in dates.values())
    rejected = sum(rows.rejected for rows in dates.values())
    if not total and not any(map(ledger.had_rows, extract.dates)):
        undated = sum(leftovers.rows for leftovers in counts.leftovers.values())
        raise no_rows(
            context,
            f"{undated} rows without a date are stored with the first date that has rows",
        )
    share = 100 * rejected / max(total, 1)
    context.log("%d rows, %d rejected (%.2f %%)", total, rejected, share)

    bad = unusable_dates(pipeline, dates)
    good = sorted(extract.dates - set(bad))
    with_rows = [date for date in good if dates[date].rows]
    error = None
    if bad:
        error = too_many_rejected(pipeline, dates, bad, with_rows)
    if error is not None and not with_rows:
        raise error
    leftover_places = _separate_leftovers(source_rows, good, records)
    return Decision(good, leftover_places, records, error, frozenset(bad))


def _rows_by_date(
    source_rows: SourceRows, counts: Counts, records: Mapping[dt.date, DeliveryRecord]
) -> dict[dt.date, RowCounts]:
    """Return the row counts of every date, with the leftovers of daily deliveries.

    Raise BadData if too many rows of another delivery have no date in its period.
    """
    pipeline = source_rows.context.pipeline
    dates = {date: RowCounts() for date in source_rows.extract.dates}
    for date, rows in counts.dates.items():
        dates[date].add(rows)
    for place, leftovers in counts.leftovers.items():
        if pipeline.source.period == "day":
            dates[place].add(leftovers)  # a daily delivery is the date itself
        else:
            record = records[place]
            require_dated(pipeline, record.delivery, record.rows, leftovers)
    return dates


def _delivery_record(source_rows: SourceRows, delivery: Received, counts: Counts) -> DeliveryRecord:
    """Return the record of a delivery. Raise BadData if some of its rows were not written."""
    stored = _stored_rows(source_rows, delivery, counts)
    read = delivery.rows_read() or stored
    if delivery.observation is None and delivery.place not in source_rows.extract.dates:
        # All its rows belong to its first day, which was not requested.
        read = RowsRead(delivery.rows or 0, 0, 0)
    problem = _unaccounted(source_rows, delivery, read, stored)
    if problem:
        read = delivery.count_again() or read
        problem = _unaccounted(source_rows, delivery, read, stored)
    if problem:
        raise BadData(
            f"{delivery.name}: {problem}",
            remedy="check that the file does not change while it is read, then rerun the job",
        )
    fingerprint = delivery.fingerprint or Fingerprint()
    return DeliveryRecord(
        delivery.place,
        delivery.name,
        fingerprint.bytes,
        fingerprint.modified,
        fingerprint.tag,
        read.dated + read.leftover,
        read.dated,
        read.leftover,
    )


def _stored_rows(source_rows: SourceRows, delivery: Received, counts: Counts) -> RowsRead:
    """Return how many rows of a delivery were written."""
    source = source_rows.context.pipeline.source
    is_all = source.period == "snapshot" and source.event_time is not None
    dated = 0
    for date, rows in counts.dates.items():
        if is_all or source.first_day(date) == delivery.place:
            dated += rows.rows
    leftover = counts.leftovers.get(delivery.place, RowCounts()).rows
    return RowsRead(dated, leftover, dated)


def _unaccounted(
    source_rows: SourceRows, delivery: Received, read: RowsRead, stored: RowsRead
) -> str:
    """Return how the rows delivered, read and written differ; "" if they agree."""
    if delivery.rows not in (None, read.dated + read.leftover):
        return (
            f"{delivery.rows} rows were delivered, but {read.dated} dated and "
            f"{read.leftover} other rows were read"
        )
    if read.requested != stored.requested:
        return f"{read.requested} rows of these dates were read, but {stored.requested} written"
    if delivery.place in source_rows.places_of_leftovers and read.leftover != stored.leftover:
        return f"{read.leftover} rows without a date were read, but {stored.leftover} written"
    return ""


def _separate_leftovers(
    source_rows: SourceRows, good: Collection[dt.date], records: Mapping[dt.date, DeliveryRecord]
) -> set[dt.date]:
    """Return the places of leftovers that are replaced on a date whose other rows stay.

    These are the places of changed deliveries that have leftovers, or may have had some.
    """
    source = source_rows.context.pipeline.source
    if source.period == "day" or source.event_time is None:
        return set()
    separate_leftovers: set[dt.date] = set()
    for delivery in source_rows.extract.deliveries:
        if delivery.place in good or not source_rows.has_changed(delivery):
            continue
        before = source_rows.before(delivery)
        if before is None:
            stored = _bronze_rows(source_rows.context, delivery.place)
        else:
            stored = before.leftover_rows
        if records[delivery.place].leftover_rows or stored:
            separate_leftovers.add(delivery.place)
    return separate_leftovers


def _bronze_rows(context: Context, date: dt.date) -> int:
    lake = context.lake
    if not lake.exists("bronze"):
        return 0
    return lake.rows_by_date("bronze", lake.latest_version("bronze"), [date]).get(date, 0)
