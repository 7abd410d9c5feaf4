"""`make run` whole: a real standalone cluster, MLflow and Airflow, over a bootstrap range and the day after it."""

import os
import re
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest
import requests
from mlflow import MlflowClient

from local.samples import write_iris

ROOT = Path(__file__).resolve().parents[2]
TASKS = [
    *("ingest", "build_features", "score_batch", "monitor_drift"),
    *("training_due", "train_model", "evaluate_model", "promote_model"),
]


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


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> tuple[subprocess.CompletedProcess[str], Path]:
    """A run of the iris pipeline, and the folder it kept everything in."""
    folder = tmp_path_factory.mktemp("run")
    (folder / "landing").mkdir()
    write_iris(folder / "landing")
    words, environment = command(folder)
    return subprocess.run(words, capture_output=True, text=True, check=False, cwd=ROOT, env=environment), folder


def test_both_runs_succeed_and_every_task_is_told_of(finished):
    done, _ = finished
    assert done.returncode == 0, done.stdout + done.stderr
    told = [line.split()[:2] for line in done.stdout.splitlines() if line.startswith("  ")]
    without = ("score_batch", "monitor_drift")  # there is no champion yet
    bootstrap = [[task, "skipped" if task in without else "success"] for task in TASKS]
    day_after = [[task, "success" if task in TASKS[:4] else "skipped"] for task in TASKS]
    assert told == bootstrap + day_after


def test_the_tables_at_the_end_answer_what_people_ask(finished):
    text = finished[0].stdout
    for expected in ("rows in", "champion, version 1", "baseline", "tables ", "models ", "logs ", "make ui"):
        assert expected in text


def test_the_jobs_ran_on_the_standalone_cluster(finished):
    _, folder = finished
    applications = {path.name for path in (folder / "state" / "spark" / "events").iterdir()}
    assert len(applications) == 10, applications  # six jobs, and four on the day after
    assert all("app-" in name for name in applications)
    logs = [path.read_text() for path in (folder / "state" / "airflow" / "logs").rglob("attempt=*.log")]
    assert any("spark-submit --master spark://127.0.0.1:" in text for text in logs)


def test_the_day_after_was_scored_by_the_champion_of_the_bootstrap(finished, spark):
    _, folder = finished
    client = MlflowClient(f"sqlite:///{folder}/state/mlflow/mlflow.db")
    champion = client.get_model_version_by_alias("iris", "champion")
    assert champion.tags["gate.verdict"] == "passed"
    rows = spark.read.format("delta").load(f"{folder}/lake/iris/predictions")
    found = {(str(row[0]), row[1]): row[2] for row in rows.groupBy("event_date", "model_version").count().collect()}
    assert found == {("2021-01-02", int(champion.version)): 150}


def test_nothing_is_left_running(finished):
    assert left_over(finished[1]) == []


def test_interrupted_with_its_usual_ports_taken_it_stops_all_it_started(tmp_path: Path):
    with socket.socket() as taken:
        taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        taken.bind(("127.0.0.1", 8080))
        taken.listen()
        words, environment = command(tmp_path)
        with subprocess.Popen(words, stdout=subprocess.PIPE, text=True, cwd=ROOT, env=environment) as run:
            assert run.stdout is not None
            opened = next(line for line in run.stdout if line.startswith("open "))
            assert "127.0.0.1:8080 " not in opened
            assert left_over(tmp_path)
            time.sleep(5)
            run.send_signal(signal.SIGINT)
            rest = run.stdout.read()
            assert run.wait(60) == 130
    assert rest.endswith("stopped\n")
    assert left_over(tmp_path) == []


def test_a_pipeline_without_a_dag_is_refused_with_the_way_to_run_it(tmp_path: Path):
    words, environment = command(tmp_path)
    words[words.index("iris")] = "taxi_linear"
    done = subprocess.run(words, capture_output=True, text=True, check=False, cwd=ROOT, env=environment)
    assert done.returncode == 4
    assert "taxi_linear has no schedule, and so no DAG" in done.stdout
    assert "spark-submit jobs/ingest.py --pipeline taxi_linear" in done.stdout


def test_local_up_keeps_the_stack_in_the_background_until_local_down(tmp_path: Path):
    _, environment = command(tmp_path)

    def background(what: str) -> str:
        call = [sys.executable, "-m", "local.background", what, "--state", str(tmp_path / "state")]
        done = subprocess.run(call, capture_output=True, text=True, check=False, cwd=ROOT, env=environment)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    opened = background("up")
    pages = re.findall(r"http://\S+", opened)
    assert len(pages) == 4, "Airflow, MLflow, Spark and its history"
    for page in pages:
        assert requests.get(page, timeout=30).status_code == 200
    assert background("up") == opened, "twice is safe"
    assert background("down") == "ended\n"
    assert left_over(tmp_path) == []
    assert background("down").startswith("nothing to end")
