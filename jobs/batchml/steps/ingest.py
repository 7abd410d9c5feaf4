"""ingest: the source's rows for the dates, as received and judged.

bronze keeps every row with the names of the checks it fails, silver those that pass every check,
quarantine the others. A date of which too many rows fail stays as it was. Rows that belong to no
date of their delivery are stored once, under its first day.

The source is read once: bronze's files are written from it, the other tables' from these. All are
counted and compared before one of them is committed.
"""

import datetime as dt
from collections import Counter
from collections.abc import Collection, Mapping
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass, replace
from functools import cached_property

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from batchml.clients.stored_files import Fingerprint
from batchml.config.pipeline import LINEAGE, OUTSIDE_PERIOD
from batchml.context import Context, Summary
from batchml.errors import BadData, Missing, NothingToDo
from batchml.job_line import IngestDetails
from batchml.lake.deliveries import TABLE, DeliveryRecord, read_records, write_records
from batchml.lake.staging import Staged
from batchml.lake.tables import dates_condition
from batchml.rows import checks, schemas
from batchml.rows.accounting import (
    Counts,
    RowCounts,
    require_dated,
    require_nothing_lost,
    too_many_rejected,
    unusable_dates,
)
from batchml.rows.content import content_by_date
from batchml.rows.dates import is_one_of
from batchml.rows.reasons import no_reasons
from batchml.sources import SOURCES, Extract, Request, reading
from batchml.sources.delivery import Received, RowsRead
from batchml.workflow.ingested_dates import IngestedDates

TABLES = {"bronze": schemas.bronze, "silver": schemas.silver, "quarantine": schemas.quarantine}


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

    @cached_property
    def places_of_leftovers(self) -> set[dt.date]:
        """Return the places of deliveries that have changed or begin on one of the dates.

        Their leftovers are read.
        """
        if self.context.pipeline.source.event_time is None:
            return set()
        return {
            delivery.place
            for delivery in self.extract.deliveries
            if self.has_changed(delivery) or delivery.place in self.extract.dates
        }


@dataclass(frozen=True)
class Decision:
    """What becomes part of the tables: whole dates, and leftovers on other dates (``apart``).

    ``records`` has each delivery's, by its place. ``error`` is about the dates that stay as they were.
    """

    dates: list[dt.date]
    apart: set[dt.date]
    records: dict[dt.date, DeliveryRecord]
    error: BadData | None
    rejected: frozenset[dt.date]
    unchanged: frozenset[dt.date] = frozenset()

    def leave(self, unchanged: frozenset[dt.date]) -> "Decision":
        """Return the decision that leaves dates as they are whose rows have not changed."""
        unchanged &= {*self.dates}
        dates = [date for date in self.dates if date not in unchanged]
        return replace(self, dates=dates, unchanged=unchanged)

    def is_stored(self, date: dt.date) -> bool:
        """Return True if the rows of ``date`` are in the tables as they were delivered."""
        return date in self.dates or date in self.unchanged


def run(context: Context) -> Summary:
    """Replace the dates in bronze, silver and quarantine, but for those that are not fit to be used.

    A date the source has no rows for any more is emptied, as long as the source could answer for it.
    The ledger records the state of each date, also if the source has nothing or cannot be used.
    """
    context.lake.require_writable()
    ledger = IngestedDates.of(context)
    try:
        return _ingest(context, ledger)
    except BadData:
        ledger.record_rejected()
        ledger.record_without_rows(was_read=False)
        raise
    except NothingToDo as error:
        ledger.record_without_rows()
        is_expected = any(map(context.pipeline.source.has_delivery, context.dates))
        if isinstance(error, Missing) and not is_expected:
            raise NothingToDo(f"{error.message} (none is expected)") from error
        raise


