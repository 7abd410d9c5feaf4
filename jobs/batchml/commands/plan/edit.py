"""Compare a pipeline's configuration with the one that its tables were made by."""

import datetime as dt
from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace

from batchml.commands.plan.champion import Champion, ChampionPlan, plan_champion
from batchml.commands.plan.dates import DateRange, Run, date_range, rebuilt_dates
from batchml.config import Pipeline
from batchml.config.definitions import INGESTED, Table, covers, definition_of
from batchml.lake import owed
from batchml.lake.ledger import Entry, Ledger
from batchml.lake.owed import Deliveries, Horizon, Owed

DERIVED = tuple(each.table for each in owed.DERIVATIONS.values())
TABLES: tuple[Table, ...] = (*INGESTED, *DERIVED)


@dataclass(frozen=True)
class Columns:
    """The columns of features that an edit adds, removes or defines in another way."""

    added: tuple[str, ...] = ()
    removed: tuple[str, ...] = ()
    changed: tuple[str, ...] = ()


@dataclass(frozen=True)
class Rebuild:
    """Dates that the next run rebuilds for one reason."""

    reason: str
    dates: DateRange


@dataclass(frozen=True)
class TablePlan:
    """What an edit changes in one table.

    ``is_changed``: its newest rows are of another definition. ``kept`` are dates before the window
    of the next training, which keep their old definition. ``blocked`` are dates of the window that
    cannot be rebuilt now.
    """

    table: Table
    is_changed: bool
    columns: Columns
    rebuild: tuple[Rebuild, ...]
    kept: DateRange | None
    blocked: DateRange | None


@dataclass(frozen=True)
class EditPlan:
    """What an edit changes, as seen by the run of the date ``run``.

    Without tables, ``run`` and ``window_start`` are None. ``champion`` is None without a champion,
    and ``champion_unknown`` is why that is unknown. ``has_ledger``: the definition that
    the tables were made by is recorded. Otherwise it counts as the present one.
    """

    pipeline: str
    run: dt.date | None = None
    window_start: dt.date | None = None
    tables: tuple[TablePlan, ...] = ()
    champion: ChampionPlan | None = None
    champion_unknown: str = ""
    has_ledger: bool = True
    is_snapshot: bool = False
    """The source is only what it is today: an earlier date cannot be read again."""

    @property
    def has_rebuilds(self) -> bool:
        """Return True if a table is rebuilt for any date."""
        return any(table.rebuild for table in self.tables)


@dataclass(frozen=True)
class Known:
    """What is known besides the entries of the ledger.

    ``champion`` is a reason if it could not be read. ``has_ledger`` is False if the entries follow
    from the tables, because the ledger has not been created.
    """

    deliveries: Deliveries
    champion: Champion | str | None
    has_ledger: bool = True


def next_run(ledger: Ledger) -> dt.date | None:
    """Return the date after the newest that was worked on; None before the first run."""
    entries = ledger.of_table("bronze")
    worked_on = [date for date, entry in entries.items() if entry.is_worked_on]
    newest = max(worked_on, default=max(entries, default=None))
    if newest is None:
        return None
    return newest + dt.timedelta(days=1)


def horizon_of(
    ledger: Ledger,
    pipeline: Pipeline,
    run: dt.date,
) -> Horizon | None:
    """Return the dates that the run of ``run`` may owe; None before the first run."""
    horizon = owed.horizon(ledger, pipeline, run, None)
    if horizon is None:
        return None
    # The run's own date is new, whatever was edited.
    last = run - dt.timedelta(days=1)
    return replace(horizon, end=last)


def plan_edit(
    pipeline: Pipeline,
    ledger: Ledger,
    horizon: Horizon | None,
    known: Known,
) -> EditPlan:
    """Return what ``pipeline`` changes in the tables that ``ledger`` describes."""
    unknown = ""
    champion = None
    if isinstance(known.champion, str):
        unknown = known.champion
    elif known.champion is not None:
        champion = plan_champion(pipeline, known.champion)
    if horizon is None:
        return EditPlan(pipeline.name, champion=champion, champion_unknown=unknown)

    is_scoring = bool(unknown) or (champion is not None and champion.can_score)
    run = Run(
        pipeline,
        horizon,
        known.deliveries,
        is_scoring,
    )
    rebuilt = rebuilt_dates(ledger, run)
    tables = []
    for table in TABLES:
        tables.append(_plan_table(ledger, run, table, rebuilt.get(table, [])))
    return EditPlan(
        pipeline=pipeline.name,
        run=horizon.end + dt.timedelta(days=1),
        window_start=horizon.window_start,
        tables=tuple(tables),
        champion=champion,
        champion_unknown=unknown,
        has_ledger=known.has_ledger,
        is_snapshot=pipeline.is_snapshot,
    )


def _plan_table(
    ledger: Ledger,
    run: Run,
    table: Table,
    rebuilt: Collection[Owed],
) -> TablePlan:
    definition = definition_of(run.pipeline, table)
    entries = ledger.of_table(table)
    filled = {date: entry for date, entry in entries.items() if entry.has_rows}
    outdated = _outdated(filled, definition)
    left = outdated.difference(each.date for each in rebuilt)
    kept, blocked = _divided(left, run.horizon.window_start)

    newest = max(filled, default=None)
    columns = Columns()
    if table == "features" and newest is not None:
        columns = _changed_columns(filled[newest].definition, definition)
    return TablePlan(
        table=table,
        is_changed=newest in outdated or bool(columns.removed),
        columns=columns,
        rebuild=_by_reason(entries, rebuilt),
        kept=date_range(entries, kept),
        blocked=date_range(entries, blocked),
    )


def _outdated(entries: Mapping[dt.date, Entry], definition: str) -> set[dt.date]:
    """Return the dates whose rows are of another definition."""
    outdated = set()
    for date, entry in entries.items():
        if not covers(entry.definition, definition):
            outdated.add(date)
    return outdated


def _divided(
    dates: Collection[dt.date], window_start: dt.date
) -> tuple[list[dt.date], list[dt.date]]:
    """Return the dates before ``window_start``, and the others."""
    before = [date for date in dates if date < window_start]
    others = [date for date in dates if date >= window_start]
    return before, others


def _changed_columns(former: str, present: str) -> Columns:
    """Compare two definitions of features, which have a hash for each column."""
    before = dict(_name_and_hash(part) for part in former.split())
    after = dict(_name_and_hash(part) for part in present.split())
    both = before.keys() & after.keys()
    return Columns(
        added=tuple(sorted(after.keys() - before.keys())),
        removed=tuple(sorted(before.keys() - after.keys())),
        changed=tuple(sorted(name for name in both if before[name] != after[name])),
    )


def _name_and_hash(part: str) -> tuple[str, str]:
    name, _, hashed = part.partition("=")
    return name, hashed


def _by_reason(entries: dict[dt.date, Entry], rebuilt: Collection[Owed]) -> tuple[Rebuild, ...]:
    """Return the rebuilt dates by reason, in the order of their first date."""
    rebuilds = []
    for reason in dict.fromkeys(each.reason for each in rebuilt):
        dates = date_range(entries, [each.date for each in rebuilt if each.reason == reason])
        if dates is not None:
            rebuilds.append(Rebuild(reason, dates))
    return tuple(rebuilds)
