"""The day at a glance as one HTML page that needs no network: text, tables and pictures in one file."""

import io
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup
from matplotlib.dates import DateFormatter, DayLocator
from matplotlib.figure import Figure

from batchml.report.overview import TABLES, Overview

COLOURS = {"ok": "#2e7d32", "watch": "#ef6c00", "alarm": "#c62828"}
WIDEST = 12  # features in the picture: the loudest
PAGES = Environment(
    loader=FileSystemLoader(Path(__file__).parent),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
)


def render(day: Overview, champion: str, links: dict[str, str]) -> str:
    """Return the page.

    ``champion`` is a sentence about the current champion, ``links`` are addresses by name.
    """
    template = PAGES.get_template("page.html")
    pictures = {"errors": _svg(_errors(day.errors)), "drift": _svg(_drift(day.drift))}
    known = {"tables": TABLES, "colours": COLOURS, "infinity": math.inf}
    return template.render(day=day, champion=champion, links=links, **known, **pictures)


def _errors(rows: Sequence[dict[str, Any]]) -> Figure | None:
    """Plot the realised error by day, coloured by level, and the promised error as a line."""
    if not rows:
        return None
    days = [row["event_date"] for row in rows]
    figure = Figure(figsize=(8, 2.8), layout="constrained")
    axes = figure.add_subplot()
    axes.plot(days, [row["value"] for row in rows], color="#90a4ae", linewidth=1, zorder=1)
    axes.scatter(
        days,
        [row["value"] for row in rows],
        c=[COLOURS[row["level"]] for row in rows],
        s=22,
        zorder=2,
    )
    promised = [(row["event_date"], row["expected"]) for row in rows if row["expected"] < math.inf]
    if promised:
        axes.step(
            *zip(*promised, strict=True), where="mid", color="black", linestyle="--", linewidth=1
        )
        axes.annotate(
            "promised", promised[0], xytext=(2, 4), textcoords="offset points", fontsize=8
        )
    axes.set_ylabel(rows[-1]["measure"])
    axes.set_ylim(bottom=0)
    axes.xaxis.set_major_locator(DayLocator(interval=1 + (days[-1] - days[0]).days // 10))  # type: ignore[no-untyped-call]
    axes.xaxis.set_major_formatter(DateFormatter("%d %b"))  # type: ignore[no-untyped-call]
    return figure


def _drift(rows: Sequence[dict[str, Any]]) -> Figure | None:
    """Plot the population stability index of the columns that drift most, largest on top."""
    found = sorted(
        (row for row in rows if row["measure"] == "psi"), key=lambda row: float(row["value"])
    )[-WIDEST:]
    if not found:
        return None
    figure = Figure(figsize=(8, 0.8 + 0.3 * len(found)), layout="constrained")
    axes = figure.add_subplot()
    colours = [COLOURS[row["level"]] for row in found]
    axes.barh([row["subject"] for row in found], [row["value"] for row in found], color=colours)
    axes.set_xlabel("population stability index against the training of the date's version")
    return figure


def _svg(figure: Figure | None) -> Markup | None:
    """Return the figure as an element for the page; None stays None."""
    if figure is None:
        return None
    text = io.StringIO()
    figure.savefig(text, format="svg", metadata={"Date": None})
    return Markup(text.getvalue()[text.getvalue().index("<svg") :])