def _ingest(context: Context, ledger: IngestedDates) -> Summary:
    with ExitStack() as temporary:
        scratch = temporary.enter_context(context.lake.scratch(f"ingest-{context.application}"))
        with context.phase("read"):
            work = _read(context, scratch)
            ledger.answered = work.extract.dates
            ledger.made_from |= _made_from(work)
        with context.phase("write"):
            judged, dates = _judge(work), _dates(work)
            # The source is really read here.
            with reading(
                f"the source of {context.pipeline.name} for {context.start}..{context.end}"
            ):
                bronze = temporary.enter_context(_stage(context, "bronze", judged, dates))
        with context.phase("check"):
            if not bronze.rows and not any(map(ledger.had_rows, work.extract.dates)):
                raise _no_rows(context)
            rejected = bronze.read(bronze.rows).where(~checks.passes())
            quarantine = temporary.enter_context(_stage(context, "quarantine", rejected, dates))
            counts = _count(work, bronze, quarantine)
            decision = _decide(work, counts, ledger)
            unchanged = _unchanged(work, bronze, ledger.may_be_unchanged(bronze.rows))
            decision = decision.leave(unchanged | ledger.cannot_be_emptied(bronze.rows))
        with context.phase("verify"):
            usable = decision.dates
            passed = bronze.read(usable).where(checks.passes())
            silver = temporary.enter_context(_stage(context, "silver", passed, usable))
            staged = {"bronze": bronze, "silver": silver, "quarantine": quarantine}
            written = {table: _of(usable, files.rows) for table, files in staged.items()}
            # Each delivery's record has compared what was read with bronze.
            require_nothing_lost(Counter(written["bronze"]), written)
            _reserve(work, decision)
            ledger.begin(
                [date for date in usable if bronze.rows.get(date) or ledger.had_rows(date)]
            )
            versions = {table: files.commit(usable) for table, files in staged.items()}
            ledger.record(written, usable, decision.unchanged)
            versions |= _write_apart(work, decision, bronze, quarantine)
            versions |= _remember(work, decision)
            ledger.record_rejected(decision.rejected)
            ledger.record_without_rows()
    if decision.error is not None:
        raise decision.error
    return _summary(work, counts, decision, written, versions)


def _made_from(work: Work) -> dict[dt.date, str]:
    """Return the delivery of each date, as it was when it was read."""
    source = work.context.pipeline.source
    is_one = source.period == "snapshot" and source.event_time is not None
    by_place = {
        delivery.place: delivery.fingerprint.to_text()
        for delivery in work.extract.deliveries
        if delivery.fingerprint is not None
    }
    if is_one:
        return dict.fromkeys(work.extract.dates, "".join(by_place.values()))
    places = {date: source.first_day(date) for date in work.extract.dates}
    return {date: by_place[place] for date, place in places.items() if place in by_place}


def _unchanged(work: Work, bronze: Staged, candidates: Collection[dt.date]) -> frozenset[dt.date]:
    """Return the dates whose rows are the same as those in the table, but for their lineage.

    A correction elsewhere in a file moves the numbers of the rows behind it.
    """
    context = work.context
    if not candidates or not context.lake.exists("bronze"):
        return frozenset()
    stored = context.lake.read("bronze", min(candidates), max(candidates))
    names = [field.name for field in schemas.bronze(context.pipeline) if field.name not in LINEAGE]
    if not set(names) <= set(stored.columns):
        return frozenset()
    before = content_by_date(stored.where(F.col("event_date").isin(*candidates)), names)
    now = content_by_date(bronze.read(candidates), names)
    return frozenset(date for date, content in now.items() if before.get(date) == content)


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
        only=context.only,
        now=context.now,
    )
    extract = SOURCES[context.pipeline.source.kind](request)
    checks.require_sound(context.pipeline.checks, extract.frame, context.pipeline.name)
    for difference in extract.differences:
        context.say("schema: %s", difference)
    return Work(context, extract, known)


def _judge(work: Work) -> DataFrame:
    """Return the rows of the dates, and the leftovers that are to be stored, with what they fail."""
    context = work.context
    of_dates = is_one_of(context.dates)
    wanted = of_dates
    if context.pipeline.source.event_time is not None:
        is_leftover = ~F.col("in_period") & F.col("event_date").isin(work.places_of_leftovers)
        wanted = F.col("in_period") & of_dates | is_leftover
    return checks.judge(work.extract.frame.where(wanted), context.pipeline.checks)


def _stage(
    context: Context, table: str, rows: DataFrame, dates: Collection[dt.date]
) -> AbstractContextManager[Staged]:
    schema = TABLES[table](context.pipeline)
    return context.lake.stage(
        table, schemas.select(rows, schema), schema, dates, is_by_date=table != "bronze"
    )


def _dates(work: Work) -> set[dt.date]:
    """Return every date under which a row may be stored."""
    return {*work.extract.dates, *work.places_of_leftovers}


def _no_rows(context: Context, *details: str) -> NothingToDo:
    message = f"{context.pipeline.name}: the source has no rows for {context.start}..{context.end}"
    # The answer of a database is the same whether rows are late or there are none.
    kind = Missing if context.pipeline.source.kind == "jdbc" else NothingToDo
    return kind(message, *details)


