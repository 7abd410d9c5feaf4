"""Print the map of days by `make status`: as lines, as a calendar and as JSON."""

import datetime as dt
import json
import re
import shutil
from pathlib import Path

import pytest
from rich.console import Console

from batchml.commands import status
from batchml.config import conf_folder, load_pipeline
from batchml.config.freshness import DayVolume, Freshness
from batchml.config.sources import days_between
from batchml.errors import Unavailable
from batchml.lake.first_ledger import read_ledger
from batchml.workflow import stored
from tests.support.lakes import write_lake, write_table

FIRST, LAST = dt.date(2021, 1, 1), dt.date(2021, 2, 10)
NOW = dt.datetime(2021, 2, 14, 9, 30, tzinfo=dt.UTC)


@pytest.fixture(scope="module")
def lake(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of a lake in which the drift of all dates of taxi is watched."""
    folder = tmp_path_factory.mktemp("status")
    write_lake(folder, load_pipeline("taxi", conf_folder()), days_between(FIRST, LAST))
    return folder


@pytest.fixture
def run(lake: Path, monkeypatch, capsys):
    """Return a function that prints the map, by default up to two days after the last date."""
    monkeypatch.setenv("BATCHML_LAKE", str(lake / "lake"))
    monkeypatch.setenv("BATCHML_LANDING", str(lake / "landing"))
    monkeypatch.setattr(status, "present_time", lambda: NOW)

    def call(*arguments: str, end: str | None = "2021-02-12") -> str:
        options = list(arguments)
        if end is not None:
            options += ["--end", end]
        assert status.main(options) == 0
        return capsys.readouterr().out

    return call


def test_line_has_thirty_days(run):
    line = next(line for line in run().splitlines() if line.startswith("taxi  "))
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
    def fail(*_: object, **__: object):
        raise Unavailable("no bronze")

    monkeypatch.setattr(status.overview, "overview_of", fail)
    assert status.main(["--end", "2021-02-12"]) == 5
    assert "2 missing since" in capsys.readouterr().out


LATE = (
    "taxi is late since 2021-02-14 00:00 UTC: 1 date, first 2021-02-11 "
    "(bronze: no run has worked on it); make heal PIPELINE=taxi"
)


def test_late_pipeline_is_the_first_line(run):
    assert run().splitlines()[0] == LATE


def test_late_line_is_vermilion(monkeypatch, run):
    console = Console(width=170, record=True, force_terminal=True, color_system="truecolor")
    monkeypatch.setattr(status, "Console", lambda **_: console)
    run()
    first = console.export_text(styles=True).splitlines()[0]
    assert first.startswith("\x1b[1;38;2;213;94;0mtaxi is late since")


def test_late_pipeline_has_state_time_and_command(run):
    cells = next(line for line in run(end=None).splitlines() if line.startswith("│ taxi")).split(
        "│"
    )
    assert [cell.strip() for cell in cells[1:4]] == ["taxi", "late", "2021-02-14 00:00 UTC"]
    assert cells[5].strip() == "make heal PIPELINE=taxi"


def test_good_pipeline_has_a_line(run, monkeypatch):
    monkeypatch.setattr(status, "present_time", lambda: NOW - dt.timedelta(days=1))
    assert re.search(r"│ taxi +│ good +│ 2021-01-06 +│", run(end=None))


def test_version_that_waits_has_the_address(run, lake: Path, tmp_path: Path, monkeypatch):
    conf = shutil.copytree(conf_folder(), tmp_path / "conf")
    taxi = conf / "pipelines" / "taxi.yaml"
    taxi.write_text(taxi.read_text().replace("gate:\n", "gate:\n  approval: manual\n"))
    shutil.copytree(lake / "lake", tmp_path / "lake")
    verdict = {"event_date": LAST, "model_version": 3, "passed": True, "reason": "better"}
    write_table(str(tmp_path / "lake" / "taxi" / "verdicts"), [verdict])
    monkeypatch.setenv("BATCHML_CONF", str(conf))
    monkeypatch.setenv("BATCHML_LAKE", str(tmp_path / "lake"))
    monkeypatch.setenv("BATCHML_LINK_AIRFLOW", "http://airflow")
    text = run("--pipeline", "taxi", end=None)
    assert "version 3 waits for approval: better" in text
    assert "http://airflow/dags/taxi/required_actions" in text


def test_json_has_the_states(run):
    taxi = json.loads(run("--json", end=None))["freshness"]["taxi"]["state"][0]
    assert (taxi["kind"], taxi["since"]) == ("late", "2021-02-14T00:00:00+00:00")
    assert taxi["remedy"] == "make heal PIPELINE=taxi"


def test_unreadable_drift_ends_with_five(run, lake: Path, tmp_path: Path, monkeypatch, capsys):
    shutil.copytree(lake / "lake", tmp_path / "lake")
    file = next((tmp_path / "lake" / "taxi" / "drift" / f"event_date={LAST}").glob("*.parquet"))
    file.write_bytes(b"damaged")
    monkeypatch.setenv("BATCHML_LAKE", str(tmp_path / "lake"))
    assert status.main(["--pipeline", "taxi", "--json"]) == 5
    printed = capsys.readouterr()
    states = json.loads(printed.out)["freshness"]["taxi"]["state"]
    assert "unknown" in [state["kind"] for state in states]
    assert printed.err.startswith("taxi: drift of 2021-02-10 cannot be read: ")


def test_json_of_the_past_has_no_state(run):
    assert json.loads(run("--json"))["freshness"]["taxi"]["state"] == []


def test_json_begins_with_freshness(run):
    state = json.loads(run("--json"))
    assert next(iter(state)) == "freshness"
    late = state["freshness"]["taxi"]["late"]
    assert (late["first"], late["dates"], late["since"]) == (
        "2021-02-11",
        1,
        "2021-02-14T00:00:00Z",
    )
    assert state["freshness"]["iris"]["late"] is None


def test_pipeline_on_time_prints_no_alarm(run, monkeypatch):
    monkeypatch.setattr(status, "present_time", lambda: NOW - dt.timedelta(days=1))
    assert "late" not in run()


def test_unusual_volume_comes_before_the_overview(run, monkeypatch):
    volume = DayVolume(date=LAST, rows=12, usual=2140, level="alarm")
    state = Freshness(pipeline="taxi", volume=(volume,))
    monkeypatch.setattr(status, "freshness_of", lambda *_: state)
    expected = "taxi has 12 rows on 2021-02-10, -99% from the usual 2,140 on a Wednesday (alarm)"
    assert run("--pipeline", "taxi").splitlines()[0] == expected


def test_newest_alarm_stands_for_the_others(run, monkeypatch):
    alarm = DayVolume(date=LAST - dt.timedelta(days=1), rows=12, usual=2140, level="alarm")
    watch = DayVolume(date=LAST, rows=3000, usual=2140, level="watch")
    state = Freshness(pipeline="taxi", volume=(alarm, watch))
    monkeypatch.setattr(status, "freshness_of", lambda *_: state)
    line = run("--pipeline", "taxi").splitlines()[0]
    assert line.endswith("on a Tuesday (alarm); other unusual dates: 1")


def test_unreadable_ledger_does_not_hide_late_pipelines(run, monkeypatch, capsys):
    def read(folder, pipeline):
        if pipeline.name == "bikes":
            raise Unavailable("bikes: no ledger")
        return read_ledger(folder, pipeline)

    monkeypatch.setattr(stored, "read_ledger", read)
    assert status.main(["--end", "2021-02-12"]) == 5
    printed = capsys.readouterr()
    assert printed.out.splitlines()[0] == LATE
    assert "bikes: no ledger" in printed.err
