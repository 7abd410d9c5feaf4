"""Find the requested dates whose rows are those that a job would write again."""

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass

from batchml.clients import landing
from batchml.config.definitions import Table, definition_of, digest
from batchml.config.sources import FileSource
from batchml.lake import owed
from batchml.lake.first_ledger import read_ledger
from batchml.lake.ledger import Entry, Ledger
from batchml.tracking import open_tracker
from batchml.workflow.catch_up import Request
from batchml.workflow.serving import usable_versions


def unchanged_dates(request: Request, files: landing.FileSystem) -> frozenset[dt.date]:
    """Return the requested dates whose input, definition and model version have not changed.

    ``files`` lists the landing folder. A date is left out if only reading its source would show
    whether it has changed, as for an API or a database.
    """
    ledger = read_ledger(request.folder, request.pipeline)
    if request.job == "ingest":
        return _ingested(request, ledger, files)

    table = owed.DERIVATIONS[request.job].table
    rule = _DerivedRule(request, ledger, table, _possible_parts(request, files))
    return frozenset(filter(rule.is_unchanged, request.dates))


def _ingested(
    request: Request,
    ledger: Ledger,
    files: landing.FileSystem,
) -> frozenset[dt.date]:
    """Return the dates whose delivery and configuration are those of their rows."""
    pipeline = request.pipeline
    source = pipeline.source
    if not isinstance(source, FileSource) or source.fetch:
        return frozenset()

    definition = definition_of(pipeline, "bronze")
    delivered = landing.delivered(request.places.landing, source, request.dates, files)
    unchanged = set()
    for date, fingerprint in delivered.items():
        entry = ledger.get("bronze", date)
        if entry is None or entry.state not in ("done", "empty"):
            continue
        if entry.made_from == fingerprint and entry.definition == definition:
            unchanged.add(date)
    return frozenset(unchanged)


def _possible_parts(request: Request, files: landing.FileSystem) -> list[tuple[object, ...]]:
    """Return what decides the rows in addition to input and definition; several if any of them may.

    These are the files of the lookup tables, or each version that may have scored a date.
    """
    pipeline = request.pipeline
    folder = request.places.landing
    match request.job:
        case "build_features":
            absent = landing.absent_lookups(folder, pipeline, files)
            return [(absent, landing.lookup_fingerprints(folder, pipeline, files))]
        case "score_batch":
            return [(number,) for number in _versions(request)]
        case _:
            return [()]


def _versions(request: Request) -> Sequence[int]:
    """Return the versions whose predictions stay as they are."""
    if request.version is not None:
        return [request.version]
    usable = usable_versions(open_tracker(request.pipeline.name, request.places))
    if usable.champion is None:
        return []
    return sorted(usable.existing)


@dataclass(frozen=True)
class _DerivedRule:
    """The rule that decides if a date of a table that is made from another one is unchanged."""

    request: Request
    ledger: Ledger
    table: Table
    possible_parts: Sequence[tuple[object, ...]]

    def is_unchanged(self, date: dt.date) -> bool:
        """Return True if the rows of ``date`` are made from the present input."""
        entry = self.ledger.get(self.table, date)
        if entry is None or entry.state != "done":
            return False
        return entry.identity in self._possible_identities(entry)

    def _possible_identities(self, entry: Entry) -> list[str]:
        pipeline = self.request.pipeline
        source = owed.made_from(self.ledger, pipeline, self.table, entry.event_date)
        definition = definition_of(pipeline, self.table)
        return [digest(source, definition, *parts) for parts in self.possible_parts]
