"""ingest: the source's rows for the dates, as received and judged.

bronze keeps every row, silver those that pass every check, quarantine the others with their reasons. A date of which
too many rows fail stays as it was. Rows that belong to no date of their delivery are stored once, under its first day.
"""

import datetime as dt
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property

from pyspark.sql import Column, DataFrame, Row
from pyspark.sql import functions as F

from batchml.context import Context, Summary
from batchml.errors import BadData, NothingToDo
from batchml.job_line import IngestDetails
from batchml.lake.deliveries import TABLE, DeliveryRecord, read_records, write_records
from batchml.rows import checks, schemas
from batchml.rows.accounting import (
    Counts,
    RowCounts,
    require_dated,
    require_nothing_lost,
    too_many_rejected,
    unusable_dates,
)
from batchml.sources import SOURCES, Extract, Request, reading
from batchml.sources.delivery import DELIVERY, Fingerprint, Received


@dataclass(frozen=True)
class Work:
    """What was read, and what is known of earlier deliveries."""

    context: Context
    extract: Extract
    known: tuple[DeliveryRecord, ...]

    @cached_property
    def _by_key(self) -> dict[tuple[dt.date, str], DeliveryRecord]:
        return {(record.event_date, record.delivery): record for record in self.known}

    def before(self, delivery: Received) -> DeliveryRecord | None:
        """Return the record of the delivery as it was last stored."""
        return self._by_key.get((delivery.place, delivery.name))

    def has_changed(self, delivery: Received) -> bool:
        """Return True if the delivery is not known, or may be another one than when it was last stored."""
        record, found = self.before(delivery), delivery.fingerprint
        if record is None or found is None:
            return True
        return record.fingerprint != (found.bytes, found.modified, found.tag)


@dataclass(frozen=True)
class Decision:
    """What is written: whole dates, and leftovers on other dates by the number of their delivery.

    ``error`` is about the dates that are not written.
    """

    dates: list[dt.date]
    apart: dict[int, dt.date]
    records: dict[int, DeliveryRecord]
    error: BadData | None


def run(context: Context) -> Summary:
    """Replace the dates in bronze, silver and quarantine, but for those that are not fit to be used.

    A date the source has no rows for any more is emptied, as long as the source could answer for it.
    """
    pipeline, lake = context.pipeline, context.lake
    lake.require_writable()
    with lake.scratch(f"ingest-{context.application}") as scratch:
        with context.phase("read"):
            work = _read(context, scratch)
        judged = context.keep(checks.judge(_wanted(work), pipeline.checks))
        with (
            context.phase("check"),
            reading(f"the source of {pipeline.name} for {context.start}..{context.end}"),
        ):
            counts = _count(judged)
            decision = _decide(work, counts)
        with context.phase("write"):
            _reserve(work, decision)
            versions = _write(work, judged, decision)
        with context.phase("verify"):
            dates = decision.dates
            written = {
                table: lake.rows_by_date(table, version, dates)
                for table, version in versions.items()
            }
            require_nothing_lost(_stored(work, counts, decision), written)
            _require_accounted(context, versions, set(decision.apart.values()))
            versions |= _remember(work, decision)
    if decision.error is not None:
        raise decision.error
    return _summary(work, counts, decision, written, versions)


def _read(context: Context, scratch: str) -> Work:
    """Look at the source. Only the ends of files, CSV files and web pages are read yet."""
    known = tuple(read_records(context.lake))
    if not context.lake.exists("bronze"):
        # The first run was killed, or the tables were moved away. The places hold, but nothing is stored there.
        known = tuple(record.without_fingerprint() for record in known)
    request = Request(
        *(
            context.spark,
            context.pipeline,
            context.places.landing,
            context.start,
            context.end,
            context.clock,
        ),
        scratch=scratch,
        places={record.delivery: record.event_date for record in known},
    )
    extract = SOURCES[context.pipeline.source.kind](request)
    checks.require_sound(context.pipeline.checks, extract.frame, context.pipeline.name)
    for difference in extract.differences:
        context.say("schema: %s", difference)
    return Work(context, extract, known)


def _wanted(work: Work) -> DataFrame:
    """Return the rows of the dates, and the leftovers of deliveries that have changed or begin on one of the dates."""
    frame, context = work.extract.frame, work.context
    of_dates = F.col("event_date").between(F.lit(context.start), F.lit(context.end))
    if context.pipeline.source.event_time is None:
        return frame.where(of_dates)
    leftovers = [
        number
        for number, delivery in enumerate(work.extract.deliveries)
        if work.has_changed(delivery) or delivery.place in work.extract.dates
    ]
    return frame.where(F.col("in_period") & of_dates | _are_leftovers_of(leftovers))


def _are_leftovers_of(deliveries: Iterable[int]) -> Column:
    return ~F.col("in_period") & F.col(f"`{DELIVERY}`").isin(*deliveries)


