"""The map of days as HTML."""

import datetime as dt
import re
from html.parser import HTMLParser

import pytest

from batchml.config.freshness import Freshness, Late
from batchml.config.sources import days_between
from batchml.report.calendar import SYMBOLS
from batchml.report.conditions import KINDS, Approval, Background, PipelineState, state_of
from batchml.report.days import Cell, DayMap
from batchml.report.links import Links
from batchml.report.map_page import (
    COLOURS,
    KIND_COLOURS,
    render_overview,
    render_pipeline,
    render_section,
)

FIRST = dt.date(2021, 1, 1)
DATES = days_between(FIRST, dt.date(2021, 1, 5))
LINKS = Links("http://airflow", "http://mlflow", "http://history")


def day_map(name: str = "taxi", **states: str) -> DayMap:
    """Return a map in which all dates are done but those in ``states``, as ``d3="missing"``."""
    cells = {}
    for date in DATES:
        state = states.get(f"d{date.day}", "done")
        cells["bronze", date] = Cell(date, "bronze", state, f"why {state}", 1234, run="manual__1")
        cells["predictions", date] = Cell(date, "predictions", "done", rows=5, version=7, run="by")
    return DayMap(name, DATES, cells)


def state(name: str = "taxi", **states: str) -> PipelineState:
    """Return the state of a pipeline with the map ``day_map`` returns."""
    return state_of(Freshness(pipeline=name), day_map(name, **states))


def late(name: str, first: dt.date = FIRST, *, has_map: bool = True) -> PipelineState:
    """Return the state of a pipeline that is late since midnight of ``first``."""
    found = Late(
        since=dt.datetime.combine(first, dt.time(), dt.UTC),
        dates=2,
        first=first,
        table="bronze",
        reason="no run has worked on it",
        remedy=f"make heal PIPELINE={name}",
    )
    known = day_map(name) if has_map else None
    return state_of(Freshness(pipeline=name, late=found), known)


def waiting(*, is_in_airflow: bool) -> PipelineState:
    """Return the state of a pipeline with a version that waits for approval."""
    approval = Approval(3, FIRST, "it passed", "spark-submit approve", is_in_airflow)
    return state_of(Freshness(pipeline="taxi"), day_map(), approval)


