"""Decide the state of a pipeline: good, or what is wrong, since when, and what to do about it.

Pure: lateness, the map of days and a version that waits for approval in, conditions out.
"""

import datetime as dt
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal, get_args

from batchml.config.definitions import INGESTED
from batchml.config.freshness import HEAL, Freshness, Late, trigger_snapshot
from batchml.report.days import DAY, OPEN, Cell, DayMap, Mark, worst_mark

Kind = Literal[
    "late",
    "alarm",
    "unknown",
    "rejected",
    "missing",
    "owed",
    "outdated",
    "approval",
    "not run",
    "good",
]
"""The states of a pipeline, the most urgent first. Four are those of its worst open date.

``unknown``: a table cannot be read, and could show another state.
"""
KINDS: tuple[Kind, ...] = get_args(Kind)
RANK = {kind: rank for rank, kind in enumerate(KINDS)}
OPEN_KINDS: tuple[Kind, ...] = ("rejected", "missing", "owed", "outdated")
Action = Literal["heal", "trigger", "roll back", "look", "approve", "command", "none"]
"""How to act: ``look`` at the dates first, ``approve`` in Airflow, or run the ``command``."""


UNREADABLE = "check the lake. If a file is damaged, run the job that writes the date again"


@dataclass(frozen=True)
class Approval:
    """A version that waits for a user.

    ``command`` approves it. ``is_in_airflow``: a task of the pipeline's DAG waits for the answer.
    """

    version: int
    since: dt.datetime | dt.date
    reason: str
    command: str
    is_in_airflow: bool


@dataclass(frozen=True)
class Background:
    """What the state of a pipeline depends on besides its lateness, its dates and an approval.

    ``incomplete`` are dates whose delivery is complete later, such as those of the present month in
    the file of a month. ``unreadable`` has a message for each table that could not be read.
    ``is_snapshot``: only the present snapshot can be ingested, so healing does not do it.
    ``has_dag``: the pipeline has a schedule, and so a DAG.
    """

    incomplete: Collection[dt.date] = ()
    unreadable: Sequence[str] = ()
    is_snapshot: bool = False
    has_dag: bool = True


PLAIN = Background()


@dataclass(frozen=True)
class Condition:
    """One reason why a pipeline is good or not.

    ``remedy`` is a command or an instruction. ``date`` is the one to look at, and ``run`` the run
    that wrote it.
    """

    kind: Kind
    since: dt.datetime | dt.date | None
    reason: str
    action: Action = "none"
    remedy: str = ""
    date: dt.date | None = None
    run: str = ""

    @property
    def is_command(self) -> bool:
        """Return True if the remedy is one command."""
        return self.remedy.startswith(("make ", "spark-submit ")) and "," not in self.remedy

    @property
    def since_text(self) -> str:
        """Return the date or the minute, empty if it is unknown."""
        if self.since is None:
            return ""
        if isinstance(self.since, dt.datetime):
            return f"{self.since:%Y-%m-%d %H:%M} UTC"
        return str(self.since)

    def to_json(self) -> dict[str, str | None]:
        """Return the condition as JSON keys and values."""
        since = None
        if self.since is not None:
            since = self.since.isoformat()
        return {
            "kind": self.kind,
            "since": since,
            "reason": self.reason,
            "remedy": self.remedy,
        }


@dataclass(frozen=True)
class PipelineState:
    """A pipeline with its conditions, the most urgent first, and its map if it has dates.

    A map that ends in the past has no conditions: these are of the present. Without a schedule the
    pipeline has no DAG.
    """

    pipeline: str
    conditions: Sequence[Condition]
    day_map: DayMap | None = None
    has_dag: bool = True

    @property
    def kind(self) -> Kind | None:
        """Return the most urgent state, None without conditions."""
        if not self.conditions:
            return None
        return self.conditions[0].kind

    @property
    def urgency(self) -> tuple[int, str, str]:
        """Return a key by which the most urgent pipeline, then the longest waiting, is first."""
        if not self.conditions:
            return len(KINDS), "", self.pipeline
        first = self.conditions[0]
        return RANK[first.kind], first.since_text, self.pipeline


