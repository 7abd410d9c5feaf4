"""The stack of `make run` and `make local-up`, with all it keeps under a folder of the tests' own."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import pytest
from deltalake import DeltaTable

from local.airflow_api import AirflowApi

ROOT = Path(__file__).resolve().parents[2]


def command(folder: Path, *arguments: str) -> tuple[list[str], dict[str, str]]:
    """`make run` with all it keeps under ``folder``, and its environment."""
    environment = {
        **os.environ,
        "PYTHONPATH": str(ROOT / "jobs"),
        "BATCHML_LANDING": str(folder / "landing"),
        "BATCHML_LAKE": str(folder / "lake"),
        "COLUMNS": "160",
    }
    words = [sys.executable, "-m", "local.run", "--pipeline", "iris", "--state", str(folder / "state"), *arguments]
    return words, environment


def left_over(folder: Path) -> list[str]:
    """Processes that still work for the run of ``folder``."""
    found = []
    for process in psutil.process_iter():
        try:
            words = [
                *process.cmdline(),
                *(process.environ().get(name, "") for name in ("AIRFLOW_HOME", "BATCHML_STATE")),
            ]
        except (psutil.NoSuchProcess, psutil.AccessDenied):
            continue
        if any(str(folder) in word for word in words) and process.pid != os.getpid():
            found.append(" ".join(words))
    return found


def background(environment: dict[str, str], folder: Path, what: str) -> str:
    """`make local-up` or `make local-down`; gives what it said."""
    call = [sys.executable, "-m", "local.background", what, "--state", str(folder / "state")]
    done = subprocess.run(call, capture_output=True, text=True, check=False, cwd=ROOT, env=environment)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def until(true: Callable[[], Any], what: str, seconds: float = 600) -> Any:
    """The first answer of ``true`` that counts as true."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if answer := true():
            return answer
        time.sleep(0.5)
    pytest.fail(f"after {seconds} s there is still no {what}")


@dataclass(frozen=True)
class LocalStack:
    """A running stack, and the places a job run by hand needs to reach it."""

    folder: Path
    airflow: AirflowApi
    mlflow: str
    master: str
    environment: dict[str, str]

    def run(self, dag_id: str, run_id: str, conf: dict[str, Any]) -> dict[str, str]:
        """Triggers a run and waits for its end; gives the state of every task."""
        self.airflow.wait_for_dag(dag_id, 60)
        self.airflow.trigger(dag_id, run_id, conf)
        return self.end_of(dag_id, run_id)

    def end_of(self, dag_id: str, run_id: str) -> dict[str, str]:
        """The state of every task once the run has ended."""
        until(lambda: self.airflow.run_state(dag_id, run_id) in ("success", "failed"), f"end of {run_id}")
        return {task["task_id"]: task["state"] for task in self.airflow.tasks(dag_id, run_id)}

    def submit(self, job: str, *arguments: str) -> dict[str, Any]:
        """A job by hand on the cluster, to its end; gives its last line."""
        words = self._words(job, arguments)
        done = subprocess.run(words, capture_output=True, text=True, check=False, cwd=ROOT, env=self.environment)
        line: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
        return line

    def submit_and_kill(self, job: str, phase: str, *arguments: str) -> None:
        """The same, killed when it has begun ``phase``."""
        words = self._words(job, arguments)
        with subprocess.Popen(
            words, stdout=subprocess.PIPE, text=True, cwd=ROOT, env=self.environment, start_new_session=True
        ) as started:
            assert started.stdout is not None
            assert any(said.rstrip().endswith(f"{phase} ...") for said in started.stdout)
            time.sleep(0.5)
            os.killpg(started.pid, signal.SIGKILL)
        assert started.returncode == -signal.SIGKILL

    def _words(self, job: str, arguments: tuple[str, ...]) -> list[str]:
        return ["spark-submit", "--master", self.master, f"jobs/{job}.py", "--pipeline", "iris", *arguments]

    def scored_by(self) -> dict[str, int]:
        """The version that each date's predictions come from."""
        table = DeltaTable(f"{self.folder}/lake/iris/predictions")
        rows = table.to_pyarrow_table(columns=["event_date", "model_version"])
        found = {(str(row["event_date"]), row["model_version"]) for row in rows.to_pylist()}
        assert len(found) == len(dict(found)), "a date has predictions of one version only"
        return dict(found)