class Elements(HTMLParser):
    """The start tags of a page with their attributes."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        """Add the tag."""
        self.tags.append((tag, dict(attrs)))

    def of(self, tag: str) -> list[dict[str, str | None]]:
        """Return the attributes of each ``tag``."""
        return [attributes for name, attributes in self.tags if name == tag]


def test_late_pipeline_comes_first():
    states = [state("alright"), state("broken", d3="missing"), late("z", DATES[1]), late("y")]
    text = render_overview(states, [], LINKS, "n")
    places = [text.index(f'id="{name}"') for name in ("y", "z", "broken", "alright")]
    assert places == sorted(places)


def test_late_pipeline_names_time_and_command():
    text = render_overview([late("taxi")], [], LINKS, "n")
    assert '<span class="kind late">late</span> since 2021-01-01 00:00 UTC' in text
    assert "<code>make heal PIPELINE=taxi</code>" in text
    assert [button["data-dag"] for button in Elements(text).of("button")] == ["taxi"]


def test_late_pipeline_without_a_run_is_shown():
    text = render_overview([late("taxi", has_map=False)], [], LINKS, "n")
    assert 'id="taxi"' in text
    assert "days/taxi" not in text


def test_pipeline_page_begins_with_its_state():
    text = render_pipeline(late("taxi"), LINKS, "n")
    assert text.index('class="kind late"') < text.index('class="days"')


def test_pipeline_not_run_is_named_last():
    states = [state_of(Freshness(pipeline="new"), None), state()]
    text = render_overview(states, [], LINKS, "n")
    assert 'Not run yet: <a href="http://airflow/dags/new">new</a>.' in text
    assert 'id="new"' not in text


def test_approval_links_to_airflow():
    text = render_overview([waiting(is_in_airflow=True)], [], LINKS, "n")
    links = [link["href"] for link in Elements(text).of("a")]
    assert "http://airflow/dags/taxi/required_actions" in links


def test_undecided_gate_shows_the_command():
    text = render_overview([waiting(is_in_airflow=False)], [], LINKS, "n")
    assert "<code>spark-submit approve</code>" in text
    assert "required_actions" not in text


def test_overview_counts_open_dates():
    states = [state("alright"), state("broken", d3="missing")]
    text = render_overview(states, [], LINKS, "n")
    assert "1 missing since 2021-01-03" in text
    assert "Nothing is open from 2021-01-01 to 2021-01-05." in text


def test_only_open_pipeline_can_be_healed():
    states = [state("alright"), state("broken", d3="owed")]
    buttons = Elements(render_overview(states, [], LINKS, "n")).of("button")
    assert [button["data-dag"] for button in buttons] == ["broken"]


def test_pipeline_page_has_one_button():
    buttons = Elements(render_pipeline(state(d3="owed"), LINKS, "n")).of("button")
    assert len(buttons) == 1


def test_snapshot_has_no_healing_button():
    snapshot = Background(is_snapshot=True)
    rejected = state_of(Freshness(pipeline="taxi"), day_map(d5="rejected"), background=snapshot)
    assert Elements(render_pipeline(rejected, LINKS, "n")).of("button") == []


def test_day_links_to_its_row():
    overview = Elements(render_overview([state()], [], LINKS, "n")).of("a")
    days = [link["href"] for link in overview if "day" in (link.get("class") or "")]
    assert days == [f"days/taxi#{date}" for date in DATES]
    rows = Elements(render_pipeline(state(), LINKS, "n")).of("tr")
    assert [row["id"] for row in rows if "id" in row] == [str(date) for date in reversed(DATES)]


def test_date_without_cells_has_no_row():
    longer = DayMap("taxi", [*DATES, dt.date(2021, 1, 6)], day_map().cells)
    page = render_pipeline(state_of(Freshness(pipeline="taxi"), longer), LINKS, "n")
    assert "2021-01-06" not in [row.get("id") for row in Elements(page).of("tr")]


def test_cell_links_to_run_and_model():
    links = {link["href"] for link in Elements(render_pipeline(state(), LINKS, "n")).of("a")}
    assert "http://airflow/dags/taxi/runs/manual__1" in links
    assert "http://mlflow/#/models/taxi/versions/7" in links


def test_rejected_date_links_to_its_run():
    text = render_overview([state(d3="rejected")], [], LINKS, "n")
    links = {link["href"] for link in Elements(text).of("a")}
    assert "http://airflow/dags/taxi/runs/manual__1" in links


@pytest.mark.parametrize(
    ("run", "address"),
    [
        ("scheduled__2021-01-02T00:00:00+00:00", "scheduled__2021-01-02T00%3A00%3A00%2B00%3A00"),
        ("by-hand", "by-hand"),
    ],
)
def test_airflow_run_has_an_address(run: str, address: str):
    assert LINKS.of_run("taxi", run) == f"http://airflow/dags/taxi/runs/{address}"


def test_manual_run_leads_to_its_application():
    assert LINKS.of_run("taxi", "app-20210102-0001") == (
        "http://history/history/app-20210102-0001/jobs/"
    )


@pytest.mark.parametrize("run", ["", "ingest"])
def test_run_without_a_page_has_no_address(run: str):
    assert LINKS.of_run("taxi", run) == ""


def test_unknown_servers_leave_no_empty_link():
    for text in (
        render_overview([state(d3="missing")], [], Links(), "n"),
        render_pipeline(state(d3="missing"), Links(), "n"),
        render_overview([waiting(is_in_airflow=True)], [], Links(), "n"),
    ):
        elements = Elements(text)
        assert all(link["href"] for link in elements.of("a"))
        assert elements.of("button") == []


def test_text_is_escaped():
    hostile = state('<script>alert("1")</script>', d2="rejected")
    for text in (
        render_overview([hostile], ["<b>no</b>"], LINKS, "n"),
        render_pipeline(hostile, LINKS, "n"),
        render_section(hostile.day_map),
    ):
        assert "<script>alert" not in text
        assert "<b>no" not in text


def test_section_has_no_link_and_no_script():
    elements = Elements(render_section(day_map(d2="rejected")))
    assert (elements.of("a"), elements.of("script")) == ([], [])


def test_past_map_has_no_state():
    past = PipelineState("taxi", (), day_map(d3="missing"))
    text = render_overview([past], [], LINKS, "n")
    assert "The state is shown for the present only" in text
    assert 'class="kind' not in text


def test_pipeline_without_dag_shows_only_the_command():
    without_dag = Background(has_dag=False)
    states = [
        state_of(Freshness(pipeline="taxi"), day_map(d3="rejected"), background=without_dag),
        state_of(Freshness(pipeline="new"), None, background=without_dag),
    ]
    overview = render_overview(states, [], LINKS, "n")
    for text in (overview, render_pipeline(states[0], LINKS, "n")):
        addresses = {link["href"] for link in Elements(text).of("a")}
        assert addresses.isdisjoint({"http://airflow/dags/taxi", "http://airflow/dags/new"})
        assert Elements(text).of("button") == []
    assert "correct the delivery, then make heal PIPELINE=taxi" in overview


def test_log_in_is_advised_for_401_only():
    script = render_overview([state()], [], LINKS, "n").split("<script")[1]
    lines = [line.strip() for line in script.splitlines() if "log in" in line]
    assert lines == ['401: "log in, then reload this page",']


def test_problem_of_one_pipeline_is_shown():
    assert "census: no lake" in render_overview([state()], ["census: no lake"], LINKS, "n")


def test_each_mark_has_symbol_and_colour():
    assert set(COLOURS) == set(SYMBOLS)
    assert len(set(SYMBOLS.values())) == len(SYMBOLS)


def luminance(colour: str) -> float:
    """Return the relative luminance (WCAG 2.2)."""
    parts = [int(pair, 16) / 255 for pair in re.findall("..", colour[1:])]
    linear = [
        part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts
    ]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def test_each_shown_state_has_a_colour():
    assert set(KIND_COLOURS) == set(KINDS) - {"not run"}


@pytest.mark.parametrize("pair", [*COLOURS.values(), *KIND_COLOURS.values()])
def test_text_has_contrast_to_its_background(pair: tuple[str, str]):
    dark, light = sorted(luminance(colour) for colour in pair)
    assert (light + 0.05) / (dark + 0.05) >= 4.5
