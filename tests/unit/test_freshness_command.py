"""`python -m batchml.commands.freshness`: one JSON line about every pipeline."""

import datetime as dt
from pathlib import Path

import pytest

from batchml.commands import freshness
from batchml.config import conf_folder, load_pipeline
from batchml.config.freshness import FreshnessLine
from batchml.config.sources import days_between
from tests.support.lakes import write_lake

TODAY = dt.datetime.now(dt.UTC).date()
FIRST_MISSING = TODAY - dt.timedelta(days=5)


@pytest.fixture(scope="module")
def lake(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a lake in which taxi stands still, and the ledger of bikes is damaged."""
    folder = tmp_path_factory.mktemp("freshness")
    newest = FIRST_MISSING - dt.timedelta(days=1)
    dates = days_between(newest - dt.timedelta(days=5), newest)
    write_lake(folder, load_pipeline("taxi", conf_folder()), dates)
    log = folder / "lake" / "bikes" / "ledger" / "_delta_log"
    log.mkdir(parents=True)
    (log / f"{0:020}.json").write_text("no json")
    return folder


@pytest.fixture
def run(lake: Path, monkeypatch, capsys):
    monkeypatch.setenv("BATCHML_LAKE", str(lake / "lake"))

    def call(*arguments: str) -> tuple[int, FreshnessLine]:
        code = freshness.main([*arguments])
        return code, FreshnessLine.parse(capsys.readouterr().out)

    return call


def test_standing_pipeline_is_late(run):
    code, line = run("--pipeline", "taxi", "--pipeline", "iris")
    late = line.pipelines["taxi"].late
    assert code == 0
    assert (late.first, late.dates) == (FIRST_MISSING, 3)
    assert line.pipelines["iris"].late is None


def test_unreadable_ledger_does_not_hide_others(run):
    code, line = run()
    assert code == 5
    assert [*line.errors] == ["bikes"]
    assert "ledger cannot be read" in line.errors["bikes"]
    assert line.pipelines["taxi"].late is not None


def test_unknown_environment_ends_with_four(capsys):
    assert freshness.main(["--env", "nowhere"]) == 4
    assert capsys.readouterr().out == ""