def _count(work: Work, bronze: Staged, quarantine: Staged) -> Counts:
    """Return the rows by date, the leftovers by their place, and the reasons and warnings of both."""
    pipeline = work.context.pipeline
    counts = Counts()
    if not bronze.rows:
        return counts
    # Only bronze has the warnings of rows that are not rejected.
    has_warnings = any(check.on_fail == "warn" for check in pipeline.checks)
    judged = bronze.read(bronze.rows) if has_warnings else quarantine.read(quarantine.rows)
    warnings = (F.col("warnings") if has_warnings else no_reasons()).alias("warnings")
    for date, reasons, warned, size in (
        judged.groupBy("event_date", "reasons", warnings).count().collect()
    ):
        group = counts.leftovers if OUTSIDE_PERIOD in reasons else counts.dates
        group.setdefault(date, RowCounts()).add(
            RowCounts(
                rows=size,
                rejected=size if reasons else 0,
                damaged=0 if pipeline.damage_reasons.isdisjoint(reasons) else size,
                reasons=Counter(dict.fromkeys(reasons, size)),
                warnings=Counter(dict.fromkeys(warned, size)),
            )
        )
    for date, size in bronze.rows.items():
        leftovers = counts.leftovers.get(date, RowCounts())
        if size > leftovers.rows:
            counts.dates.setdefault(date, RowCounts()).rows = size - leftovers.rows
    return counts


def _decide(work: Work, counts: Counts, ledger: IngestedDates) -> Decision:
    """Decide what is written. Raise NothingToDo without rows, BadData if a delivery or every date is unusable."""
    context, extract = work.context, work.extract
    pipeline, period = context.pipeline, context.pipeline.source.period
    records = {delivery.place: _record(work, delivery, counts) for delivery in extract.deliveries}
    dates = {date: RowCounts() for date in extract.dates}
    for date, found in counts.dates.items():
        dates[date].add(found)
    for place, found in counts.leftovers.items():
        if period == "day":
            dates[place].add(found)  # the delivery is the date
        else:
            record = records[place]
            require_dated(pipeline, record.delivery, record.rows, found)

    total = sum(found.rows for found in dates.values())
    rejected = sum(found.rejected for found in dates.values())
    if not total and not any(map(ledger.had_rows, extract.dates)):
        undated = sum(found.rows for found in counts.leftovers.values())
        raise _no_rows(
            context,
            f"{undated} rows without a date are stored with the first date that has rows",
        )
    share = 100 * rejected / max(total, 1)
    context.say("%d rows, %d rejected (%.2f %%)", total, rejected, share)

    bad = unusable_dates(pipeline, dates)
    good = sorted(extract.dates - set(bad))
    with_rows = [date for date in good if dates[date].rows]
    error = too_many_rejected(pipeline, dates, bad, with_rows) if bad else None
    if error is not None and not with_rows:
        raise error
    return Decision(good, _apart(work, good, records), records, error, frozenset(bad))


def _record(work: Work, delivery: Received, counts: Counts) -> DeliveryRecord:
    """Return the record of a delivery. Raise BadData if some of its rows are not accounted for."""
    stored = _stored_of(work, delivery, counts)
    read = delivery.rows_read() or stored
    if delivery.observation is None and delivery.place not in work.extract.dates:
        # All its rows are of its first day, which is none of the dates.
        read = RowsRead(delivery.rows or 0, 0, 0)
    problem = _unaccounted(work, delivery, read, stored)
    if problem and (again := delivery.count_again()) is not None:
        read = again
        problem = _unaccounted(work, delivery, read, stored)
    if problem:
        raise BadData(
            f"{delivery.name}: {problem}",
            remedy="check that the file did not change meanwhile, then run the job again",
        )
    found = delivery.fingerprint or Fingerprint()
    return DeliveryRecord(
        delivery.place,
        delivery.name,
        found.bytes,
        found.modified,
        found.tag,
        read.dated + read.leftover,
        read.dated,
        read.leftover,
    )


def _stored_of(work: Work, delivery: Received, counts: Counts) -> RowsRead:
    """Return how many rows of a delivery were written."""
    source = work.context.pipeline.source
    is_all = source.period == "snapshot" and source.event_time is not None
    dated = sum(
        found.rows
        for date, found in counts.dates.items()
        if is_all or source.first_day(date) == delivery.place
    )
    leftover = counts.leftovers.get(delivery.place, RowCounts()).rows
    return RowsRead(dated, leftover, dated)


