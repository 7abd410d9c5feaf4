"""The supervisor of spark-submit, on processes that end as real ones do."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

ROOT = Path(__file__).resolve().parents[2]
SUPERVISOR = [sys.executable, "-I", "-S", str(ROOT / "local" / "supervised_submit.py")]
JOB = [str(ROOT / "jobs" / "ingest.py"), "--pipeline", "taxi", "--start=2021-01-01", "--end", "2021-01-05"]
DONE = '{"job": "ingest", "status": "done"}'


def fake(tmp_path: Path, body: str) -> str:
    """A spark-submit with the given shell commands."""
    script = tmp_path / "spark-submit"
    script.write_text(f"#!/bin/bash\n{body}\n")
    script.chmod(0o755)
    return str(script)


def supervise(tmp_path: Path, body: str, *words: str) -> subprocess.CompletedProcess[str]:
    command = [*SUPERVISOR, fake(tmp_path, body), *(words or JOB)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def last_line(done: subprocess.CompletedProcess[str]) -> dict[str, dict[str, str]]:
    line: dict[str, dict[str, str]] = json.loads(done.stdout.splitlines()[-1])
    return line


@pytest.mark.parametrize("code", [0, 1, 3, 4, 5, 99])
def test_exit_code_of_a_job_with_its_line_passes_through(tmp_path: Path, code: int):
    done = supervise(tmp_path, f"echo '{DONE}'; exit {code}")
    assert (done.returncode, done.stdout) == (code, f"{DONE}\n")


@pytest.mark.parametrize(
    ("end", "message"),
    [
        ("exit 3", "the driver's JVM ran out of memory (exit code 3, spark.driver.memory is 1g)"),
        ("exit 52", "the driver's JVM ran out of memory (exit code 52, spark.driver.memory is 1g)"),
        (
            "echo 'Terminating due to java.lang.OutOfMemoryError: Java heap space'; exit 1",
            "the driver's JVM ran out of memory (exit code 1, spark.driver.memory is 1g)",
        ),
        ("exit 137", "the job was killed (SIGKILL)"),
        ("kill -KILL $$", "the job was killed (SIGKILL)"),
        ("exit 134", "the driver's JVM aborted (SIGABRT)"),
        ("kill -TERM $$", "the job was ended by SIGTERM"),
        ("kill -SEGV $$", "the job was ended by SIGSEGV"),
        ("echo working; exit 1", "spark-submit ended with exit code 1 before the job could report"),
    ],
)
def test_job_that_dies_silently_is_reported_as_unavailable(tmp_path: Path, end: str, message: str):
    done = supervise(tmp_path, f"echo 'Spark application app-20210101000000-0007'; {end}")
    assert done.returncode == 5
    line = last_line(done)
    assert line["error"]["kind"] == "unavailable"
    assert line["error"]["message"] == message
    assert line["error"]["remedy"]
    expected = {
        "job": "ingest",
        "pipeline": "taxi",
        "start": "2021-01-01",
        "end": "2021-01-05",
        "status": "failed",
        "spark_application_id": "app-20210101000000-0007",
    }
    assert {key: line[key] for key in expected} == expected
    assert message in done.stderr


def test_refused_command_is_a_configuration_error(tmp_path: Path):
    done = supervise(tmp_path, "echo 'Error: Unrecognized option: --foo' >&2; exit 1")
    assert done.returncode == 4
    assert last_line(done)["error"]["kind"] == "bad_config"


@pytest.mark.parametrize(
    "words",
    [
        ["--driver-memory", "2g", *JOB],
        ["--conf", "spark.driver.memory=2g", *JOB],
        ["--properties-file", "FILE", *JOB],
    ],
    ids=lambda words: words[0],
)
def test_memory_remedy_states_the_effective_setting(tmp_path: Path, words: list[str]):
    properties = tmp_path / "defaults.conf"
    properties.write_text("# a comment\nspark.driver.memory   2g\n")
    done = supervise(tmp_path, "exit 3", *(str(properties) if word == "FILE" else word for word in words))
    message = last_line(done)["error"]["message"]
    assert "spark.driver.memory is 2g" in message


@pytest.mark.parametrize("line", ['{"job": "other", "status": "done"}', '{"job": "ingest", "sta', '{"job": "ingest"}'])
def test_line_that_is_not_the_jobs_own_does_not_count(tmp_path: Path, line: str):
    assert supervise(tmp_path, f"echo '{line}'; exit 137").returncode == 5


def test_output_is_passed_on_unchanged(tmp_path: Path):
    body = f"printf 'a\\xff\\n\\nb\\n'; echo warning >&2; printf '%s' '{DONE}'"
    done = subprocess.run([*SUPERVISOR, fake(tmp_path, body), *JOB], capture_output=True, check=False)
    assert done.stdout == b"a\xff\n\nb\n" + DONE.encode()
    assert (done.returncode, done.stderr) == (0, b"warning\n")


def test_other_applications_run_unsupervised(tmp_path: Path):
    done = supervise(tmp_path, "echo version; exit 137", "--version")
    assert (done.returncode, done.stdout) == (137, "version\n")


def test_sigterm_ends_the_job_with_its_line(tmp_path: Path):
    command = [*SUPERVISOR, fake(tmp_path, "echo started; exec sleep 60"), *JOB]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as supervisor:
        assert supervisor.stdout is not None
        assert supervisor.stdout.readline() == "started\n"
        supervisor.terminate()
        line = json.loads(supervisor.stdout.read())
    assert (supervisor.returncode, line["error"]["message"]) == (5, "the job was ended by SIGTERM")


def ended(pid: int) -> bool:
    """Return True once the process has ended, within ten seconds."""
    for _ in range(100):
        if not psutil.pid_exists(pid) or psutil.Process(pid).status() == psutil.STATUS_ZOMBIE:
            return True
        time.sleep(0.1)
    return False


def test_child_dies_with_its_supervisor(tmp_path: Path):
    command = [*SUPERVISOR, fake(tmp_path, "echo $$; exec sleep 60"), *JOB]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as supervisor:
        assert supervisor.stdout is not None
        child = int(supervisor.stdout.readline())
        assert psutil.pid_exists(child)
        supervisor.kill()
    assert ended(child)


def test_supervisor_and_child_die_with_the_airflow_task(tmp_path: Path):
    command = [*SUPERVISOR, fake(tmp_path, "echo $$; exec sleep 60"), *JOB]
    task = (
        "import os, subprocess, time\n"
        "os.environ['BATCHML_SUBMITTED_BY'] = str(os.getpid())\n"
        f"child = subprocess.Popen({command!r})\n"
        "print(child.pid, flush=True)\n"
        "time.sleep(60)\n"
    )
    with subprocess.Popen([sys.executable, "-c", task], stdout=subprocess.PIPE, text=True) as airflow:
        assert airflow.stdout is not None
        pids = [int(airflow.stdout.readline()), int(airflow.stdout.readline())]
        airflow.send_signal(signal.SIGKILL)
    assert [ended(pid) for pid in pids] == [True, True]


def test_job_without_its_airflow_task_does_not_start(tmp_path: Path):
    command = [*SUPERVISOR, fake(tmp_path, "echo started"), *JOB]
    environment = {**os.environ, "BATCHML_SUBMITTED_BY": "1"}
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    assert (done.returncode, done.stdout) == (-signal.SIGKILL, "")
