"""The stack of `make run` and `make local-up`, with its state in a folder of the tests."""

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
from deltalake import DeltaTable
from mlflow.entities.model_registry import ModelVersion

from local.stack.airflow_api import AirflowApi
from tests.support.airflow_runs import run_dag
from tests.support.workbench import JAVA_OPTIONS

ROOT = Path(__file__).resolve().parents[2]
ACTIVATED = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
SECONDS = 600  # for a run of the DAG
BACKGROUND = {"up": ["-m", "local", "up"], "down": ["-m", "local", "down"]}


def command(folder: Path, *arguments: str) -> tuple[list[str], dict[str, str]]:
    """`make run` with all it keeps under ``folder``, and its environment."""
    environment = {
        **os.environ,
        "PYTHONPATH": str(ROOT / "jobs"),
        "BATCHML_LANDING": str(folder / "landing"),
        "BATCHML_LAKE": str(folder / "lake"),
        "COLUMNS": "160",
        "JDK_JAVA_OPTIONS": f"{os.environ.get('JDK_JAVA_OPTIONS', '')} {JAVA_OPTIONS}",
    }
    command = [sys.executable, "-m", "local", "run", "--pipeline", "iris"]
    return [*command, "--state", str(folder / "state"), *arguments], environment


def left_over(folder: Path) -> list[str]:
    """Return the processes that still work for the run of ``folder``."""
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


def background(environment: dict[str, str], folder: Path, what: str, *options: str) -> str:
    """Run `make local-up` or `make local-down`; return what it printed."""
    call = [sys.executable, *BACKGROUND[what], "--state", str(folder / "state"), *options]
    done = subprocess.run(
        call, capture_output=True, text=True, check=False, cwd=ROOT, env=environment
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def kill_in_phase(
    words: list[str], environment: dict[str, str], phase: str, after: float = 0.5
) -> None:
    """Start a job and kill its supervisor ``after`` seconds of a phase: the whole job must end."""
    with subprocess.Popen(
        words, stdout=subprocess.PIPE, text=True, cwd=ROOT, env=environment
    ) as job:
        assert job.stdout is not None
        assert any(said.rstrip().endswith(f"{phase} ...") for said in job.stdout)
        time.sleep(after)
        driver = psutil.Process(job.pid).children(recursive=True)
        assert {"java", "python3"} <= {process.name() for process in driver}
        job.kill()
    assert job.returncode == -signal.SIGKILL
    _, alive = psutil.wait_procs(driver, timeout=10)
    assert alive == [], "a driver would write beside its own retry"


@dataclass(frozen=True)
class FinishedRun:
    """A finished `make run` of iris, as it was at its end: later tests continue in its folder."""

    folder: Path
    output: str
    applications: set[str]
    champion: ModelVersion
    predictions: list[dict[str, Any]]


@dataclass(frozen=True)
class LocalStack:
    """A running stack, and the places a job run by hand needs to reach it."""

    folder: Path
    airflow: AirflowApi
    mlflow: str
    master: str
    pages: dict[str, str]
    environment: dict[str, str]

    def run(self, dag_id: str, run_id: str, conf: dict[str, Any]) -> dict[str, str]:
        """Triggers a run and waits for its end; gives the state of every task."""
        return run_dag(self.airflow, dag_id, run_id, conf, SECONDS)

    def submit(self, job: str, *arguments: str) -> dict[str, Any]:
        """Run a job manually on the cluster, to its end. Return its last line."""
        words = self._words(job, arguments)
        done = subprocess.run(
            words, capture_output=True, text=True, check=False, cwd=ROOT, env=self.environment
        )
        line: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
        return line

    def submit_and_kill(self, job: str, phase: str, *arguments: str) -> None:
        """Run a job, and kill it when it has begun ``phase``."""
        kill_in_phase(self._words(job, arguments), self.environment, phase)

    def _words(self, job: str, arguments: tuple[str, ...]) -> list[str]:
        return [
            "spark-submit",
            "--master",
            self.master,
            f"jobs/{job}.py",
            "--pipeline",
            "iris",
            *arguments,
        ]

    def scored_by(self) -> dict[str, int]:
        """Return the version that each date's predictions come from."""
        table = DeltaTable(f"{self.folder}/lake/iris/predictions")
        rows = table.to_pyarrow_table(columns=["event_date", "model_version"])
        found = {(str(row["event_date"]), row["model_version"]) for row in rows.to_pylist()}
        assert len(found) == len(dict(found)), "a date has predictions of one version only"
        return dict(found)
