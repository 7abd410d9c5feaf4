"""ingest: read the source's rows for the dates, check them and store them.

bronze keeps every row with the names of the checks it fails, silver those that pass every check,
quarantine the others. A date of which too many rows fail stays unchanged.

Leftovers are the rows that belong to no date of their delivery. They are stored once. Their place
is the first day of the delivery (of a snapshot: the first date that reads it).

The source is read once, to write the files of bronze. Silver and quarantine are written from these
files. Rows are counted and compared before a date is committed.
"""

import datetime as dt
from collections import Counter
from collections.abc import Collection, Mapping
from contextlib import ExitStack
from dataclasses import dataclass

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from batchml.config.columns import LINEAGE
from batchml.context import Context, Summary
from batchml.errors import BadData, Missing, NothingToDo, Unchanged
from batchml.job_line import IngestDetails
from batchml.lake.staging import Staged
from batchml.rows import checks, schemas
from batchml.rows.accounting import Counts, RowCounts, require_nothing_lost
from batchml.rows.content import content_by_date
from batchml.rows.dates import is_one_of
from batchml.sources import reading
from batchml.workflow.ingest_decision import Decision, count_rows, decide
from batchml.workflow.ingested_dates import IngestedDates
from batchml.workflow.leftovers import (
    record_deliveries,
    reserve_places,
    write_separate_leftovers,
)
from batchml.workflow.source_rows import SourceRows, fingerprints_by_date, no_rows, read_source