def _count(judged: DataFrame) -> Counts:
    is_sound = (F.col("fits") & (F.size("misfits") == 0)).alias("is_sound")
    groups = (
        judged.groupBy("event_date", "in_period", DELIVERY, "reasons", "warnings", is_sound)
        .count()
        .collect()
    )
    counts = Counts()
    for group in groups:
        if group["in_period"]:
            counts.dates.setdefault(group["event_date"], RowCounts()).add(_counted(group))
        else:
            counts.leftovers.setdefault(group[DELIVERY], RowCounts()).add(_counted(group))
    return counts


def _counted(group: Row) -> RowCounts:
    size = group["count"]
    rejected = size if group["reasons"] else 0
    damaged = 0 if group["is_sound"] else size
    reasons = Counter(dict.fromkeys(group["reasons"], size))
    warnings = Counter(dict.fromkeys(group["warnings"], size))
    return RowCounts(size, rejected, damaged, reasons, warnings)


def _decide(work: Work, counts: Counts) -> Decision:
    """Decide what is written. Raise NothingToDo without rows, BadData if a delivery or every date is unusable."""
    context, extract = work.context, work.extract
    pipeline, period = context.pipeline, context.pipeline.source.period
    nothing = NothingToDo(
        f"{pipeline.name}: the source has no rows for {context.start}..{context.end}"
    )
    if not counts.dates and not counts.leftovers:
        raise nothing  # Spark forgets what it has observed if no row is left
    records = {
        number: _record(delivery, counts) for number, delivery in enumerate(extract.deliveries)
    }
    dates = {date: RowCounts() for date in extract.dates}
    for date, found in counts.dates.items():
        dates[date].add(found)
    for number, found in counts.leftovers.items():
        record = records[number]
        if period == "day":
            dates[record.event_date].add(found)  # the delivery is the date
        else:
            require_dated(pipeline, record.delivery, record.rows, found)

    total = sum(found.rows for found in dates.values())
    rejected = sum(found.rejected for found in dates.values())
    if not total:
        undated = sum(found.rows for found in counts.leftovers.values())
        raise NothingToDo(
            nothing.message,
            f"{undated} rows without a date are stored with the first date that has rows",
        )
    context.say("%d rows, %d rejected (%.2f %%)", total, rejected, 100 * rejected / total)

    bad = unusable_dates(pipeline, dates)
    good = sorted(extract.dates - set(bad))
    with_rows = [date for date in good if dates[date].rows]
    error = too_many_rejected(pipeline, dates, bad, with_rows) if bad else None
    if error is not None and not with_rows:
        raise error
    return Decision(good, _apart(work, good, records), records, error)


def _record(delivery: Received, counts: Counts) -> DeliveryRecord:
    """Return the record of a delivery. Raise BadData if some of its rows are not accounted for."""
    if delivery.observation is not None:
        observed = delivery.observation.get
        dated, leftover = observed["dated"], observed["leftover"]
    elif delivery.rows is not None:
        dated, leftover = delivery.rows, 0
    else:
        dated, leftover = counts.dates.get(delivery.place, RowCounts()).rows, 0
    rows = dated + leftover if delivery.rows is None else delivery.rows
    if rows != dated + leftover:
        raise BadData(
            f"{delivery.name}: {rows} rows were delivered, but {dated} dated and {leftover} other rows were read",
            remedy="check that the file did not change meanwhile, then run the job again",
        )
    found = delivery.fingerprint or Fingerprint()
    return DeliveryRecord(
        delivery.place, delivery.name, found.bytes, found.modified, found.tag, rows, dated, leftover
    )


def _apart(
    work: Work, good: list[dt.date], records: Mapping[int, DeliveryRecord]
) -> dict[int, dt.date]:
    """Return where leftovers are replaced on a date whose other rows stay, by the number of their delivery.

    Only changed deliveries are, and only if they have leftovers, or may have had some.
    """
    if work.context.pipeline.source.period == "day":
        return {}
    apart: dict[int, dt.date] = {}
    for number, delivery in enumerate(work.extract.deliveries):
        if delivery.place in good or not work.has_changed(delivery):
            continue
        before = work.before(delivery)
        stored = _rows_at(work.context, delivery.place) if before is None else before.leftover_rows
        if records[number].leftover_rows or stored:
            apart[number] = delivery.place
    return apart


def _rows_at(context: Context, date: dt.date) -> int:
    lake = context.lake
    if not lake.exists("bronze"):
        return 0
    return lake.rows_by_date("bronze", lake.version("bronze"), [date]).get(date, 0)


