"""Render the states and the map of days as HTML: all pipelines, or one. It needs no network."""

from collections.abc import Sequence
from operator import attrgetter

from markupsafe import Markup

from batchml.report.calendar import DAYS, MEANINGS, SYMBOLS
from batchml.report.conditions import Kind, PipelineState
from batchml.report.days import TABLES, DayMap, open_days
from batchml.report.links import Links
from batchml.report.templates import PAGES

# Okabe and Ito's palette, which the colour-blind can tell apart. Each colour has a symbol as well.
# Background and text of each pair have a contrast of at least 4.5 to 1.
COLOURS: dict[str, tuple[str, str]] = {
    "done": ("#0072B2", "#ffffff"),
    "empty": ("#56B4E9", "#000000"),
    "accepted": ("#56B4E9", "#000000"),
    "missing": ("#B34700", "#ffffff"),
    "rejected": ("#7A2E00", "#ffffff"),
    "outdated": ("#E69F00", "#000000"),
    "owed": ("#F0E442", "#000000"),
    "watch": ("#E9C3D8", "#000000"),
    "alarm": ("#CC79A7", "#000000"),
    "none": ("#e8e8e8", "#555555"),
}
KIND_COLOURS: dict[Kind, tuple[str, str]] = {
    "late": ("#000000", "#ffffff"),
    "alarm": COLOURS["alarm"],
    "unknown": ("#444444", "#ffffff"),
    "rejected": COLOURS["rejected"],
    "missing": COLOURS["missing"],
    "owed": COLOURS["owed"],
    "outdated": COLOURS["outdated"],
    "approval": COLOURS["empty"],
    "good": COLOURS["done"],
}
"""The colours of states. A state is also written in words."""


def render_overview(
    states: Sequence[PipelineState], problems: Sequence[str], links: Links, nonce: str
) -> str:
    """Return the page of all pipelines, the most urgent first, each with its last days.

    ``problems`` are errors of pipelines that could not be read. ``nonce`` marks the page's own
    script and style for its content security policy.
    """
    ordered = sorted(states, key=attrgetter("urgency"))
    shown = [state for state in ordered if state.kind != "not run"]
    not_run = [state for state in ordered if state.kind == "not run"]
    return _render(
        "map_overview.html",
        states=shown,
        not_run=not_run,
        names=_names_by_kind(shown),
        problems=problems,
        links=links,
        nonce=nonce,
    )


def _names_by_kind(states: Sequence[PipelineState]) -> dict[Kind, list[str]]:
    """Return the pipelines of each state, in the order of ``states``."""
    names: dict[Kind, list[str]] = {}
    for state in states:
        if state.kind is not None:
            names.setdefault(state.kind, []).append(state.pipeline)
    return names


def render_pipeline(state: PipelineState, links: Links, nonce: str) -> str:
    """Return the page of a pipeline: what is wrong or open, and each date with its tables."""
    return _render(
        "map_pipeline.html", state=state, day_map=state.day_map, links=links, nonce=nonce
    )


def render_section(day_map: DayMap) -> Markup:
    """Return the last days and what is open, as a section of another page."""
    return Markup(_render("map_section.html", day_map=day_map.last(DAYS)))


def _render(template: str, **values: object) -> str:
    meanings = {mark: MEANINGS.get(mark, mark) for mark in SYMBOLS}
    return PAGES.get_template(template).render(
        colours=COLOURS,
        kind_colours=KIND_COLOURS,
        symbols=SYMBOLS,
        meanings=meanings,
        tables=TABLES,
        open_days=open_days,
        days=DAYS,
        **values,
    )
