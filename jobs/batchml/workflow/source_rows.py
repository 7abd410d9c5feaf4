"""Read the source of a pipeline, and compare its deliveries with those stored before."""

import datetime as dt
from dataclasses import dataclass
from functools import cached_property

from batchml.context import Context
from batchml.errors import Missing, NothingToDo
from batchml.lake.deliveries import DeliveryRecord, read_records
from batchml.rows import checks
from batchml.sources import SOURCES, Extract, Request
from batchml.sources.delivery import Received


@dataclass(frozen=True)
class SourceRows:
    """The rows of a source, not yet read, and the records of earlier deliveries."""

    context: Context
    extract: Extract
    known: tuple[DeliveryRecord, ...]

    @cached_property
    def _by_key(self) -> dict[tuple[dt.date, str], DeliveryRecord]:
        return {(record.event_date, record.delivery): record for record in self.known}

    def before(self, delivery: Received) -> DeliveryRecord | None:
        """Return the record of the last stored version of ``delivery``; None before the first."""
        return self._by_key.get((delivery.place, delivery.name))

    def has_changed(self, delivery: Received) -> bool:
        """Return True if the delivery is new, or may differ from the one last stored."""
        record = self.before(delivery)
        fingerprint = delivery.fingerprint
        if record is None or fingerprint is None:
            return True
        present = (fingerprint.bytes, fingerprint.modified, fingerprint.tag)
        return record.fingerprint != present

    @cached_property
    def places_of_leftovers(self) -> set[dt.date]:
        """Return the dates under which leftovers are stored.

        These are the places of deliveries that have changed or begin on one of the dates.
        """
        if self.context.pipeline.source.event_time is None:
            return set()
        places = set()
        for delivery in self.extract.deliveries:
            if delivery.place in self.extract.dates or self.has_changed(delivery):
                places.add(delivery.place)
        return places


def read_source(context: Context, scratch: str) -> SourceRows:
    """Open the source. Only CSV files, web pages and footers of Parquet files are read yet."""
    pipeline = context.pipeline
    known = tuple(read_records(context.lake))
    if not context.lake.exists("bronze"):
        # The first run was killed, or the tables were moved away: nothing is stored at the places.
        known = tuple(record.without_fingerprint() for record in known)
    request = Request(
        context.spark,
        pipeline,
        context.places.landing,
        context.start,
        context.end,
        context.clock,
        scratch=scratch,
        places={record.delivery: record.event_date for record in known},
        only=context.only,
        now=context.now,
    )
    read = SOURCES[pipeline.source.kind]
    extract = read(request)
    checks.validate_checks(pipeline.checks, extract.frame, pipeline.name)
    for difference in extract.differences:
        context.log("schema: %s", difference)
    return SourceRows(context, extract, known)


def fingerprints_by_date(source_rows: SourceRows) -> dict[dt.date, str]:
    """Return the fingerprint that the delivery of each date had when it was read."""
    source = source_rows.context.pipeline.source
    dates = source_rows.extract.dates
    by_place = {}
    for delivery in source_rows.extract.deliveries:
        if delivery.fingerprint is not None:
            by_place[delivery.place] = delivery.fingerprint.to_text()

    has_all_dates = source.period == "snapshot" and source.event_time is not None
    if has_all_dates:
        return dict.fromkeys(dates, "".join(by_place.values()))
    by_date = {}
    for date in dates:
        place = source.first_day(date)
        if place in by_place:
            by_date[date] = by_place[place]
    return by_date


def no_rows(context: Context, *details: str) -> NothingToDo:
    """Return the error about a source without rows of the requested dates."""
    pipeline = context.pipeline
    message = f"{pipeline.name}: the source has no rows for {context.start}..{context.end}"
    # A database returns the same whether its rows are late or do not exist.
    if pipeline.source.kind == "jdbc":
        return Missing(message, *details)
    return NothingToDo(message, *details)