def _unaccounted(work: Work, delivery: Received, read: RowsRead, stored: RowsRead) -> str:
    """Return what does not agree between the delivery, what was read, and what was written; "" if all does."""
    rows = read.dated + read.leftover
    if delivery.rows not in (None, rows):
        return f"{delivery.rows} rows were delivered, but {read.dated} dated and {read.leftover} other rows were read"
    if read.requested != stored.requested:
        return f"{read.requested} rows of these dates were read, but {stored.requested} written"
    if delivery.place in work.places_of_leftovers and read.leftover != stored.leftover:
        return f"{read.leftover} rows without a date were read, but {stored.leftover} written"
    return ""


def _apart(
    work: Work, good: Collection[dt.date], records: Mapping[dt.date, DeliveryRecord]
) -> set[dt.date]:
    """Return the places of leftovers that are replaced on a date whose other rows stay.

    Only changed deliveries are, and only if they have leftovers, or may have had some.
    """
    source = work.context.pipeline.source
    if source.period == "day" or source.event_time is None:
        return set()
    apart: set[dt.date] = set()
    for delivery in work.extract.deliveries:
        if delivery.place in good or not work.has_changed(delivery):
            continue
        before = work.before(delivery)
        stored = _rows_at(work.context, delivery.place) if before is None else before.leftover_rows
        if records[delivery.place].leftover_rows or stored:
            apart.add(delivery.place)
    return apart


def _rows_at(context: Context, date: dt.date) -> int:
    lake = context.lake
    if not lake.exists("bronze"):
        return 0
    return lake.rows_by_date("bronze", lake.version("bronze"), [date]).get(date, 0)


def _of(dates: Collection[dt.date], rows: Mapping[dt.date, int]) -> dict[dt.date, int]:
    return {date: size for date, size in rows.items() if date in dates}


def _reserve(work: Work, decision: Decision) -> None:
    """Record the place of leftovers before they are stored there, without a fingerprint.

    If this run is killed, the next one finds them by it. Of a month or year the place is known anyway, and a delivery
    without a record is taken to have some.
    """
    period, reserved = work.context.pipeline.source.period, []
    for delivery in work.extract.deliveries:
        record, before = decision.records[delivery.place], work.before(delivery)
        is_stored = delivery.place in decision.apart or delivery.place in decision.dates
        is_found = before.leftover_rows > 0 if before is not None else period != "snapshot"
        if period != "day" and record.leftover_rows and is_stored and not is_found:
            reserved.append(record.without_fingerprint())
    if reserved:
        write_records(work.context.lake, reserved, work.known)


def _write_apart(
    work: Work, decision: Decision, bronze: Staged, quarantine: Staged
) -> dict[str, int]:
    """Replace leftovers on dates whose other rows stay, in bronze and quarantine. Return the tables' versions."""
    if not decision.apart:
        return {}
    context, pipeline = work.context, work.context.pipeline
    part = f"({dates_condition(decision.apart)} AND NOT coalesce(to_date(`{pipeline.source.event_time}`) = event_date, false))"
    versions = {}
    for table, staged in {"bronze": bronze, "quarantine": quarantine}.items():
        schema = TABLES[table](pipeline)
        leftovers = staged.read(decision.apart).where(F.array_contains("reasons", OUTSIDE_PERIOD))
        versions[table] = context.lake.replace(
            table, schemas.select(leftovers, schema), schema, [], part
        )
    _require_accounted(context, decision.apart)
    return versions


def _require_accounted(context: Context, dates: Collection[dt.date]) -> None:
    """Raise BadData unless bronze = silver + quarantine for dates of which only the leftovers were replaced."""
    lake = context.lake
    written = {table: lake.rows_by_date(table, lake.version(table), dates) for table in TABLES}
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
    for delivery in work.extract.deliveries:
        record, before = decision.records[delivery.place], work.before(delivery)
        is_stored = (
            decision.is_stored(record.event_date) or work.context.pipeline.source.period != "day"
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
    for place, found in counts.leftovers.items():
        if place in decision.apart or place in decision.dates:
            total.add(found)
            leftover_rows += found.rows
        if place in decision.apart:
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
            unchanged=tuple(sorted(decision.unchanged)),
        ),
    )
