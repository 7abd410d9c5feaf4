"""Find the dates that a job owes: missing, changed, or made from older input."""

import datetime as dt
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass

from batchml.config import Pipeline
from batchml.config.definitions import Table, covers, definition_of, digest
from batchml.config.sources import FileSource, days_between
from batchml.lake.ledger import IN_WORK, Entry, Ledger

MISSED = "missed: no run has worked on it"
ARRIVED = "its delivery has arrived"
RECHECKED = "checked again"
CHANGED = "its delivery has changed"
OTHER_DEFINITION = "made by another definition"
NOT_MADE = "not made yet"
OLDER_INPUT = "made from older input"
INTERRUPTED = "a run was ended while it wrote it"


@dataclass(frozen=True)
class Derivation:
    """A table, and the table that its dates are made from."""

    table: Table
    upstream: Table


DERIVATIONS: dict[str, Derivation] = {
    "build_features": Derivation("features", upstream="silver"),
    "score_batch": Derivation("predictions", upstream="features"),
    "monitor_drift": Derivation("drift", upstream="predictions"),
}
"""What each job after ingest writes, in the order of a day."""
UPSTREAM: dict[Table, Table] = {each.table: each.upstream for each in DERIVATIONS.values()}


@dataclass(frozen=True)
class Owed:
    """A date that a job should work on, and the reason."""

    date: dt.date
    reason: str


@dataclass(frozen=True)
class Deliveries:
    """The deliveries that are known without reading the source.

    ``fingerprints`` has the delivery of each date that exists. If ``is_complete``, a date without a
    fingerprint has no delivery. Otherwise only reading the source shows whether it has one.
    """

    fingerprints: Mapping[dt.date, str]
    is_complete: bool


@dataclass(frozen=True)
class Horizon:
    """The dates that may be owed, both inclusive.

    Dates from ``recent_start`` on are checked again for changes. Dates from ``window_start`` on
    must have the present definition, because the next training reads them.
    """

    start: dt.date
    end: dt.date
    recent_start: dt.date
    window_start: dt.date

    def dates(self, excluded: Collection[dt.date]) -> list[dt.date]:
        """Return the dates of the range, without ``excluded``."""
        days = days_between(self.start, self.end)
        return [day for day in days if day not in excluded]


def horizon(
    ledger: Ledger, pipeline: Pipeline, end: dt.date, since: dt.date | None
) -> Horizon | None:
    """Return the range of dates that may be owed, up to ``end``.

    It starts at the ledger's first date, or at ``since`` if that is earlier. Return None if there
    is neither, or if the start is after ``end``.
    """
    lookback_days = pipeline.source.lookback_days
    first = ledger.first_date(lookback_days)
    starts = [date for date in (first, since) if date is not None]
    if not starts or min(starts) > end:
        return None
    window_days = pipeline.training.days - 1 + pipeline.reach_days
    return Horizon(
        start=min(starts),
        end=end,
        recent_start=end - dt.timedelta(days=lookback_days),
        window_start=end - dt.timedelta(days=window_days),
    )


def requested_horizon(
    ledger: Ledger, pipeline: Pipeline, start: dt.date | None, end: dt.date
) -> Horizon | None:
    """Return the horizon of a request to heal: all of its dates, or those since the first run."""
    first = start or ledger.first_date(pipeline.source.lookback_days)
    if first is None or first > end:
        return None
    return Horizon(first, end, recent_start=first, window_start=first)


def dates_to_check(ledger: Ledger, within: Horizon) -> list[dt.date]:
    """Return the dates whose delivery must be checked.

    These are recent, in the training window, or not yet ingested (missing or rejected).
    """
    first = min(within.recent_start, within.window_start)
    settled = set()
    for date, entry in ledger.of_table("bronze").items():
        is_closed = entry.state in ("done", "empty", "accepted")
        if is_closed and date < first:
            settled.add(date)
    return within.dates(settled)


