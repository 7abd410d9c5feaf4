"""The map of days as HTML."""

import datetime as dt
import re
from html.parser import HTMLParser

import pytest

from batchml.config.sources import days_between
from batchml.report.calendar import SYMBOLS
from batchml.report.days import Cell, DayMap
from batchml.report.links import Links
from batchml.report.map_page import COLOURS, render_overview, render_pipeline, render_section

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


def test_open_pipeline_comes_first():
    maps = [day_map("alright"), day_map("broken", d3="missing")]
    text = render_overview(maps, [], LINKS, "n")
    assert text.index("days/broken") < text.index("days/alright")
    assert "1 missing since 2021-01-03" in text
    assert "Nothing is open from 2021-01-01 to 2021-01-05." in text


def test_only_open_pipeline_can_be_healed():
    maps = [day_map("alright"), day_map("broken", d3="owed")]
    buttons = Elements(render_overview(maps, [], LINKS, "n")).of("button")
    assert [button["data-dag"] for button in buttons] == ["broken"]


def test_day_links_to_its_row():
    overview = Elements(render_overview([day_map()], [], LINKS, "n")).of("a")
    days = [link["href"] for link in overview if "day" in (link.get("class") or "")]
    assert days == [f"days/taxi#{date}" for date in DATES]
    rows = Elements(render_pipeline(day_map(), LINKS, "n")).of("tr")
    assert [row["id"] for row in rows if "id" in row] == [str(date) for date in reversed(DATES)]


def test_date_without_cells_has_no_row():
    longer = DayMap("taxi", [*DATES, dt.date(2021, 1, 6)], day_map().cells)
    rows = Elements(render_pipeline(longer, LINKS, "n")).of("tr")
    assert "2021-01-06" not in [row.get("id") for row in rows]


def test_cell_links_to_run_and_model():
    links = {link["href"] for link in Elements(render_pipeline(day_map(), LINKS, "n")).of("a")}
    assert "http://airflow/dags/taxi/runs/manual__1" in links
    assert "http://mlflow/#/models/taxi/versions/7" in links


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
        render_overview([day_map(d3="missing")], [], Links(), "n"),
        render_pipeline(day_map(d3="missing"), Links(), "n"),
    ):
        elements = Elements(text)
        assert all(link["href"] for link in elements.of("a"))
        assert elements.of("button") == []


def test_text_is_escaped():
    hostile = day_map('<script>alert("1")</script>', d2="rejected")
    for text in (
        render_overview([hostile], ["<b>no</b>"], LINKS, "n"),
        render_pipeline(hostile, LINKS, "n"),
        render_section(hostile),
    ):
        assert "<script>alert" not in text
        assert "<b>no" not in text


def test_section_has_no_link_and_no_script():
    elements = Elements(render_section(day_map(d2="rejected")))
    assert (elements.of("a"), elements.of("script")) == ([], [])


def test_problem_of_one_pipeline_is_shown():
    assert "census: no lake" in render_overview([day_map()], ["census: no lake"], LINKS, "n")


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


@pytest.mark.parametrize("mark", COLOURS)
def test_text_has_contrast_to_its_background(mark: str):
    dark, light = sorted(luminance(colour) for colour in COLOURS[mark])
    assert (light + 0.05) / (dark + 0.05) >= 4.5
