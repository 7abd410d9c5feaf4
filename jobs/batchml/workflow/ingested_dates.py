"""Record the dates that ingest works on in the ledger."""

import datetime as dt
import uuid
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property

from batchml.clients import landing
from batchml.config.definitions import INGESTED, definition_of, digest
from batchml.config.sources import FileSource
from batchml.context import Context
from batchml.lake.ledger import IN_WORK, NO_ROWS, Entry, Ledger, State
from batchml.lake.owed import rejection_identity


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
            folder = context.places.landing
            made_from = landing.delivered(folder, source, context.dates, context.file_system)
        return cls(context, context.read_ledger(), made_from)

    @cached_property
    def definition(self) -> str:
        """Return the hash of the present configuration of the rows."""
        return definition_of(self.context.pipeline, "bronze")

    def may_be_unchanged(self, rows: Mapping[dt.date, int]) -> list[dt.date]:
        """Return the dates that were delivered again with as many rows; ``rows`` are by date.

        Requested dates are always replaced, unless the request is ``--if-changed``.
        """
        dates: list[dt.date] = []
        context = self.context
        if not (context.is_catching_up or context.skips_unchanged):
            return dates
        for date, count in rows.items():
            if self._may_be_unchanged(date, count):
                dates.append(date)
        return dates

    def _may_be_unchanged(self, date: dt.date, rows: int) -> bool:
        """Return True if a delivery of ``date`` has as many rows as are stored.

        An owed date whose delivery is the same is owed for another reason, and is replaced.
        """
        entry = self.known.get("bronze", date)
        if entry is None or entry.state != "done":
            return False
        if entry.definition != self.definition or entry.rows != rows:
            return False
        is_same_delivery = entry.made_from != "" and entry.made_from == self.made_from.get(date)
        return self.context.skips_unchanged or not is_same_delivery

    def had_rows(self, date: dt.date) -> bool:
        """Return True if bronze has rows of ``date`` from an earlier run."""
        entry = self.known.get("bronze", date)
        return entry is not None and entry.has_rows

    def any_had_rows(self, dates: Iterable[dt.date]) -> bool:
        """Return True if bronze has rows of one of ``dates`` from an earlier run."""
        return any(map(self.had_rows, dates))

    def begin(self, dates: Collection[dt.date]) -> None:
        """Record that ``dates`` are about to be written, so that they stay owed if the run ends."""
        self.is_writing = True
        entries = []
        for date in dates:
            for table in INGESTED:
                entry = self._known_or_without_rows(table, date, "missing")
                entries.append(replace(entry, made_from=IN_WORK, rows=None))
        self.context.record(entries)

    def cannot_be_emptied(self, rows: Mapping[dt.date, int]) -> set[dt.date]:
        """Return the owed dates that had rows, and for which the source has none any more.

        A table or an export of the last days has a delivery for every date. Only a request for the
        date itself empties it.
        """
        source = self.context.pipeline.source
        has_every_date = source.kind == "jdbc" or source.period == "snapshot"
        if not self.context.is_catching_up or not has_every_date:
            return set()
        without_rows = self.answered.difference(rows)
        return set(filter(self.had_rows, without_rows))

    def record(
        self,
        written: Mapping[str, Mapping[dt.date, int]],
        replaced: Collection[dt.date],
        unchanged: Collection[dt.date],
    ) -> None:
        """Record what was stored. ``written`` has the rows by table and date.

        ``unchanged`` are dates whose delivery changed, but not their rows.
        """
        with_rows, emptied = [], []
        for date in replaced:
            if written["bronze"].get(date):
                with_rows.append(date)
            elif self.had_rows(date):
                emptied.append(date)

        entries = []
        for table in INGESTED:
            for date in with_rows:
                rows = written[table].get(date, 0)
                entries.append(self._stored(table, date, rows))
            for date in emptied:
                entries.append(self._without_rows(table, date, "empty"))
            entries += self._with_new_delivery(table, unchanged)
        self._write(entries)

    def _with_new_delivery(self, table: str, dates: Collection[dt.date]) -> list[Entry]:
        """Return the entries of ``dates`` with their present delivery."""
        entries = []
        for date in dates:
            entry = self.known.get(table, date)
            made_from = self._delivery(date)
            if entry is not None:
                entries.append(replace(entry, made_from=made_from))
        return entries

    def record_rejected(self, dates: Collection[dt.date] | None = None) -> None:
        """Record that the delivery of ``dates`` cannot be used. Their earlier rows stay.

        By default these are the other dates that were delivered, if it was one delivery. An error
        about several deliveries does not show which of them is bad.
        """
        if dates is None:
            dates = self._dates_of_one_delivery()
        state: State = "rejected"
        entries = []
        for date in dates:
            delivery = self._delivery(date)
            made_from = rejection_identity(self.context.pipeline, delivery)
            for table in INGESTED:
                entry = self._known_or_without_rows(table, date, state)
                entries.append(replace(entry, state=state, made_from=made_from))
        self._write(entries)

    def record_without_rows(self, *, was_read: bool = True) -> None:
        """Record that the source has no rows of the other dates: yet, or at all.

        A database returns no rows also for a date whose rows have not been loaded yet. If an error
        ended the reading (``was_read`` is false), only dates without a delivery are recorded.
        """
        entries = []
        for date in self._open_dates():
            if self._is_settled(date):
                continue
            if not was_read and self._may_be_delivered(date):
                continue

            state = self._state_without_rows(date, was_read)
            if state is not None:
                for table in INGESTED:
                    entries.append(self._without_rows(table, date, state))
        self._write(entries)

    def _state_without_rows(self, date: dt.date, was_read: bool) -> State | None:
        """Return the state of a date without rows; None if no delivery is expected."""
        source = self.context.pipeline.source
        is_answered = was_read and date in self.answered
        if is_answered and source.kind != "jdbc":
            return "empty"
        if source.has_delivery(date):
            return "missing"
        return None

    def _may_be_delivered(self, date: dt.date) -> bool:
        """Return True for a date with a delivery, or of a source that does not list them."""
        is_file_source = isinstance(self.context.pipeline.source, FileSource)
        return not is_file_source or date in self.made_from

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
        pipeline = self.context.pipeline
        dates = list(filter(self._may_be_delivered, self._open_dates()))
        is_one_file = pipeline.source.period == "snapshot" and not pipeline.is_snapshot
        periods = set(map(pipeline.source.first_day, dates))
        if is_one_file or len(periods) == 1:
            return dates
        return []

    def _open_dates(self) -> list[dt.date]:
        return [date for date in self.context.dates if date not in self.recorded]

    def _stored(self, table: str, date: dt.date, rows: int) -> Entry:
        made_from = self._delivery(date)
        # A delivery without a fingerprint may have other rows each time.
        identity = digest(made_from or self.run, self.definition)
        return Entry(
            table_name=table,
            event_date=date,
            state="done",
            rows=rows,
            identity=identity,
            made_from=made_from,
            definition=self.definition,
        )

    def _without_rows(self, table: str, date: dt.date, state: State) -> Entry:
        return Entry(
            table_name=table,
            event_date=date,
            state=state,
            rows=0,
            identity=NO_ROWS,
            made_from=self._delivery(date),
            definition=self.definition,
        )

    def _delivery(self, date: dt.date) -> str:
        """Return the name of the date's delivery; empty if it is unknown."""
        return self.made_from.get(date, "")

    def _known_or_without_rows(self, table: str, date: dt.date, state: State) -> Entry:
        """Return the entry of the date; before the first one, an entry of ``state``."""
        entry = self.known.get(table, date)
        if entry is None:
            entry = self._without_rows(table, date, state)
        return entry

    def _write(self, entries: Sequence[Entry]) -> None:
        self.recorded |= {entry.event_date for entry in entries}
        self.context.record(entries)
