"""Record the dates that ingest works on in the ledger."""

import datetime as dt
import uuid
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property

from batchml.clients import landing
from batchml.config.definitions import definition_of, digest
from batchml.config.sources import FileSource
from batchml.context import Context
from batchml.lake.ledger import IN_WORK, INGESTED, NO_ROWS, Entry, Ledger, State
from batchml.lake.owed import rejected_as


@dataclass
class IngestedDates:
    """The dates of one run of ingest, each of which is recorded once.

    ``made_from`` names the delivery of each date. ``answered`` are the dates for which the source
    could be read, with rows or without.
    """

    context: Context
    known: Ledger
    made_from: dict[dt.date, str]
    answered: frozenset[dt.date] = frozenset()
    recorded: set[dt.date] = field(default_factory=set)
    is_writing: bool = False
    run: str = field(default_factory=lambda: uuid.uuid4().hex)

    @classmethod
    def of(cls, context: Context) -> "IngestedDates":
        """Return the dates of ``context``, with their deliveries before these are read."""
        source = context.pipeline.source
        made_from: dict[dt.date, str] = {}
        if isinstance(source, FileSource):
            folder, files = context.places.landing, context.file_system
            made_from = landing.delivered(folder, source, context.dates, files)
        return cls(context, context.read_ledger(), made_from)

    @cached_property
    def definition(self) -> str:
        """Return the hash of the present configuration of the rows."""
        return definition_of(self.context.pipeline, "bronze")

    def may_be_unchanged(self, rows: Mapping[dt.date, int]) -> list[dt.date]:
        """Return the owed dates that were delivered again with as many rows; ``rows`` are by date.

        Requested dates are always replaced.
        """
        dates: list[dt.date] = []
        if self.context.only is None:
            return dates
        for date, count in rows.items():
            entry = self.known.get("bronze", date)
            if entry is None or entry.state != "done" or entry.definition != self.definition:
                continue
            is_known_delivery = entry.made_from and entry.made_from == self.made_from.get(date)
            if not is_known_delivery and entry.rows == count:
                dates.append(date)
        return dates

    def had_rows(self, date: dt.date) -> bool:
        """Return True if bronze has rows of ``date`` from an earlier run."""
        entry = self.known.get("bronze", date)
        return entry is not None and entry.has_rows

    def begin(self, dates: Collection[dt.date]) -> None:
        """Record that ``dates`` are about to be written, so that they stay owed if the run ends."""
        self.is_writing = True
        entries = []
        for date in dates:
            for table in INGESTED:
                known = self.known.get(table, date) or self._without_rows(table, date, "missing")
                entries.append(replace(known, made_from=IN_WORK, rows=None))
        self.context.record(entries)

    def cannot_be_emptied(self, rows: Mapping[dt.date, int]) -> set[dt.date]:
        """Return the owed dates that had rows, and for which the source has none any more.

        A table or an export of the last days has a delivery for every date. Only a request for the
        date itself empties it.
        """
        source = self.context.pipeline.source
        if self.context.only is None or (source.kind != "jdbc" and source.period != "snapshot"):
            return set()
        return {date for date in self.answered if date not in rows and self.had_rows(date)}

    def record(
        self,
        written: Mapping[str, Mapping[dt.date, int]],
        replaced: Collection[dt.date],
        unchanged: Collection[dt.date],
    ) -> None:
        """Record what was stored. ``written`` has the rows by table and date.

        ``unchanged`` are dates whose delivery changed, but not their rows.
        """
        with_rows = [date for date in replaced if written["bronze"].get(date)]
        emptied = [date for date in replaced if date not in with_rows and self.had_rows(date)]
        entries = []
        for table in INGESTED:
            entries += [self._stored(table, date, written[table]) for date in with_rows]
            entries += [self._without_rows(table, date, "empty") for date in emptied]
            entries += self._with_new_delivery(table, unchanged)
        self._write(entries)

    def _with_new_delivery(self, table: str, dates: Collection[dt.date]) -> list[Entry]:
        """Return the entries of ``dates`` with their present delivery."""
        entries = []
        for date in dates:
            entry = self.known.get(table, date)
            if entry is not None:
                entries.append(replace(entry, made_from=self.made_from.get(date, "")))
        return entries

    def record_rejected(self, dates: Collection[dt.date] | None = None) -> None:
        """Record that the delivery of ``dates`` cannot be used. Their earlier rows stay.

        By default these are the other dates that were delivered, if it was one delivery. An error
        about several deliveries does not show which of them is bad.
        """
        if dates is None:
            dates = self._dates_of_one_delivery()
        pipeline = self.context.pipeline
        state: State = "rejected"
        entries = []
        for date in dates:
            made_from = rejected_as(pipeline, self.made_from.get(date, ""))
            for table in INGESTED:
                known = self.known.get(table, date) or self._without_rows(table, date, state)
                entries.append(replace(known, state=state, made_from=made_from))
        self._write(entries)

    def record_without_rows(self, *, was_read: bool = True) -> None:
        """Record that the source has no rows of the other dates: yet, or at all.

        A database returns no rows also for a date whose rows have not been loaded yet. If an error
        ended the reading (``was_read`` is false), only dates without a delivery are recorded.
        """
        source = self.context.pipeline.source
        entries = []
        for date in self._open_dates():
            may_be_delivered = date in self.made_from or not isinstance(source, FileSource)
            if self._is_settled(date) or (may_be_delivered and not was_read):
                continue
            is_answered = was_read and date in self.answered and source.kind != "jdbc"
            if not is_answered and not source.has_delivery(date):
                continue
            state: State = "missing"
            if is_answered:
                state = "empty"
            entries += [self._without_rows(table, date, state) for table in INGESTED]
        self._write(entries)

    def _is_settled(self, date: dt.date) -> bool:
        """Return True if the entry of ``date`` stays although the source has no rows of it."""
        entry = self.known.get("bronze", date)
        return entry is not None and (entry.has_rows or entry.state == "accepted")

    def _dates_of_one_delivery(self) -> list[dt.date]:
        """Return the open dates that were delivered.

        Return none if they are of several deliveries, or if the tables are being written.
        """
        if self.is_writing:
            return []
        source = self.context.pipeline.source
        is_known = isinstance(source, FileSource)
        dates = [date for date in self._open_dates() if date in self.made_from or not is_known]
        is_one_file = source.period == "snapshot" and not self.context.pipeline.is_snapshot
        periods = {source.first_day(date) for date in dates}
        if is_one_file or len(periods) == 1:
            return dates
        return []

    def _open_dates(self) -> list[dt.date]:
        return [date for date in self.context.dates if date not in self.recorded]

    def _stored(self, table: str, date: dt.date, rows: Mapping[dt.date, int]) -> Entry:
        made_from = self.made_from.get(date, "")
        # A delivery without a fingerprint may have other rows each time.
        identity = digest(made_from or self.run, self.definition)
        return Entry(table, date, "done", rows.get(date, 0), identity, made_from, self.definition)

    def _without_rows(self, table: str, date: dt.date, state: State) -> Entry:
        made_from = self.made_from.get(date, "")
        return Entry(table, date, state, 0, NO_ROWS, made_from, self.definition)

    def _write(self, entries: Sequence[Entry]) -> None:
        self.recorded |= {entry.event_date for entry in entries}
        self.context.record(entries)
