"""`make run` on a real cluster, MLflow and Airflow, over a bootstrap range and the next day."""

import datetime as dt
import signal
import socket
import subprocess
import time
from pathlib import Path

from tests.e2e.local_stack import ROOT, FinishedRun, command, left_over

TASKS = [
    *("ingest", "build_features", "score_batch", "monitor_drift"),
    *("training_due", "train_model", "evaluate_model", "promote_model", "report_day"),
]


def test_every_task_is_printed(finished: FinishedRun):
    told = [line.split()[:2] for line in finished.output.splitlines() if line.startswith("  ")]
    without = ("score_batch", "monitor_drift")  # there is no champion yet
    bootstrap = [[task, "skipped" if task in without else "success"] for task in TASKS]
    day_after = [
        [task, "success" if task in (*TASKS[:4], "report_day") else "skipped"] for task in TASKS
    ]
    assert told == bootstrap + day_after


def test_results_are_printed(finished: FinishedRun):
    for expected in (
        "rows in",
        "champion, version 1",
        "baseline",
        "tables ",
        "models ",
        "logs ",
        "make ui",
    ):
        assert expected in finished.output


def test_jobs_ran_on_the_standalone_cluster(finished: FinishedRun):
    # Five jobs, and four on the day after: where there is no champion, no Spark is asked to score.
    assert len(finished.applications) == 9, finished.applications
    assert all("app-" in name for name in finished.applications)
    logs = (finished.folder / "state" / "airflow" / "logs").rglob("attempt=*.log")
    assert any("spark-submit --master spark://127.0.0.1:" in path.read_text() for path in logs)


def test_next_day_is_scored_by_the_champion(finished: FinishedRun):
    assert finished.champion.tags["gate.verdict"] == "passed"
    version = int(finished.champion.version)
    assert finished.predictions == 150 * [
        {"event_date": dt.date(2021, 1, 2), "model_version": version}
    ]


def test_finished_run_leaves_no_process(finished: FinishedRun):
    assert left_over(finished.folder) == []


def test_interrupted_run_stops_its_processes(tmp_path: Path):
    with socket.socket() as taken:
        taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        taken.bind(("127.0.0.1", 8080))
        taken.listen()
        words, environment = command(tmp_path)
        with subprocess.Popen(
            words, stdout=subprocess.PIPE, text=True, cwd=ROOT, env=environment
        ) as run:
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


def test_pipeline_without_dag_is_refused(tmp_path: Path):
    words, environment = command(tmp_path)
    words[words.index("iris")] = "taxi_linear"
    done = subprocess.run(
        words, capture_output=True, text=True, check=False, cwd=ROOT, env=environment
    )
    assert done.returncode == 4
    assert "taxi_linear has no schedule and therefore no DAG" in done.stdout
    assert "spark-submit jobs/ingest.py --pipeline taxi_linear" in done.stdout