def owed_by_ingest(
    ledger: Ledger,
    pipeline: Pipeline,
    within: Horizon,
    requested: Collection[dt.date],
    deliveries: Deliveries,
) -> list[Owed]:
    """Return the dates to ingest: missed, arrived, or delivered again.

    Return none for a snapshot without dates: it is only available as of today.
    """
    if pipeline.is_snapshot:
        return []
    rule = _IngestRule(pipeline, deliveries, within, definition_of(pipeline, "bronze"))
    known = ledger.of_table("bronze")
    owed = []
    for date in within.dates(requested):
        reason = rule.reason(date, known.get(date))
        if reason:
            owed.append(Owed(date, reason))
    return owed


@dataclass(frozen=True)
class _IngestRule:
    """The rule that decides why a date is to be ingested."""

    pipeline: Pipeline
    deliveries: Deliveries
    within: Horizon
    definition: str

    def reason(self, date: dt.date, entry: Entry | None) -> str:
        """Return why ``date`` is owed; empty if it is not, or is not available now."""
        fingerprint = self.deliveries.fingerprints.get(date)
        if fingerprint is None and self.deliveries.is_complete:
            return ""
        if entry is None:
            return _reason_if(self.pipeline.source.has_delivery(date), MISSED)
        if entry.made_from == IN_WORK:
            return INTERRUPTED
        return self._reason_by_state(entry, fingerprint)

    def _reason_by_state(self, entry: Entry, fingerprint: str | None) -> str:
        is_recent = entry.event_date >= self.within.recent_start
        match entry.state:
            case "missing":
                return self._reason_of_missing(fingerprint, is_recent)
            case "rejected":
                return self._reason_of_rejected(entry, fingerprint, is_recent)
            case "accepted":
                return ""
            case _:
                return self._reason_of_ingested(entry, fingerprint, is_recent)

    def _reason_of_missing(self, fingerprint: str | None, is_recent: bool) -> str:
        if fingerprint is not None:
            return ARRIVED
        is_fetched = isinstance(self.pipeline.source, FileSource)
        return _reason_if(is_recent or is_fetched, RECHECKED)

    def _reason_of_rejected(self, entry: Entry, fingerprint: str | None, is_recent: bool) -> str:
        """Return why a rejected date is tried again.

        Its delivery or the rules for it have changed. If the delivery is unknown until the source
        is read, a recent date is checked again.
        """
        if fingerprint is None:
            return _reason_if(is_recent, RECHECKED)
        identity = rejection_identity(self.pipeline, fingerprint)
        return _reason_if(entry.made_from != identity, CHANGED)

    def _reason_of_ingested(self, entry: Entry, fingerprint: str | None, is_recent: bool) -> str:
        """Return why a date that was read before is read again."""
        is_known = fingerprint is not None and entry.made_from != ""
        is_changed = is_known and fingerprint != entry.made_from
        if is_changed and is_recent:
            return CHANGED
        is_in_window = entry.event_date >= self.within.window_start
        if is_in_window and entry.definition != self.definition:
            return OTHER_DEFINITION
        is_rechecked = getattr(self.pipeline.source, "recheck", False)
        return _reason_if(is_rechecked and is_recent and fingerprint is None, RECHECKED)


def _reason_if(condition: bool, reason: str) -> str:
    """Return ``reason`` if ``condition`` is true, else an empty text."""
    if condition:
        return reason
    return ""


def rejection_identity(pipeline: Pipeline, fingerprint: str) -> str:
    """Return the identity of a rejected date: its delivery and the rules that rejected it."""
    rules = digest(definition_of(pipeline, "bronze"), pipeline.max_rejected_share)
    return f"{fingerprint} by {rules}"


