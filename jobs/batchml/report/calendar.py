"""Print the map of days in a terminal: one character for each day, readable without colour."""

import datetime as dt
from collections.abc import Sequence
from itertools import groupby

from rich.console import Console
from rich.table import Table
from rich.text import Text

from batchml.report.days import TABLES, Cell, DayMap, Mark, OpenDates, open_days

DAYS = 30
SYMBOLS: dict[Mark, str] = {
    "done": ".",
    "empty": "e",
    "accepted": "a",
    "missing": "M",
    "rejected": "R",
    "outdated": "O",
    "owed": "N",
    "watch": "w",
    "alarm": "!",
    "none": "-",
}
MEANINGS: dict[Mark, str] = {
    "owed": "owed: not made yet",
    "watch": "drift watch",
    "alarm": "drift alarm",
    "none": "nothing expected",
}
# Okabe and Ito's palette, whose colours remain distinct in colour blindness.
BLUE = "#0072B2"
ORANGE = "#E69F00"
VERMILION = "#D55E00"
SKY = "#56B4E9"
PURPLE = "#CC79A7"
STYLES: dict[Mark, str] = {
    "missing": f"bold {VERMILION}",
    "rejected": f"bold reverse {VERMILION}",
    "outdated": ORANGE,
    "owed": f"bold {ORANGE}",
    "watch": PURPLE,
    "alarm": f"bold {PURPLE}",
    "empty": SKY,
    "accepted": SKY,
    "done": BLUE,
    "none": "dim",
}
RULER = "1   5    10   15   20   25   30"
MONTH_WIDTH = 9


def print_lines(console: Console, maps: Sequence[DayMap]) -> None:
    """Print the last days of each pipeline in a line, and the legend."""
    width = max(len(day_map.pipeline) for day_map in maps)
    console.print(f"the last {DAYS} days", style="bold")
    for day_map in maps:
        console.print(_line(day_map.last(DAYS), width), soft_wrap=True)
    console.print(legend(), soft_wrap=True)


def print_calendar(console: Console, day_map: DayMap) -> None:
    """Print a row for each month, the open dates, and the last days of each table."""
    first = day_map.dates[0]
    last = day_map.dates[-1]
    console.print(f"{day_map.pipeline} {first}..{last}", style="bold")
    console.print(" " * MONTH_WIDTH + RULER, style="dim")
    for _, dates in groupby(day_map.dates, key=_month):
        console.print(_month_row(day_map, list(dates)), soft_wrap=True)
    console.print(legend(), soft_wrap=True)
    periods = open_days(day_map)
    if periods:
        console.print()
        console.print(_open_table(periods))
    console.print()
    console.print(_full_table(day_map.last(DAYS)))
    console.print()


def legend() -> Text:
    """Return the meaning of each character."""
    text = Text()
    for mark, symbol in SYMBOLS.items():
        meaning = MEANINGS.get(mark, mark)
        text.append(symbol, STYLES[mark])
        text.append(f" {meaning}  ")
    text.rstrip()
    return text


def _line(day_map: DayMap, width: int) -> Text:
    dates = day_map.dates
    text = Text(f"{day_map.pipeline:{width}}  {dates[0]} ")
    text.append(_days(day_map, dates))
    text.append(f" {dates[-1]}")
    for mark, number, first in day_map.counts():
        text.append(f"  {number} {mark} since {first}", STYLES[mark])
    return text


def _days(day_map: DayMap, dates: Sequence[dt.date]) -> Text:
    text = Text()
    for date in dates:
        mark = day_map.mark(date)
        text.append(SYMBOLS[mark], STYLES[mark])
    return text


def _month(date: dt.date) -> str:
    return date.strftime("%Y-%m")


def _month_row(day_map: DayMap, dates: Sequence[dt.date]) -> Text:
    first = dates[0]
    indent = " " * (first.day - 1)
    text = Text(f"{_month(first):{MONTH_WIDTH}}{indent}")
    return text.append(_days(day_map, dates))


def _open_table(periods: Sequence[OpenDates]) -> Table:
    table = Table("date", "tables", "state", "reason", box=None, pad_edge=False)
    for period in periods:
        dates = str(period.start)
        if period.end > period.start:
            dates = f"{period.start}..{period.end}"
        mark = period.mark
        state = Text(f"{SYMBOLS[mark]} {mark}", STYLES[mark])
        table.add_row(dates, ", ".join(period.tables), state, period.reason)
    return table


def _full_table(day_map: DayMap) -> Table:
    columns = ("date", *TABLES, "scored by", "error")
    table = Table(*columns, box=None, pad_edge=False)
    for date in day_map.dates:
        cells = {cell.table: cell for cell in day_map.of_day(date)}
        states = [_state(cells.get(name)) for name in TABLES]
        table.add_row(str(date), *states, _version(cells), _error(cells))
    return table


def _state(cell: Cell | None) -> Text:
    """Return the state of one table, with the level for drift and the rows for the others."""
    if cell is None:
        return Text(SYMBOLS["none"], STYLES["none"])
    detail = cell.level or ""
    if cell.rows and not cell.level:
        detail = f"{cell.rows:,}"
    text = f"{SYMBOLS[cell.mark]} {cell.state} {detail}"
    return Text(text.rstrip(), STYLES[cell.mark])


def _version(cells: dict[str, Cell]) -> str:
    scored = cells.get("predictions")
    if scored is None or scored.version is None:
        return ""
    return f"version {scored.version}"


def _error(cells: dict[str, Cell]) -> str:
    monitored = cells.get("drift")
    if monitored is None or monitored.error is None:
        return ""
    return f"{monitored.error:.4g}"
