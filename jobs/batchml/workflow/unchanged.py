"""Find the requested dates whose rows are those that a job would write again."""

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass, field

from batchml.clients import landing
from batchml.clients.delta_tables import open_table
from batchml.config.definitions import INGESTED, Table, definition_of, digest
from batchml.config.sources import FileSource
from batchml.lake import owed
from batchml.lake.first_ledger import read_ledger
from batchml.lake.ledger import Entry, Ledger
from batchml.lake.row_counts import all_rows_by_date
from batchml.workflow.catch_up import Request, Unaltered

Parts = tuple[object, ...]
"""What decides the rows of a date in addition to its input and its definition."""


def unchanged_by_ingest(request: Request, files: landing.FileSystem) -> Unaltered:
    """Return the requested dates whose delivery and configuration are those of their rows.

    ``files`` lists the landing folder. There are none for an API, a database, or files that
    ``ingest`` downloads: only reading these shows whether they have changed.
    """
    pipeline = request.pipeline
    source = pipeline.source
    if not isinstance(source, FileSource) or source.fetch:
        return Unaltered()

    tables = _Tables.of(request)
    definition = definition_of(pipeline, "bronze")
    delivered = landing.delivered(request.places.landing, source, request.dates, files)
    unchanged = set()
    without_rows = set()
    for date in request.dates:
        entry = tables.ledger.get("bronze", date)
        fingerprint = delivered.get(date)
        # An entry that was derived from the tables, or kept its rows, has another identity.
        identity = digest(fingerprint, definition)
        if fingerprint is None:
            if entry is not None or not source.has_delivery(date):
                without_rows.add(date)
        elif all(tables.has_rows_of(table, date, identity) for table in INGESTED):
            unchanged.add(date)
        elif _is_empty_by(entry, fingerprint, definition):
            without_rows.add(date)
    return Unaltered(_joined(unchanged, without_rows))


def _is_empty_by(entry: Entry | None, fingerprint: str, definition: str) -> bool:
    """Return True if the date was read from the same delivery, and had no rows."""
    if entry is None or entry.state != "empty":
        return False
    return entry.made_from == fingerprint and entry.definition == definition


def unchanged_by_build_features(request: Request, files: landing.FileSystem) -> Unaltered:
    """Return the requested dates with the same input, definition and lookup tables.

    There are none while ``features`` also has inputs of a champion that the pipeline does not
    compute any more: its record decides these.
    """
    pipeline = request.pipeline
    if _columns_of_features(request) - set(pipeline.feature_columns) - {"event_date"}:
        return Unaltered()
    folder = request.places.landing
    absent = landing.absent_lookups(folder, pipeline, files)
    fingerprints = landing.lookup_fingerprints(folder, pipeline, files)
    return Unaltered(unchanged_dates(request, "features", [(absent, fingerprints)]))


def unchanged_dates(
    request: Request,
    table: Table,
    possible_parts: Sequence[Parts],
) -> frozenset[dt.date]:
    """Return the requested dates that ``table`` has as the job would make them again.

    The rows of a date may be made of any of ``possible_parts``. A date without rows, whose input
    has none either, is added to such dates.
    """
    tables = _Tables.of(request)
    ledger = tables.ledger
    definition = definition_of(request.pipeline, table)
    unchanged = set()
    without_rows = set()
    for date in request.dates:
        entry = ledger.get(table, date)
        if not (_has_rows(entry) or _has_rows(ledger.get(owed.input_of(table), date))):
            without_rows.add(date)
            continue
        source = owed.made_from(ledger, request.pipeline, table, date)
        identities = [digest(source, definition, *parts) for parts in possible_parts]
        if tables.has_rows_of(table, date, *identities):
            unchanged.add(date)

    return _joined(unchanged, without_rows)


def _joined(unchanged: set[dt.date], without_rows: set[dt.date]) -> frozenset[dt.date]:
    """Return all dates; none if only those without rows are left, about which a job says more."""
    if not unchanged:
        return frozenset()
    return frozenset(unchanged | without_rows)


def _has_rows(entry: Entry | None) -> bool:
    return entry is not None and entry.has_rows


def _columns_of_features(request: Request) -> set[str]:
    """Return the names of the columns of ``features``; none if it does not exist."""
    table = open_table(f"{request.folder}/features")
    if table is None:
        return set()
    return {column.name for column in table.schema().fields}


@dataclass(frozen=True)
class _Tables:
    """The tables in ``folder`` and what the ledger says about them."""

    folder: str
    ledger: Ledger
    _rows: dict[str, dict[dt.date, int | None]] = field(default_factory=dict)

    @classmethod
    def of(cls, request: Request) -> "_Tables":
        """Return the tables of the pipeline, whose ledger is read once."""
        return cls(request.folder, read_ledger(request.folder, request.pipeline))

    def has_rows_of(self, table: str, date: dt.date, *identities: str) -> bool:
        """Return True if ``table`` has rows of ``date`` with one of ``identities``.

        The table itself is asked as well: it may have been moved away and begun again since.
        """
        entry = self.ledger.get(table, date)
        if entry is None or entry.state != "done" or entry.identity not in identities:
            return False
        return self._rows_by_date(table).get(date, 0) == entry.rows

    def _rows_by_date(self, table: str) -> dict[dt.date, int | None]:
        """Return the rows of each date of ``table``, whose log is read once."""
        if table not in self._rows:
            self._rows[table] = all_rows_by_date(f"{self.folder}/{table}")
        return self._rows[table]