def state_of(
    freshness: Freshness,
    day_map: DayMap | None,
    approval: Approval | None = None,
    background: Background = PLAIN,
) -> PipelineState:
    """Return the state of a pipeline. ``approval`` is the version that waits, if any."""
    name = freshness.pipeline
    conditions = list(_conditions(freshness, day_map, approval, background))
    if not conditions:
        conditions.append(_good(name, day_map))
    conditions.sort(key=lambda condition: RANK[condition.kind])
    return PipelineState(name, conditions, day_map, background.has_dag)


def _conditions(
    freshness: Freshness,
    day_map: DayMap | None,
    approval: Approval | None,
    background: Background,
) -> Iterator[Condition]:
    """Yield what is wrong. Open dates of a late pipeline are part of its lateness."""
    name = freshness.pipeline
    if freshness.late is not None:
        yield _late(freshness.late)
    if freshness.alarms:
        yield _volume_alarm(freshness)
    if day_map is not None:
        yield from _drift_alarm(day_map)
        if freshness.late is None:
            yield from _open_dates(day_map, background)
    if approval is not None:
        yield _waiting(name, approval)
    for message in dict.fromkeys(background.unreadable):
        yield Condition("unknown", None, message, remedy=UNREADABLE)


def _late(late: Late) -> Condition:
    action: Action = "trigger"
    if late.can_be_healed:
        action = "heal"
    return Condition("late", late.since, f"{late.extent} ({late.cause})", action, late.remedy)


def _volume_alarm(freshness: Freshness) -> Condition:
    alarms = freshness.alarms
    remedy = _look(freshness.pipeline)
    newest = alarms[-1]
    return Condition("alarm", alarms[0].date, newest.text, "look", remedy, newest.date)


def _drift_alarm(day_map: DayMap) -> Iterator[Condition]:
    """Yield an alarm if the newest monitored date has one.

    If all alarms are of one version, and began with it, the former one may have been better.
    """
    monitored = [cell for cell in _cells(day_map, "drift") if cell.level is not None]
    alarms: list[Cell] = []
    for cell in reversed(monitored):
        if cell.level != "alarm":
            break
        alarms.insert(0, cell)
    if not alarms:
        return

    first, last = alarms[0], alarms[-1]
    dates = f"on {last.date}"
    if first != last:
        dates = f"from {first.date} to {last.date}"
    reason = f"drift at the level of an alarm {dates}"
    before = monitored[: -len(alarms)]
    if _began_with_a_version(alarms, before):
        reason += f", which began with version {first.version}"
        remedy = f"make rollback PIPELINE={day_map.pipeline}"
        yield Condition("alarm", first.date, reason, "roll back", remedy, last.date, last.run)
        return
    remedy = _look(day_map.pipeline)
    yield Condition("alarm", first.date, reason, "look", remedy, last.date, last.run)


def _began_with_a_version(alarms: Sequence[Cell], before: Sequence[Cell]) -> bool:
    """Return True if all alarms are of one version, and the date before them of another one.

    A rollback restores the version before the present one. If several versions have alarms, that is
    one of them.
    """
    versions = {cell.version for cell in alarms}
    if not before or len(versions) != 1 or None in versions:
        return False
    former = before[-1].version
    return former is not None and former not in versions


def _look(name: str) -> str:
    """Return the command that prints the last days of each table, with reasons."""
    return f"make status PIPELINE={name} DAYS=30"


