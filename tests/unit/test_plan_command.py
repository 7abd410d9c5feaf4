"""`python -m batchml.commands.plan` on a ledger in a folder, without MLflow and without Spark."""

import datetime as dt
import json
from pathlib import Path

import pyarrow as pa
import pytest
from deltalake import write_deltalake

from batchml.commands.plan import __main__ as command
from batchml.config import conf_folder, load_pipeline
from batchml.config.definitions import INGESTED, definition_of
from batchml.errors import BadConfig, Unavailable
from batchml.lake.ledger import Entry, LedgerTable

DAY = dt.date(2021, 1, 10)
JSON = ["--pipeline", "taxi", "--json"]


@pytest.fixture
def lake(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return an empty lake. Without a database, there is no MLflow."""
    monkeypatch.setenv("BATCHML_LAKE", str(tmp_path))
    monkeypatch.setenv("BATCHML_LANDING", str(tmp_path / "landing"))
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path}/mlflow.db")
    return tmp_path


def ingest(lake: Path) -> None:
    """Store one ingested date of taxi."""
    pipeline = load_pipeline("taxi", conf_folder())
    entries = []
    for table in INGESTED:
        write_deltalake(lake / "taxi" / table, pa.table({"event_date": [DAY]}))
        definition = definition_of(pipeline, table)
        entries.append(Entry(table, DAY, "done", 5, "i", "file", definition, "r"))
    LedgerTable(str(lake / "taxi")).write(entries)


def printed(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    assert command.main(["--pipeline", "taxi", *arguments]) == 0
    return capsys.readouterr().out


def test_empty_lake_has_no_tables(lake, capsys):
    assert "taxi has no tables yet" in printed(capsys)


def test_table_has_a_row_for_features(lake, capsys):
    ingest(lake)
    output = printed(capsys)
    assert "taxi, as the run of 2021-01-11 works on it" in output
    assert "not made yet" in output


def test_end_is_the_date_of_the_run(lake, capsys):
    ingest(lake)
    assert "the run of 2021-03-01" in printed(capsys, "--end", "2021-03-01")


def test_json_has_the_dates_to_rebuild(lake, capsys):
    ingest(lake)
    assert command.main(JSON) == 0
    tables = {each["table"]: each for each in json.loads(capsys.readouterr().out)["tables"]}
    dates = {"dates": 1, "first": "2021-01-10", "last": "2021-01-10", "rows": None}
    assert tables["features"]["rebuild"] == [{"reason": "not made yet", "dates": dates}]


def test_markdown_is_one_table_and_a_list(lake, capsys):
    ingest(lake)
    title, *lines = filter(str.strip, printed(capsys, "--markdown").splitlines())
    assert title == "### Plan of `taxi`"
    rows = [line for line in lines if line.startswith("|")]
    assert len(rows) == 8  # headings, line, tables
    assert {line.count("|") for line in rows} == {6}
    assert [line for line in lines[len(rows) + 1 :] if not line.startswith("- ")] == []


def edited(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, former: str, present: str) -> None:
    """Edit the YAML of taxi in a copy of the configuration."""
    conf, original = tmp_path / "conf", conf_folder()
    (conf / "pipelines").mkdir(parents=True)
    (conf / "env").symlink_to(original / "env")
    yaml = (original / "pipelines" / "taxi.yaml").read_text()
    assert former in yaml
    (conf / "pipelines" / "taxi.yaml").write_text(yaml.replace(former, present))
    monkeypatch.setenv("BATCHML_CONF", str(conf))


def test_delivery_counts_as_unchanged_without_landing_folder(lake, capsys, monkeypatch):
    ingest(lake)
    edited(lake, monkeypatch, "AND 3600", "AND 7200")
    assert "made by another definition" in printed(capsys)


def test_delivery_that_is_gone_blocks_its_date(lake, capsys, monkeypatch):
    ingest(lake)
    edited(lake, monkeypatch, "AND 3600", "AND 7200")
    (lake / "landing").mkdir()
    assert "1 date of another definition whose delivery cannot be read" in printed(capsys)


def test_plan_creates_no_mlflow_database(lake, capsys):
    printed(capsys)
    assert not (lake / "mlflow.db").exists()


def test_unreachable_mlflow_is_reported(lake, capsys, monkeypatch):
    def fail(*_: object) -> None:
        raise Unavailable("MLflow failed")

    monkeypatch.setattr(command, "read_champion", fail)
    assert "the champion is unknown: MLflow failed" in printed(capsys)


def test_broken_yaml_ends_with_its_exit_code(lake, capsys, monkeypatch):
    edited(lake, monkeypatch, "label:", "labl:")
    assert command.main(JSON) == BadConfig.exit_code
    assert "labl" in capsys.readouterr().err
