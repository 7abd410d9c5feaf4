"""The processes of a trial, with a script in place of spark-submit, and the copy of a champion."""

import datetime as dt
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

from batchml.commands.trial.jobs import SubmittedJobs
from batchml.commands.trial.sandbox import Sandbox, open_sandbox
from batchml.config import Places, conf_folder, load_pipeline
from batchml.errors import BadConfig
from batchml.tracking import CHAMPION, RECORD, open_reader, open_tracker
from batchml.tracking.transfer import download, upload_champion

DAY = dt.date(2021, 1, 10)
IRIS = load_pipeline("iris", conf_folder())
LINE = '{"job": "ingest", "pipeline": "%s", "status": "done"}'


@pytest.fixture
def sandbox(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Yield a sandbox, and prefer the programs of ``tmp_path``."""
    monkeypatch.setattr(sys, "executable", str(tmp_path / "python"))
    monkeypatch.setenv("MLFLOW_REGISTRY_URI", "http://production")
    production = Places(str(tmp_path / "landing"), str(tmp_path / "lake"), "http://mlflow", "a")
    with open_sandbox(tmp_path / "trials" / "iris", production) as made:
        yield made


def submit(sandbox: Sandbox, script: str):
    """Run ingest with a shell script in place of spark-submit."""
    program = sandbox.folder.parents[1] / "spark-submit"
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o755)
    return SubmittedJobs(IRIS, sandbox, ("training.seed=1",))("ingest", DAY, DAY)


def test_last_line_is_returned(sandbox):
    line = submit(sandbox, f"echo progress; echo '{LINE % 'iris'}'")
    assert line is not None
    assert (line.job, line.status) == ("ingest", "done")


def test_job_gets_dates_and_settings(sandbox):
    line = submit(
        sandbox, """printf '{"job": "ingest", "pipeline": "%s", "status": "done"}' "$*" """
    )
    assert line.pipeline.partition("jobs/ingest.py ")[2] == (
        "--pipeline iris --start 2021-01-10 --end 2021-01-10 --set training.seed=1"
    )


@pytest.mark.parametrize(
    "variable",
    ["BATCHML_LAKE", "BATCHML_ARTIFACTS", "MLFLOW_TRACKING_URI", "MLFLOW_REGISTRY_URI"],
)
def test_job_writes_to_the_sandbox(sandbox, variable: str):
    line = submit(sandbox, f"echo '{LINE}' | sed \"s|%s|${variable}|\"")
    assert str(sandbox.folder) in line.pipeline


def test_job_reads_the_landing_folder(sandbox):
    line = submit(sandbox, f"echo '{LINE}' | sed \"s|%s|$BATCHML_LANDING|\"")
    assert line.pipeline == sandbox.places.landing


def test_job_without_line_returns_its_log(sandbox):
    line = submit(sandbox, "echo broken >&2; exit 1")
    assert line.status == "failed"
    assert "broken" in line.error.message


def test_missing_spark_submit_is_wrong_configuration(sandbox, monkeypatch):
    monkeypatch.setenv("PATH", "")
    with pytest.raises(BadConfig, match="spark-submit cannot be started"):
        SubmittedJobs(IRIS, sandbox, ())("ingest", DAY, DAY)


def test_interrupt_ends_the_job(sandbox, monkeypatch):
    ended = []

    def interrupt(process: subprocess.Popen) -> None:
        ended.append(process)
        raise KeyboardInterrupt

    monkeypatch.setattr(subprocess.Popen, "communicate", interrupt)
    with pytest.raises(KeyboardInterrupt):
        submit(sandbox, "sleep 60 & wait")
    assert ended[0].returncode is not None
    with pytest.raises(ProcessLookupError):  # of a group without processes
        wait_for_end(ended[0].pid)


def wait_for_end(group: int) -> None:
    """Send nothing to the process group until it does not exist any more."""
    for _ in range(100):
        os.killpg(group, 0)
        time.sleep(0.1)


def places(folder: Path) -> Places:
    return Places("", "", f"sqlite:///{folder}/mlflow.db", str(folder / "artifacts"))


def test_copied_champion_keeps_its_number(tmp_path, monkeypatch):
    production, copy = tmp_path / "production", tmp_path / "copy"
    tracker = open_tracker("iris", places(production))
    copy.mkdir()
    shutil.copyfile(production / "mlflow.db", copy / "mlflow.db")
    client = tracker.client
    experiment = client.get_experiment_by_name("iris")
    run = client.create_run(experiment.experiment_id).info.run_id
    client.log_dict(run, {"pipeline": "iris"}, RECORD)
    client.log_text(run, "weights", "model/weights.txt")
    client.log_metric(run, "holdout_accuracy", 0.9)
    client.create_registered_model("iris")
    for _ in range(3):
        version = client.create_model_version("iris", f"runs:/{run}/model", run, tags={"end": "x"})

    downloaded = download(open_reader("iris", places(production)), version, tmp_path / "files")
    upload_champion("iris", places(copy), downloaded)

    copied = open_reader("iris", places(copy))
    champion = copied.by_alias(CHAMPION)
    assert champion is not None
    assert int(champion.version) == 3
    assert champion.tags["end"] == "x"
    assert list(copied.versions()) == [3]
    assert copied.load_json(champion, RECORD) == {"pipeline": "iris"}
    assert copied.metrics(3) == {"holdout_accuracy": 0.9}