def _open_dates(day_map: DayMap, background: Background) -> Iterator[Condition]:
    """Yield the worst state of open dates, with the number of dates in each state."""
    dates: dict[Mark, list[dt.date]] = {}
    cells = _closable(day_map, background.is_snapshot)
    for date, cells_of_day in cells.items():
        mark = worst_mark(cells_of_day)
        is_to_come = mark == "missing" and date in background.incomplete
        if not is_to_come:
            dates.setdefault(mark, []).append(date)
    kinds = [kind for kind in OPEN_KINDS if kind in dates]
    if not kinds:
        return

    worst = kinds[0]
    first = dates[worst][0]
    counts = [f"{len(dates[kind])} {kind}" for kind in kinds]
    cell = next(cell for cell in cells[first] if cell.mark == worst)
    reason = f"{', '.join(counts)} ({cell.reason})"
    action: Action = "heal"
    remedy = _open_remedy(day_map.pipeline, worst, first)
    if background.is_snapshot and cell.table in INGESTED:
        action = "trigger"
        remedy = trigger_snapshot(day_map.pipeline, has_dag=background.has_dag)
    yield Condition(worst, first, reason, action, remedy, first, cell.run)


def _closable(day_map: DayMap, is_snapshot: bool) -> dict[dt.date, list[Cell]]:
    """Return the cells of each date that a run can still work on.

    Snapshots before the newest one are not available any more, so what they lack stays.
    """
    cells = {date: day_map.of_day(date) for date in _worked_on(day_map)}
    if not is_snapshot:
        return cells
    settled = [cell.date for cell in _cells(day_map, "bronze") if cell.mark not in OPEN]
    newest = max(settled, default=dt.date.min)
    for date, cells_of_day in cells.items():
        if date < newest:
            cells[date] = [cell for cell in cells_of_day if cell.table not in INGESTED]
    return cells


def _open_remedy(name: str, kind: Kind, date: dt.date) -> str:
    heal = f"{HEAL} PIPELINE={name}"
    if kind == "missing":
        accept = f"make accept PIPELINE={name} DATE={date}"
        return f"{heal} when it has arrived, {accept} if it never comes"
    if kind == "rejected":
        return f"correct the delivery, then {heal}"
    return heal


def _waiting(name: str, approval: Approval) -> Condition:
    reason = f"version {approval.version} waits for approval: {approval.reason}"
    action: Action = "command"
    remedy = approval.command
    if approval.is_in_airflow:
        action = "approve"
        remedy = f"approve it in Airflow: Required Actions of the DAG {name}"
    return Condition("approval", approval.since, reason, action, remedy)


def _good(name: str, day_map: DayMap | None) -> Condition:
    """Return since when all dates are good, as far as the map reaches."""
    if day_map is None:
        return Condition("not run", None, "no run yet", "command", f"make run PIPELINE={name}")
    dates = _worked_on(day_map)
    if not dates:
        return Condition("good", None, "nothing is expected of these dates")
    wrong = [date for date in dates if day_map.mark(date) == "alarm"]
    if wrong:
        return Condition("good", wrong[-1] + DAY, f"up to {dates[-1]}")
    first = min(_touched(day_map))
    if first > dates[0]:
        return Condition("good", first, f"since the first date, up to {dates[-1]}")
    return Condition("good", first, f"at least since then, up to {dates[-1]}")


def _worked_on(day_map: DayMap) -> list[dt.date]:
    """Return the dates up to the newest one that a run has worked on.

    If later dates are overdue, the pipeline is late. Otherwise their run is still to come.
    """
    newest = max(_touched(day_map), default=None)
    if newest is None:
        return []
    return [date for date in day_map.dates if date <= newest]


def _touched(day_map: DayMap) -> list[dt.date]:
    """Return the dates for which the ledger has an entry."""
    return [cell.date for cell in _cells(day_map, "bronze") if not _is_untouched(cell)]


def _is_untouched(cell: Cell) -> bool:
    """Return True if the ledger has no entry for the date."""
    return cell.state in ("owed", "missing") and cell.rows is None and not cell.run


def _cells(day_map: DayMap, table: str) -> list[Cell]:
    """Return the cells of one table in order of date."""
    cells = (day_map.cells.get((table, date)) for date in day_map.dates)
    return [cell for cell in cells if cell is not None]
