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
"""The state of a day as a whole: the worst state of its tables, or the level of its drift."""
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
"""The marks that require action by a user or by the next run."""
MAY_BE_EMPTY = ("quarantine", "predictions", "drift")
"""A good day quarantines nothing, and a date of the training is neither scored nor monitored."""
DAY = dt.timedelta(days=1)


@dataclass(frozen=True)
class Cell:
    """One date of one table.

    ``error`` is the realised error of the date, ``level`` the level of its drift. ``run`` wrote the
    rows: a run of Airflow, or the Spark application of a job that was run manually.
    """

    date: dt.date
    table: str
    state: State
    reason: str = ""
    rows: int | None = None
    version: int | None = None
    level: str | None = None
    error: float | None = None
    run: str = ""

    @property
    def mark(self) -> Mark:
        """Return the mark of the cell, from which the mark of its day follows."""
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
        return vars(self) | {"date": str(self.date)}


def worst_mark(cells: Iterable[Cell]) -> Mark:
    """Return the worst mark of ``cells``, ``none`` without cells."""
    marks = [cell.mark for cell in cells]
    return min(marks, key=RANK.__getitem__, default="none")


@dataclass(frozen=True)
class Unreadable:
    """A table that could not be read, or its ``date`` that could not."""

    message: str
    date: dt.date | None = None


@dataclass(frozen=True)
class DayMap:
    """The cells of consecutive dates. A date without cells has no delivery, or no run yet."""

    pipeline: str
    dates: Sequence[dt.date]
    cells: Mapping[tuple[str, dt.date], Cell]
    unreadable: Sequence[Unreadable] = ()

    def of_day(self, date: dt.date) -> list[Cell]:
        """Return the cells of the date, in the order of the tables."""
        cells = (self.cells.get((table, date)) for table in TABLES)
        return [cell for cell in cells if cell is not None]

    def mark(self, date: dt.date) -> Mark:
        """Return the state of the date as a whole."""
        return worst_mark(self.of_day(date))

    def counts(self) -> list[tuple[Mark, int, dt.date]]:
        """Return how many dates are open, and the first of them, by mark, the worst first."""
        marks = {date: self.mark(date) for date in self.dates}
        numbers = Counter(marks.values())
        first: dict[Mark, dt.date] = {}
        for date, mark in marks.items():
            first.setdefault(mark, date)

        counts: list[tuple[Mark, int, dt.date]] = []
        for mark in OPEN:
            if mark in numbers:
                counts.append((mark, numbers[mark], first[mark]))
        return counts

    def last(self, days: int) -> "DayMap":
        """Return the map of the last ``days`` dates."""
        dates = self.dates[-days:]
        unreadable = []
        for each in self.unreadable:
            if each.date is None or each.date in dates:
                unreadable.append(each)
        return replace(self, dates=dates, unreadable=unreadable)


@dataclass(frozen=True)
class OpenDates:
    """Consecutive dates, both inclusive, that are open for the same reason in the same tables."""

    start: dt.date
    end: dt.date
    tables: tuple[str, ...]
    mark: Mark
    reason: str

    def is_continued_by(self, other: "OpenDates") -> bool:
        """Return True if ``other`` is the same on the next date."""
        is_next = other.start == self.end + DAY
        return is_next and self._why == other._why

    @property
    def _why(self) -> tuple[tuple[str, ...], Mark, str]:
        return self.tables, self.mark, self.reason


def open_days(day_map: DayMap) -> list[OpenDates]:
    """Return the open dates in order."""
    periods: list[OpenDates] = []
    for date in day_map.dates:
        for opened in _open_on(date, day_map.of_day(date)):
            continued = [known for known in periods if known.is_continued_by(opened)]
            if not continued:
                periods.append(opened)
                continue
            known = continued[-1]
            place = periods.index(known)
            periods[place] = replace(known, end=date)
    return periods


def _open_on(date: dt.date, cells: Iterable[Cell]) -> list[OpenDates]:
    """Return one entry for the tables that are open on the date for the same reason."""
    tables: dict[tuple[Mark, str], list[str]] = {}
    for cell in cells:
        if cell.mark in OPEN:
            names = tables.setdefault((cell.mark, cell.reason), [])
            names.append(cell.table)

    opened: list[OpenDates] = []
    for (mark, reason), names in tables.items():
        opened.append(OpenDates(date, date, tuple(names), mark, reason))
    return opened