def _reserve(work: Work, decision: Decision) -> None:
    """Record the place of leftovers before they are stored there, without a fingerprint.

    If this run is killed, the next one finds them by it. Of a month or year the place is known anyway, and a delivery
    without a record is taken to have some.
    """
    period, reserved = work.context.pipeline.source.period, []
    for number, delivery in enumerate(work.extract.deliveries):
        record, before = decision.records[number], work.before(delivery)
        is_stored = number in decision.apart or delivery.place in decision.dates
        is_found = before.leftover_rows > 0 if before is not None else period != "snapshot"
        if period != "day" and record.leftover_rows and is_stored and not is_found:
            reserved.append(record.without_fingerprint())
    if reserved:
        write_records(work.context.lake, reserved, work.known)


def _write(work: Work, judged: DataFrame, decision: Decision) -> dict[str, int]:
    """Replace the dates, and leftovers on other dates, in the three tables. Return their versions."""
    pipeline, extract = work.context.pipeline, work.extract
    placed = [
        number
        for number, delivery in enumerate(extract.deliveries)
        if delivery.place in decision.dates
    ]
    rows = judged
    if set(decision.dates) != extract.dates:
        of_dates = F.col("in_period") & F.col("event_date").isin(decision.dates)
        rows = judged.where(of_dates | _are_leftovers_of([*placed, *decision.apart]))
    part = ""
    if decision.apart:
        days = ", ".join(f"DATE'{date}'" for date in sorted(set(decision.apart.values())))
        part = f"(event_date IN ({days}) AND NOT coalesce(to_date(`{pipeline.source.event_time}`) = event_date, false))"
    parts = {
        "bronze": (rows, schemas.bronze(pipeline), part),
        "silver": (rows.where(checks.passes()), schemas.silver(pipeline), ""),
        "quarantine": (rows.where(~checks.passes()), schemas.quarantine(pipeline), part),
    }
    return {
        table: work.context.lake.replace(
            table, schemas.select(frame, schema), schema, decision.dates, part
        )
        for table, (frame, schema, part) in parts.items()
    }


def _stored(work: Work, counts: Counts, decision: Decision) -> Counter[dt.date]:
    """Return how many rows must be stored under each date that was written."""
    rows = Counter(
        {date: counts.dates[date].rows for date in decision.dates if date in counts.dates}
    )
    for number, found in counts.leftovers.items():
        place = work.extract.deliveries[number].place
        if place in decision.dates:
            rows[place] += found.rows
    return rows


def _require_accounted(context: Context, versions: Mapping[str, int], dates: set[dt.date]) -> None:
    """Raise BadData unless bronze = silver + quarantine for dates of which only the leftovers were replaced."""
    if not dates:
        return
    written = {
        table: context.lake.rows_by_date(table, version, dates)
        for table, version in versions.items()
    }
    try:
        require_nothing_lost(Counter(written["bronze"]), written)
    except BadData as error:
        # Of these dates this run has replaced the leftovers only, in bronze and quarantine alike.
        raise BadData(
            f"{context.pipeline.name}: an earlier run was killed between two tables",
            *error.details,
            remedy=f"run ingest for {', '.join(map(str, sorted(dates)))}, then run this job again",
        ) from error


def _remember(work: Work, decision: Decision) -> dict[str, int]:
    """Write the records of deliveries that were stored and are not known as they are. Return the table's version."""
    new = []
    for number, delivery in enumerate(work.extract.deliveries):
        record, before = decision.records[number], work.before(delivery)
        is_stored = (
            record.event_date in decision.dates or work.context.pipeline.source.period != "day"
        )
        is_known = before is not None and before.is_like(record)
        if is_stored and not is_known:
            new.append(record)
    return {TABLE: write_records(work.context.lake, new, work.known)} if new else {}


def _summary(
    work: Work,
    counts: Counts,
    decision: Decision,
    written: Mapping[str, Mapping[dt.date, int]],
    versions: dict[str, int],
) -> Summary:
    """Return what was done: rows of the dates, and leftovers that were stored under other dates."""
    total = RowCounts()
    for date in decision.dates:
        total.add(counts.dates.get(date, RowCounts()))
    rows = {table: sum(by_date.values()) for table, by_date in written.items()}
    leftover_rows = 0
    for number, found in counts.leftovers.items():
        is_apart = number in decision.apart
        if is_apart or work.extract.deliveries[number].place in decision.dates:
            total.add(found)
            leftover_rows += found.rows
        if is_apart:
            rows["bronze"] += found.rows
            rows["quarantine"] += found.rows
    return Summary(
        rows_in=total.rows,
        rows_out=rows["silver"] + rows["quarantine"],
        tables=versions,
        details=IngestDetails(
            rows=rows,
            leftover_rows=leftover_rows,
            rejected=dict(total.reasons.most_common()),
            warned=dict(total.warnings.most_common()),
            schema_differences=tuple(work.extract.differences),
            missing_files=tuple(work.extract.missing),
        ),
    )
