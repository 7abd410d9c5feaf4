"""Store the rows that have no date in the period of their delivery, and record the deliveries."""

import datetime as dt
from collections import Counter
from collections.abc import Collection

from pyspark.sql import functions as F

from batchml.config.columns import OUTSIDE_PERIOD
from batchml.context import Context
from batchml.errors import BadData
from batchml.lake.deliveries import TABLE, write_records
from batchml.lake.staging import Staged
from batchml.lake.tables import dates_condition
from batchml.rows import schemas
from batchml.rows.accounting import require_nothing_lost
from batchml.sources.delivery import Received
from batchml.workflow.ingest_decision import Decision
from batchml.workflow.source_rows import SourceRows


def reserve_places(source_rows: SourceRows, decision: Decision) -> None:
    """Record the place of leftovers before they are stored there, without a fingerprint.

    If this run is killed, the next run finds the leftovers by this record. The place of a month or
    year is its first day, and a delivery without a record is assumed to have leftovers.
    """
    reserved = []
    for delivery in source_rows.extract.deliveries:
        if _needs_reservation(source_rows, decision, delivery):
            record = decision.records[delivery.place]
            reserved.append(record.without_fingerprint())
    if reserved:
        write_records(source_rows.context.lake, reserved, source_rows.known)


def _needs_reservation(source_rows: SourceRows, decision: Decision, delivery: Received) -> bool:
    """Return True if leftovers are about to be stored at a place that no record names yet."""
    period = source_rows.context.pipeline.source.period
    place = delivery.place
    if period == "day" or not decision.records[place].leftover_rows:
        return False
    is_stored = place in decision.separate_leftovers or place in decision.dates
    if not is_stored:
        return False
    before = source_rows.before(delivery)
    if before is None:
        return period == "snapshot"
    return before.leftover_rows <= 0


def write_separate_leftovers(
    source_rows: SourceRows,
    decision: Decision,
    bronze: Staged,
    quarantine: Staged,
) -> dict[str, int]:
    """Replace leftovers on dates whose other rows stay, in bronze and quarantine.

    Return the version written, by table.
    """
    if not decision.separate_leftovers:
        return {}
    context = source_rows.context
    pipeline = context.pipeline
    is_on_its_date = f"coalesce(to_date(`{pipeline.source.event_time}`) = event_date, false)"
    part = f"({dates_condition(decision.separate_leftovers)} AND NOT {is_on_its_date})"

    versions = {}
    for table, staged in {"bronze": bronze, "quarantine": quarantine}.items():
        schema = schemas.INGESTED[table](pipeline)
        is_leftover = F.array_contains("reasons", OUTSIDE_PERIOD)
        leftovers = staged.read(decision.separate_leftovers).where(is_leftover)
        versions[table] = context.lake.replace(
            table, schemas.select(leftovers, schema), schema, [], part
        )
    _require_accounted(context, decision.separate_leftovers)
    return versions


def _require_accounted(context: Context, dates: Collection[dt.date]) -> None:
    """Raise BadData unless bronze = silver + quarantine on ``dates``.

    Only the leftovers of these dates were replaced, in bronze and quarantine alike.
    """
    lake = context.lake
    written = {}
    for table in schemas.INGESTED:
        written[table] = lake.rows_by_date(table, lake.latest_version(table), dates)
    try:
        require_nothing_lost(Counter(written["bronze"]), written)
    except BadData as error:
        raise BadData(
            f"{context.pipeline.name}: an earlier run was killed between two tables",
            *error.details,
            remedy=f"run ingest for {', '.join(map(str, sorted(dates)))}, then run this job again",
        ) from error


def record_deliveries(source_rows: SourceRows, decision: Decision) -> dict[str, int]:
    """Write the records of stored deliveries that are new or have changed.

    Return the version written, by table.
    """
    is_daily = source_rows.context.pipeline.source.period == "day"
    new = []
    for delivery in source_rows.extract.deliveries:
        record = decision.records[delivery.place]
        before = source_rows.before(delivery)
        is_stored = decision.is_stored(record.event_date) or not is_daily
        is_known = before is not None and before.is_like(record)
        if is_stored and not is_known:
            new.append(record)
    if not new:
        return {}
    return {TABLE: write_records(source_rows.context.lake, new, source_rows.known)}
