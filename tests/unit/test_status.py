"""Print the map of days by `make status`: as lines, as a calendar and as JSON."""

import datetime as dt
import json
from pathlib import Path

import pytest

from batchml.commands import status
from batchml.config import conf_folder, load_pipeline
from batchml.config.sources import days_between
from tests.unit.test_day_map import write_lake

FIRST, LAST = dt.date(2021, 1, 1), dt.date(2021, 2, 10)


@pytest.fixture(scope="module")
def lake(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of a lake in which the drift of all dates of taxi is watched."""
    folder = tmp_path_factory.mktemp("status")
    write_lake(folder, load_pipeline("taxi", conf_folder()), days_between(FIRST, LAST))
    return folder


@pytest.fixture
def run(lake: Path, monkeypatch, capsys):
    """Return a function that prints the map up to two days after the last date."""
    monkeypatch.setenv("BATCHML_LAKE", str(lake / "lake"))
    monkeypatch.setenv("BATCHML_LANDING", str(lake / "landing"))
    # The overview reads more of the tables than this lake has. tests/steps covers it.
    monkeypatch.setattr(status.overview, "print_overviews", lambda *_: 0)

    def call(*arguments: str) -> str:
        assert status.main([*arguments, "--end", "2021-02-12"]) == 0
        return capsys.readouterr().out

    return call


def test_line_has_thirty_days(run):
    line = next(line for line in run().splitlines() if line.startswith("taxi"))
    assert f" {'w' * 28}MM 2021-02-12" in line


def test_line_names_the_first_missing_day(run):
    assert "2 missing since 2021-02-11" in run()


def test_calendar_has_a_row_per_month(run):
    rows = [line for line in run("--pipeline", "taxi", "--days", "400").splitlines() if line]
    assert f"2021-01  {'w' * 31}" in rows


def test_calendar_lists_open_days_once(run):
    text = run("--pipeline", "taxi", "--days", "400")
    assert text.count("2021-02-11..2021-02-12  bronze, silver, quarantine") == 1


def test_piped_map_has_no_colour(run):
    assert "\x1b" not in run("--days", "40")


def test_json_has_a_record_per_cell(run):
    days = json.loads(run("--pipeline", "taxi", "--json"))["taxi"]
    keys = ["date", "table", "state", "reason", "rows", "version", "level", "error", "run"]
    assert [*days[0]] == keys


def test_json_names_the_reason(run):
    last = json.loads(run("--json"))["taxi"][-1]
    expected = ("2021-02-12", "missing", "its delivery has not arrived")
    assert (last["date"], last["state"], last["reason"]) == expected


def test_unknown_pipeline_ends_with_four():
    assert status.main(["--pipeline", "taxo", "--json"]) == 4


def test_unreadable_overview_does_not_hide_the_map(run, monkeypatch, capsys):
    monkeypatch.setattr(status.overview, "print_overviews", lambda *_: 5)
    assert status.main(["--end", "2021-02-12"]) == 5
    assert "2 missing since" in capsys.readouterr().out
