"""Count the rows read and written, and decide which dates become part of the tables."""

import datetime as dt
from collections import Counter
from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace

from pyspark.sql import Row
from pyspark.sql import functions as F

from batchml.clients.stored_files import Fingerprint
from batchml.config import Pipeline
from batchml.config.columns import OUTSIDE_PERIOD
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
        unchanged = unchanged.intersection(self.dates)
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
    for group in _count_by_reasons(pipeline, bronze, quarantine):
        by_date = counts.dates
        if OUTSIDE_PERIOD in group["reasons"]:
            by_date = counts.leftovers
        total = by_date.setdefault(group["event_date"], RowCounts())
        total.add(_row_counts(pipeline, group))

    for date, size in bronze.rows.items():
        leftovers = counts.leftovers.get(date, RowCounts())
        dated = size - leftovers.rows
        if dated > 0:
            counts.dates.setdefault(date, RowCounts()).rows = dated
    return counts


def _count_by_reasons(
    pipeline: Pipeline,
    bronze: Staged,
    quarantine: Staged,
) -> list[Row]:
    """Return date, reasons, warnings and size of each group of rows with the same ones."""
    # Only bronze has the warnings of rows that are not rejected.
    has_warnings = any(check.on_fail == "warn" for check in pipeline.checks)
    if has_warnings:
        checked = bronze.read(bronze.rows)
        warnings = F.col("warnings")
    else:
        checked = quarantine.read(quarantine.rows)
        warnings = no_reasons()
    groups = checked.groupBy("event_date", "reasons", warnings.alias("warnings"))
    size = F.count("*").alias("size")
    return groups.agg(size).collect()


def _row_counts(pipeline: Pipeline, group: Row) -> RowCounts:
    """Return the counts of a group of rows with the same reasons and warnings."""
    size = group["size"]
    reasons = group["reasons"]
    rows = RowCounts(
        rows=size,
        reasons=Counter(dict.fromkeys(reasons, size)),
        warnings=Counter(dict.fromkeys(group["warnings"], size)),
    )
    if reasons:
        rows.rejected = size
    if not pipeline.damage_reasons.isdisjoint(reasons):
        rows.damaged = size
    return rows


def decide(source_rows: SourceRows, counts: Counts, ledger: IngestedDates) -> Decision:
    """Decide which dates are written.

    Raise NothingToDo without rows, and BadData if a delivery or every date is unusable.
    """
    context = source_rows.context
    records = {}
    for delivery in source_rows.extract.deliveries:
        records[delivery.place] = _delivery_record(source_rows, delivery, counts)
    dates = _rows_by_date(source_rows, counts, records)

    total = RowCounts()
    for rows in dates.values():
        total.add(rows)
    if not total.rows and not ledger.any_had_rows(source_rows.extract.dates):
        undated = sum(leftovers.rows for leftovers in counts.leftovers.values())
        raise no_rows(
            context,
            f"{undated} rows without a date are stored with the first date that has rows",
        )
    percentage = 100 * total.rejected / max(total.rows, 1)
    context.log("%d rows, %d rejected (%.2f %%)", total.rows, total.rejected, percentage)

    bad = unusable_dates(context.pipeline, dates)
    good = sorted(source_rows.extract.dates.difference(bad))
    error = _rejection(context.pipeline, dates, bad, good)
    separate_leftovers = _separate_leftovers(source_rows, good, records)
    return Decision(good, separate_leftovers, records, error, frozenset(bad))


def _rejection(
    pipeline: Pipeline,
    dates: Mapping[dt.date, RowCounts],
    bad: Collection[dt.date],
    good: Collection[dt.date],
) -> BadData | None:
    """Return the error about the ``bad`` dates; None without any. Raise it if no other has rows."""
    if not bad:
        return None
    with_rows = [date for date in good if dates[date].rows]
    error = too_many_rejected(pipeline, dates, bad, with_rows)
    if not with_rows:
        raise error
    return error


def _rows_by_date(
    source_rows: SourceRows,
    counts: Counts,
    records: Mapping[dt.date, DeliveryRecord],
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


def _delivery_record(
    source_rows: SourceRows,
    delivery: Received,
    counts: Counts,
) -> DeliveryRecord:
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
    return _new_record(delivery, read)


def _new_record(delivery: Received, read: RowsRead) -> DeliveryRecord:
    fingerprint = delivery.fingerprint or Fingerprint()
    return DeliveryRecord(
        event_date=delivery.place,
        delivery=delivery.name,
        bytes=fingerprint.bytes,
        modified=fingerprint.modified,
        tag=fingerprint.tag,
        rows=read.dated + read.leftover,
        dated_rows=read.dated,
        leftover_rows=read.leftover,
    )


def _stored_rows(
    source_rows: SourceRows,
    delivery: Received,
    counts: Counts,
) -> RowsRead:
    """Return how many rows of a delivery were written."""
    source = source_rows.context.pipeline.source
    has_all_dates = source.period == "snapshot" and source.event_time is not None
    dated = 0
    for date, rows in counts.dates.items():
        if has_all_dates or source.first_day(date) == delivery.place:
            dated += rows.rows
    leftovers = counts.leftovers.get(delivery.place, RowCounts())
    return RowsRead(dated=dated, leftover=leftovers.rows, requested=dated)


def _unaccounted(
    source_rows: SourceRows,
    delivery: Received,
    read: RowsRead,
    stored: RowsRead,
) -> str:
    """Return how the rows delivered, read and written differ; "" if they agree."""
    read_rows = read.dated + read.leftover
    if delivery.rows is not None and delivery.rows != read_rows:
        return (
            f"{delivery.rows} rows were delivered, but {read.dated} dated and "
            f"{read.leftover} other rows were read"
        )
    if read.requested != stored.requested:
        return f"{read.requested} rows of these dates were read, but {stored.requested} written"
    are_leftovers_stored = delivery.place in source_rows.places_of_leftovers
    if are_leftovers_stored and read.leftover != stored.leftover:
        return f"{read.leftover} rows without a date were read, but {stored.leftover} written"
    return ""


def _separate_leftovers(
    source_rows: SourceRows,
    good: Collection[dt.date],
    records: Mapping[dt.date, DeliveryRecord],
) -> set[dt.date]:
    """Return the places of leftovers that are replaced on a date whose other rows stay.

    These are the places of changed deliveries that have leftovers, or may have had some.
    """
    source = source_rows.context.pipeline.source
    if source.period == "day" or source.event_time is None:
        return set()
    separate_leftovers: set[dt.date] = set()
    for delivery in source_rows.extract.deliveries:
        place = delivery.place
        if place in good or not source_rows.has_changed(delivery):
            continue
        stored = _stored_leftovers(source_rows, delivery)
        if stored or records[place].leftover_rows:
            separate_leftovers.add(place)
    return separate_leftovers


def _stored_leftovers(source_rows: SourceRows, delivery: Received) -> int:
    """Return the leftovers of the last stored version; all rows at its place if it is unknown."""
    before = source_rows.before(delivery)
    if before is not None:
        return before.leftover_rows
    lake = source_rows.context.lake
    if not lake.exists("bronze"):
        return 0
    rows = lake.rows_by_date("bronze", lake.latest_version("bronze"), [delivery.place])
    return rows.get(delivery.place, 0)
