"""The map of days of a pipeline: the state of each date in each table."""

import datetime as dt
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

State = Literal["done", "empty", "missing", "rejected", "accepted", "outdated", "owed"]
"""The states of the ledger, and two that follow from it:

- ``outdated``: the date was made, but its delivery, input or definition has changed,
- ``owed``: it has not been made yet.
"""
Mark = Literal[State, "alarm", "watch", "none"]
"""What a day as a whole is: the worst state of its tables, or the level of its drift."""
TABLES = ("bronze", "silver", "quarantine", "features", "predictions", "drift")
WORST_FIRST: tuple[Mark, ...] = (
    "rejected",
    "missing",
    "owed",
    "outdated",
    "alarm",
    "empty",
    "watch",
    "accepted",
    "done",
    "none",
)
RANK = {mark: rank for rank, mark in enumerate(WORST_FIRST)}
OPEN: tuple[Mark, ...] = ("rejected", "missing", "owed", "outdated", "alarm")
"""What someone or the next run has to do something about."""
MAY_BE_EMPTY = ("quarantine", "predictions", "drift")
"""A good day quarantines nothing, and a date of the training is neither scored nor monitored."""
DAY = dt.timedelta(days=1)


@dataclass(frozen=True)
class Cell:
    """One date of one table. ``error`` is the realised one of the date, ``level`` its drift's."""

    date: dt.date
    table: str
    state: State
    reason: str = ""
    rows: int | None = None
    version: int | None = None
    level: str | None = None
    error: float | None = None

    @property
    def mark(self) -> Mark:
        """Return what the cell adds to its day."""
        if self.state in OPEN:
            return self.state
        if self.state == "empty" and self.table in MAY_BE_EMPTY:
            return "done"
        if self.level == "alarm":
            return "alarm"
        if self.level == "watch":
            return "watch"
        return self.state

    def to_json(self) -> dict[str, Any]:
        """Return the cell as JSON keys and values."""
        return {**vars(self), "date": str(self.date)}


@dataclass(frozen=True)
class DayMap:
    """The cells of consecutive dates. A date without cells has no delivery, or no run yet."""

    pipeline: str
    dates: Sequence[dt.date]
    cells: Mapping[tuple[str, dt.date], Cell]

    def of_day(self, date: dt.date) -> list[Cell]:
        """Return the cells of the date."""
        found = (self.cells.get((table, date)) for table in TABLES)
        return [cell for cell in found if cell is not None]

    def mark(self, date: dt.date) -> Mark:
        """Return what the date is as a whole."""
        marks = [cell.mark for cell in self.of_day(date)]
        return min(marks, key=RANK.__getitem__, default="none")

    def counts(self) -> list[tuple[Mark, int, dt.date]]:
        """Return how many dates are open, and the first of them, by mark, the worst first."""
        marks = {date: self.mark(date) for date in self.dates}
        counted = Counter(marks.values())
        first: dict[Mark, dt.date] = {}
        for date, mark in marks.items():
            first.setdefault(mark, date)
        return [(mark, counted[mark], first[mark]) for mark in OPEN if mark in counted]

    def last(self, days: int) -> "DayMap":
        """Return the map of the last ``days`` dates."""
        return replace(self, dates=self.dates[-days:])


@dataclass(frozen=True)
class Finding:
    """Consecutive dates, both inclusive, that are open for the same reason in the same tables."""

    start: dt.date
    end: dt.date
    tables: tuple[str, ...]
    mark: Mark
    reason: str

    def is_continued_by(self, other: "Finding") -> bool:
        """Return True if ``other`` is the same on the next date."""
        is_next = other.start == self.end + DAY
        return is_next and self.tables == other.tables and self._why == other._why

    @property
    def _why(self) -> tuple[Mark, str]:
        return self.mark, self.reason


def open_days(day_map: DayMap) -> list[Finding]:
    """Return what is open, by date."""
    findings: list[Finding] = []
    for date in day_map.dates:
        for found in _findings(date, day_map.of_day(date)):
            continued = [known for known in findings if known.is_continued_by(found)]
            if not continued:
                findings.append(found)
                continue
            known = continued[-1]
            findings[findings.index(known)] = replace(known, end=date)
    return findings


def _findings(date: dt.date, cells: Iterable[Cell]) -> list[Finding]:
    """Return what is open on the date: one finding for the tables with the same reason."""
    tables: dict[tuple[Mark, str], list[str]] = {}
    for cell in cells:
        if cell.mark in OPEN:
            tables.setdefault((cell.mark, cell.reason), []).append(cell.table)
    return [
        Finding(date, date, tuple(names), mark, reason) for (mark, reason), names in tables.items()
    ]