def owed_downstream(
    ledger: Ledger,
    pipeline: Pipeline,
    within: Horizon,
    requested: Collection[dt.date],
    job: str,
) -> list[Owed]:
    """Return the dates of the table that ``job`` writes that do not match its present input."""
    derivation = DERIVATIONS[job]
    table = derivation.table
    definition = definition_of(pipeline, table)
    rule = _DownstreamRule(ledger, table, definition, reach_of(pipeline, table), within)
    sources = ledger.of_table(derivation.upstream)
    made = ledger.of_table(table)
    owed = []
    for date in within.dates(requested):
        source = sources.get(date)
        if source is None:
            continue
        reason = rule.reason(source, made.get(date))
        if reason:
            owed.append(Owed(date, reason))
    return owed


@dataclass(frozen=True)
class _DownstreamRule:
    """The rule that decides why a date of ``table`` is to be made."""

    ledger: Ledger
    table: Table
    definition: str
    reach: int
    within: Horizon

    def reason(self, source: Entry, entry: Entry | None) -> str:
        """Return why the date is owed, empty if it is not. ``source`` is the entry of its input."""
        if entry is None:
            return _reason_if(source.has_rows, NOT_MADE)

        is_redefined = entry.has_rows and not covers(entry.definition, self.definition)
        is_in_window = entry.event_date >= self.within.window_start
        # Check this first: another reach changes the input of every date.
        if is_redefined and self.table == "features":
            return _reason_if(is_in_window, OTHER_DEFINITION)

        present = input_identity(self.ledger, self.table, entry.event_date, self.reach)
        if entry.made_from != present:
            return _reason_if(source.has_rows or entry.has_rows, OLDER_INPUT)
        return _reason_if(is_redefined and is_in_window, OTHER_DEFINITION)


def input_of(table: Table) -> Table:
    """Return the table that ``table`` is made from."""
    return UPSTREAM[table]


def made_from(ledger: Ledger, pipeline: Pipeline, table: Table, date: dt.date) -> str:
    """Return the identity of the input of ``date`` of ``table``."""
    return input_identity(ledger, table, date, reach_of(pipeline, table))


def reach_of(pipeline: Pipeline, table: Table) -> int:
    """Return how many earlier dates a date of ``table`` is made from."""
    if table == "features":
        return pipeline.reach_days
    return 0


def input_identity(ledger: Ledger, table: Table, date: dt.date, reach: int) -> str:
    """Return the identity of the input of ``date``, and of the ``reach`` dates before."""
    dates = []
    for days in range(reach + 1):
        dates.append(date - dt.timedelta(days=days))

    identities = list(ledger.identities(input_of(table), dates))
    if reach == 0:
        return identities[0]
    return digest(*identities)


def limit_dates(owed: Iterable[Owed], max_days: int, window_start: dt.date) -> list[Owed]:
    """Limit ``owed`` to ``max_days`` dates, the oldest ones.

    Dates of the training window that must be rebuilt are always included and not counted. Dates
    that are only checked again have the lowest priority, newest first. The result is in order of
    date.
    """
    unlimited = []
    limited = []
    rechecked = []
    for each in sorted(owed, key=_date_of):
        is_in_window = each.date >= window_start
        if each.reason == RECHECKED:
            rechecked.append(each)
        elif is_in_window and each.reason in (OTHER_DEFINITION, OLDER_INPUT):
            unlimited.append(each)
        else:
            limited.append(each)

    rechecked.reverse()
    chosen = (limited + rechecked)[:max_days]
    return sorted(unlimited + chosen, key=_date_of)


def _date_of(owed: Owed) -> dt.date:
    return owed.date


def consecutive(
    owed: Iterable[Owed],
    group_key: Callable[[dt.date], object],
) -> list[list[Owed]]:
    """Return groups of consecutive dates with the same ``group_key``."""
    ranges: list[list[Owed]] = []
    last: dt.date | None = None
    for each in owed:
        if last is not None and _are_joined(last, each.date, group_key):
            ranges[-1].append(each)
        else:
            ranges.append([each])
        last = each.date
    return ranges


def _are_joined(
    first: dt.date,
    second: dt.date,
    group_key: Callable[[dt.date], object],
) -> bool:
    is_next = second == first + dt.timedelta(days=1)
    return is_next and group_key(first) == group_key(second)
