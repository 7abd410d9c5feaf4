"""Render the daily summary as one HTML file with text, tables and pictures. It needs no network."""

import io
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from markupsafe import Markup
from matplotlib.axes import Axes
from matplotlib.dates import DateFormatter, DayLocator
from matplotlib.figure import Figure

from batchml.clients.delta_tables import Row
from batchml.config.freshness import DayVolume, Late
from batchml.report.calendar import ORANGE, VERMILION
from batchml.report.days import DayMap
from batchml.report.map_page import render_section
from batchml.report.overview import TABLES, Overview
from batchml.report.templates import PAGES

COLOURS = {"ok": "#2e7d32", "watch": "#ef6c00", "alarm": "#c62828"}
MOST_BARS = 12
# Of the palette of Okabe and Ito, as in the map of days.
BANNER_COLOURS = {"watch": ORANGE, "alarm": VERMILION}


@dataclass(frozen=True)
class Banner:
    """A sentence at the top of the page, with the colour of its edge."""

    text: str
    colour: str


@dataclass(frozen=True)
class PageContext:
    """The parts of the page that the overview of the day does not have.

    ``champion`` is a sentence about the current champion, ``links`` are addresses by name, and
    ``day_map`` has the days up to the page's.
    """

    champion: str
    links: Mapping[str, str]
    banners: Sequence[Banner]
    day_map: DayMap | None


def render(day: Overview, context: PageContext) -> str:
    """Return the page."""
    template = PAGES.get_template("page.html")
    section = None
    if context.day_map is not None:
        section = render_section(context.day_map)
    return template.render(
        day=day,
        section=section,
        champion=context.champion,
        links=context.links,
        banners=context.banners,
        tables=TABLES,
        colours=COLOURS,
        infinity=math.inf,
        errors=_svg(_errors(day.errors)),
        drift=_svg(_drift(day.drift)),
    )


def banners_of(late: Late | None, volume: DayVolume | None) -> list[Banner]:
    """Return banners if the pipeline is late, or the volume of the page's date is unusual."""
    banners = []
    if late is not None:
        text = f"{late.headline} ({late.cause})"
        banners.append(Banner(f"{text[0].upper()}{text[1:]}.", VERMILION))
    if volume is not None and volume.level != "ok":
        banners.append(Banner(f"Volume: {volume.text}.", BANNER_COLOURS[volume.level]))
    return banners


def _errors(rows: Sequence[Row]) -> Figure | None:
    """Plot the realised error by day, coloured by level, and the error at evaluation as a line."""
    if not rows:
        return None
    dates = [row["event_date"] for row in rows]
    values = [row["value"] for row in rows]
    colours = [COLOURS[row["level"]] for row in rows]
    figure = Figure(figsize=(8, 2.8), layout="constrained")
    axes = figure.add_subplot()
    axes.plot(dates, values, color="#90a4ae", linewidth=1, zorder=1)
    axes.scatter(dates, values, c=colours, s=22, zorder=2)

    evaluated = [row for row in rows if row["expected"] < math.inf]
    if evaluated:
        _draw_evaluated(axes, evaluated)

    axes.set_ylabel(rows[-1]["measure"])
    axes.set_ylim(bottom=0)
    days = (dates[-1] - dates[0]).days
    interval = 1 + days // 10
    axes.xaxis.set_major_locator(DayLocator(interval=interval))  # type: ignore[no-untyped-call]
    axes.xaxis.set_major_formatter(DateFormatter("%d %b"))  # type: ignore[no-untyped-call]
    return figure


def _draw_evaluated(axes: Axes, rows: Sequence[Row]) -> None:
    """Draw the error that was measured at evaluation as a dashed line."""
    dates = [row["event_date"] for row in rows]
    expected = [row["expected"] for row in rows]
    axes.step(
        dates,
        expected,
        where="mid",
        color="black",
        linestyle="--",
        linewidth=1,
    )
    axes.annotate(
        "at evaluation",
        (dates[0], expected[0]),
        xytext=(2, 4),
        textcoords="offset points",
        fontsize=8,
    )


def _drift(rows: Sequence[Row]) -> Figure | None:
    """Plot the population stability index of the columns that drift most, largest on top."""
    indexes = [row for row in rows if row["measure"] == "psi"]
    indexes.sort(key=lambda row: float(row["value"]))
    largest = indexes[-MOST_BARS:]
    if not largest:
        return None

    subjects = [row["subject"] for row in largest]
    values = [row["value"] for row in largest]
    colours = [COLOURS[row["level"]] for row in largest]
    figure = Figure(figsize=(8, 0.8 + 0.3 * len(largest)), layout="constrained")
    axes = figure.add_subplot()
    axes.barh(subjects, values, color=colours)
    axes.set_xlabel("population stability index against the training of the date's version")
    return figure


def _svg(figure: Figure | None) -> Markup | None:
    """Return the figure as an element for the page, or None without a figure."""
    if figure is None:
        return None
    buffer = io.StringIO()
    figure.savefig(buffer, format="svg", metadata={"Date": None})
    text = buffer.getvalue()
    # The XML declaration before the element does not belong into a page.
    start = text.index("<svg")
    return Markup(text[start:])