def run(context: Context) -> Summary:
    """Replace the usable dates in bronze, silver and quarantine.

    A date is emptied if the source could be read for it and has no rows of it any more. The ledger
    records the state of each date, even if the source is missing or unusable.
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
        # A missing delivery is owed only if one is expected.
        is_expected = any(map(context.pipeline.source.has_delivery, context.dates))
        if isinstance(error, Missing) and not is_expected:
            raise NothingToDo(f"{error.message} (none is expected)") from error
        raise


@dataclass(frozen=True)
class _Staging:
    """Stages tables. Their files are removed with ``temporary`` unless they are committed."""

    context: Context
    temporary: ExitStack

    def stage(self, table: str, rows: DataFrame, dates: Collection[dt.date]) -> Staged:
        """Write ``rows`` as files that replace ``dates`` in the table when they are committed."""
        schema = schemas.INGESTED[table](self.context.pipeline)
        selected = schemas.select(rows, schema)
        # A file of bronze may contain any dates of the source, a file of the other tables only one.
        is_by_date = table != "bronze"
        staged = self.context.lake.stage(table, selected, schema, dates, is_by_date=is_by_date)
        return self.temporary.enter_context(staged)


@dataclass(frozen=True)
class _Stored:
    """The number of rows written, for each table and date, and the versions of the tables."""

    rows: Mapping[str, Mapping[dt.date, int]]
    versions: dict[str, int]


def _ingest(context: Context, ledger: IngestedDates) -> Summary:
    with ExitStack() as temporary:
        scratch = temporary.enter_context(context.lake.scratch(f"ingest-{context.application}"))
        staging = _Staging(context, temporary)
        with context.phase("read"):
            source_rows = read_source(context, scratch)
            ledger.answered = source_rows.extract.dates
            ledger.made_from |= fingerprints_by_date(source_rows)
        with context.phase("write"):
            bronze = _stage_bronze(source_rows, staging)
        with context.phase("check"):
            if not bronze.rows and not ledger.any_had_rows(source_rows.extract.dates):
                raise no_rows(context)
            received = bronze.read(bronze.rows.keys())
            rejected = received.where(~checks.passes())
            quarantine = staging.stage("quarantine", rejected, _dates(source_rows))
            counts = count_rows(source_rows, bronze, quarantine)
            decision = decide(source_rows, counts, ledger)
            decision = _leave_unchanged(source_rows, decision, bronze, ledger)
        with context.phase("verify"):
            usable = bronze.read(decision.dates)
            passed = usable.where(checks.passes())
            silver = staging.stage("silver", passed, decision.dates)
            staged = {"bronze": bronze, "silver": silver, "quarantine": quarantine}
            stored = _commit(source_rows, decision, staged, ledger)
    if decision.error is not None:
        # The usable dates are committed. The job fails because of the others.
        raise decision.error
    summary = _summary(source_rows, counts, decision, stored)
    is_unchanged = bool(decision.unchanged) and not decision.dates
    if is_unchanged and context.skips_unchanged:
        dates = f"{context.start}..{context.end}"
        raise Unchanged.of("ingest", context.pipeline.name, dates, summary)
    return summary


def _stage_bronze(source_rows: SourceRows, staging: _Staging) -> Staged:
    context = source_rows.context
    checked = _with_reasons(source_rows)
    dates = _dates(source_rows)
    name = f"the source of {context.pipeline.name} for {context.start}..{context.end}"
    # Spark is lazy: it reads the source here.
    with reading(name):
        return staging.stage("bronze", checked, dates)


def _leave_unchanged(
    source_rows: SourceRows,
    decision: Decision,
    bronze: Staged,
    ledger: IngestedDates,
) -> Decision:
    """Return the decision without two kinds of dates, which stay as they are.

    Their rows are the same as before, or the source returned none and the stored ones must stay.
    """
    candidates = ledger.may_be_unchanged(bronze.rows)
    unchanged = _unchanged(source_rows, bronze, candidates)
    return decision.leave(unchanged | ledger.cannot_be_emptied(bronze.rows))


def _commit(
    source_rows: SourceRows,
    decision: Decision,
    staged: Mapping[str, Staged],
    ledger: IngestedDates,
) -> _Stored:
    """Verify the staged rows, then replace the dates of the decision in all tables."""
    dates = decision.dates
    bronze = staged["bronze"]
    written = {}
    for table, files in staged.items():
        written[table] = _rows_on(dates, files.rows)
    # `decide` has compared the rows read with bronze. Compare bronze with silver and quarantine.
    require_nothing_lost(Counter(written["bronze"]), written)
    reserve_places(source_rows, decision)

    changing = [date for date in dates if bronze.rows.get(date) or ledger.had_rows(date)]
    ledger.begin(changing)
    versions = {}
    for table, files in staged.items():
        versions[table] = files.commit(dates)
    versions |= write_separate_leftovers(source_rows, decision, bronze, staged["quarantine"])
    versions |= record_deliveries(source_rows, decision)
    ledger.record(written, dates, decision.unchanged)
    ledger.record_rejected(decision.rejected)
    ledger.record_without_rows()
    return _Stored(written, versions)


def _with_reasons(source_rows: SourceRows) -> DataFrame:
    """Return the rows of the dates and the leftovers to store, with the checks that each fails."""
    context = source_rows.context
    is_requested = is_one_of(context.dates)
    is_stored = is_requested

    if context.pipeline.source.event_time is not None:
        is_in_period = F.col("in_period")
        is_at_place = F.col("event_date").isin(source_rows.places_of_leftovers)
        is_stored = (is_in_period & is_requested) | (~is_in_period & is_at_place)
    rows = source_rows.extract.frame.where(is_stored)
    return checks.apply_checks(rows, context.pipeline.checks)


def _dates(source_rows: SourceRows) -> set[dt.date]:
    """Return every date under which a row may be stored."""
    return set(source_rows.extract.dates) | source_rows.places_of_leftovers


def _rows_on(dates: Collection[dt.date], rows: Mapping[dt.date, int]) -> dict[dt.date, int]:
    return {date: size for date, size in rows.items() if date in dates}


def _unchanged(
    source_rows: SourceRows,
    bronze: Staged,
    candidates: Collection[dt.date],
) -> frozenset[dt.date]:
    """Return the dates whose rows are the same as those in the table, without their lineage.

    A correction in a file may change the numbers of the rows after it.
    """
    context = source_rows.context
    if not candidates or not context.lake.exists("bronze"):
        return frozenset()
    first, last = min(candidates), max(candidates)
    stored = context.lake.read("bronze", first, last)
    all_names = schemas.bronze(context.pipeline).fieldNames()
    names = [name for name in all_names if name not in LINEAGE]
    if not set(names).issubset(stored.columns):
        return frozenset()

    is_candidate = F.col("event_date").isin(list(candidates))
    before = content_by_date(stored.where(is_candidate), names)
    now = content_by_date(bronze.read(candidates), names)
    return frozenset(date for date, content in now.items() if before.get(date) == content)


def _summary(
    source_rows: SourceRows,
    counts: Counts,
    decision: Decision,
    stored: _Stored,
) -> Summary:
    """Return what was done: the rows of the written dates, and all leftovers that were stored."""
    total = RowCounts()
    for date in decision.dates:
        total.add(counts.dates.get(date, RowCounts()))
    rows = {table: sum(by_date.values()) for table, by_date in stored.rows.items()}

    leftover_rows = 0
    for place, leftovers in counts.leftovers.items():
        if place in decision.separate_leftovers or place in decision.dates:
            total.add(leftovers)
            leftover_rows += leftovers.rows
        # ``stored.rows`` has the leftovers on written dates already.
        if place in decision.separate_leftovers:
            rows["bronze"] += leftovers.rows
            rows["quarantine"] += leftovers.rows
    return Summary(
        rows_in=total.rows,
        rows_out=rows["silver"] + rows["quarantine"],
        tables=stored.versions,
        details=IngestDetails(
            rows=rows,
            leftover_rows=leftover_rows,
            rejected=dict(total.reasons.most_common()),
            warned=dict(total.warnings.most_common()),
            schema_differences=tuple(source_rows.extract.differences),
            missing_files=tuple(source_rows.extract.missing),
            unchanged=tuple(sorted(decision.unchanged)),
        ),
    )
