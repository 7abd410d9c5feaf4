"""`python -m batchml.commands.trial` on a ledger in a folder, with jobs that only report."""

import datetime as dt
import json
from pathlib import Path

import pyarrow as pa
import pytest
from deltalake import write_deltalake

from batchml.commands.trial import __main__ as command
from batchml.commands.trial.sandbox import Sandbox, open_sandbox
from batchml.config import Places, conf_folder, load_pipeline
from batchml.config.definitions import INGESTED, definition_of
from batchml.errors import BadConfig, Unavailable
from batchml.job_line import JobError, JobLine
from batchml.lake.ledger import Entry, LedgerTable

DAY = dt.date(2021, 1, 10)
TAXI = ["--pipeline", "taxi", "--days", "7"]
DEFINITION = definition_of(load_pipeline("taxi", conf_folder()), "bronze")


def entries() -> list[Entry]:
    return [Entry(table, DAY, "done", 5, "i", "file", DEFINITION, "r") for table in INGESTED]


class IngestOnly:
    """Jobs of which ingest stores one date, and the next one fails."""

    def __init__(self, _pipeline: object, sandbox: Sandbox, _settings: object) -> None:
        self.sandbox = sandbox

    def __call__(self, job: str, first: dt.date, last: dt.date) -> JobLine:
        if job != "ingest":
            error = JobError(kind="bad_config", message="features has columns of other types")
            return JobLine(job=job, status="failed", error=error)
        LedgerTable(self.sandbox.places.tables_of("taxi")).write(entries())
        rows = pa.table({"event_date": [DAY] * 4, "miles": [1.0, 2.0, 3.0, 4.0]})
        path = Path(self.sandbox.places.lake) / "taxi" / "silver"
        write_deltalake(path, rows, mode="append")
        return JobLine(job=job, status="done")


class WrongCheck(IngestOnly):
    """Jobs of which ingest refuses the configuration."""

    def __call__(self, job: str, first: dt.date, last: dt.date) -> JobLine:
        error = JobError(kind="bad_config", message="check is_far cannot be parsed")
        return JobLine(job=job, status="failed", error=error)


class Interrupted(IngestOnly):
    """Jobs that end with Ctrl-C."""

    def __call__(self, job: str, first: dt.date, last: dt.date) -> JobLine:
        raise KeyboardInterrupt


@pytest.fixture
def lake(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a lake with one date of taxi. Without a database, there is no MLflow."""
    folder = tmp_path / "lake"
    monkeypatch.setenv("BATCHML_LAKE", str(folder))
    monkeypatch.setenv("BATCHML_LANDING", str(tmp_path / "landing"))
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path}/mlflow.db")
    monkeypatch.setattr(command, "SubmittedJobs", IngestOnly)
    rows = pa.table({"event_date": [DAY] * 5, "miles": [1.0, 2.0, 3.0, 4.0, 5.0]})
    for table in (*INGESTED, "features"):
        write_deltalake(folder / "taxi" / table, rows, partition_by=["event_date"])
    LedgerTable(str(folder / "taxi")).write(entries())
    return folder


def run(*arguments: str) -> int:
    return command.main([*TAXI, *arguments])


def test_difference_is_printed_although_a_job_failed(lake, capsys):
    assert run() == BadConfig.exit_code
    captured = capsys.readouterr()
    assert "features has columns of other types" in captured.err
    assert "5 → 4" in captured.out
    assert "there is no champion" in captured.out


def test_json_has_the_difference(lake, capsys):
    run("--json")
    content = json.loads(capsys.readouterr().out)
    assert content["difference"]["rows"]["silver"] == {"2021-01-10": {"before": 5, "after": 4}}
    assert "features" not in content["difference"]["rows"]  # its job has failed
    assert content["dates"]["compared"] == ["2021-01-10"]
    assert [line["job"] for line in content["jobs"]] == ["ingest", "build_features"]


def test_sandbox_is_removed(lake, capsys):
    run()
    assert [path.name for path in (lake.parent / "trials").iterdir()] == ["taxi.lock"]


def test_kept_sandbox_is_named(lake, capsys):
    run("--keep")
    folder = lake.parent / "trials" / "taxi"
    assert (folder / "lake" / "taxi" / "silver").exists()
    assert f"kept until the next trial: {folder}" in capsys.readouterr().err


def test_wrong_check_blames_no_delivery(lake, capsys, monkeypatch):
    monkeypatch.setattr(command, "SubmittedJobs", WrongCheck)
    assert run() == BadConfig.exit_code
    captured = capsys.readouterr()
    assert "check is_far cannot be parsed" in captured.err
    assert "delivery" not in captured.out


def test_interrupt_removes_the_sandbox(lake, capsys, monkeypatch):
    monkeypatch.setattr(command, "SubmittedJobs", Interrupted)
    assert run() == command.INTERRUPTED
    assert not (lake.parent / "trials" / "taxi").exists()


def test_production_is_not_written(lake, capsys):
    before = sorted(lake.rglob("*"))
    run()
    assert sorted(lake.rglob("*")) == before
    assert not (lake.parent / "mlflow.db").exists()


def test_running_trial_is_named(lake, capsys):
    places = Places("", str(lake), "", "")
    with open_sandbox(lake.parent / "trials" / "taxi", places):
        assert run() == Unavailable.exit_code
    assert "another trial uses" in capsys.readouterr().err


def test_unreachable_mlflow_leaves_the_tables(lake, capsys, monkeypatch):
    def fail(*_: object) -> None:
        raise Unavailable("MLflow failed")

    monkeypatch.setattr("batchml.commands.trial.champion.read_champion", fail)
    run()
    assert "the champion is unknown: MLflow failed" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--pipeline", "taxi", "--days", "0"], "DAYS is 0"),
        (["--pipeline", "taxy"], "no conf/pipelines/taxy.yaml"),
        (["--pipeline", "iris"], "silver has no dates to try the edit on"),
    ],
)
def test_wrong_configuration_ends_with_4(lake, capsys, arguments: list[str], message: str):
    assert command.main(arguments) == BadConfig.exit_code
    assert message in " ".join(capsys.readouterr().err.split())
