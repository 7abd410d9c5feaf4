"""The supervisor of spark-submit, on processes that end as real ones do."""

import json
import os
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

ROOT = Path(__file__).resolve().parents[2]
SUPERVISOR = [sys.executable, "-I", "-S", str(ROOT / "local" / "submit" / "supervised_submit.py")]
JOB = [
    str(ROOT / "jobs" / "ingest.py"),
    "--pipeline",
    "taxi",
    "--start=2021-01-01",
    "--end",
    "2021-01-05",
]
DONE = '{"job": "ingest", "status": "done"}'


def fake(tmp_path: Path, body: str) -> str:
    """Return a spark-submit with the given shell commands."""
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


@pytest.mark.parametrize(
    ("status", "kind", "code"),
    [
        ("done", "", 0),
        ("failed", "unexpected", 1),
        ("failed", "bad_data", 3),
        ("failed", "bad_config", 4),
        ("failed", "unavailable", 5),
        ("nothing_to_do", "nothing_to_do", 99),
    ],
)
def test_exit_code_passes_through(tmp_path: Path, status: str, kind: str, code: int):
    line = json.dumps({"job": "ingest", "status": status, "error": {"kind": kind}})
    done = supervise(tmp_path, f"echo '{line}'; exit {code}")
    assert (done.returncode, done.stdout, done.stderr) == (code, f"{line}\n", "")


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
        ("exit 170", "the job was ended by signal 42"),
        ("exit 1", "spark-submit ended with exit code 1 before the job could report"),
        ("echo working; exit 1", "spark-submit ended with exit code 1 before the job could report"),
    ],
)
def test_silent_death_is_reported_as_unavailable(tmp_path: Path, end: str, message: str):
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


@pytest.mark.parametrize(
    ("words", "memory"),
    [
        (["--driver-memory", "2g"], "2g"),
        (["--driver-memory=2g"], "2g"),
        (["--conf", "spark.driver.memory=2g"], "2g"),
        (["--conf=spark.driver.memory=2g"], "2g"),
        (["-c", "spark.driver.memory=2g", "--verbose"], "2g"),
        (["--properties-file", "SPACES"], "3g"),
        (["--properties-file", "SPACES", "--properties-file", "EQUALS"], "4g"),
        (["--properties-file", "EQUALS", "--driver-memory", "2g"], "2g"),
        (["--properties-file", "missing"], "1g"),
        ([], "1g"),
    ],
)
def test_memory_message_states_the_effective_setting(tmp_path: Path, words: list[str], memory: str):
    (tmp_path / "SPACES").write_text("# a comment\nspark.driver.memory   3g\n")
    (tmp_path / "EQUALS").write_text("spark.driver.memory=4g\n")
    given = [str(tmp_path / word) if word in ("SPACES", "EQUALS") else word for word in words]
    message = last_line(supervise(tmp_path, "exit 3", *given, *JOB))["error"]["message"]
    assert f"spark.driver.memory is {memory})" in message


@pytest.mark.parametrize(
    "line", ['{"job": "other", "status": "done"}', '{"job": "ingest", "sta', '{"job": "ingest"}']
)
def test_foreign_json_line_is_ignored(tmp_path: Path, line: str):
    assert supervise(tmp_path, f"echo '{line}'; exit 137").returncode == 5


def test_output_is_passed_on_unchanged(tmp_path: Path):
    body = f"printf 'a\\xff\\n\\nb\\n'; echo warning >&2; printf '%s' '{DONE}'"
    done = subprocess.run(
        [*SUPERVISOR, fake(tmp_path, body), *JOB], capture_output=True, check=False
    )
    assert done.stdout == b"a\xff\n\nb\n" + DONE.encode()
    assert (done.returncode, done.stderr) == (0, b"warning\n")


def test_success_without_line_is_a_failure(tmp_path: Path):
    done = supervise(tmp_path, "echo hello")
    assert done.returncode == 1
    assert last_line(done)["error"]["message"] == "the job ended without its JSON line"


def test_help_needs_no_json_line(tmp_path: Path):
    done = supervise(tmp_path, "echo usage", JOB[0], "--help")
    assert (done.returncode, done.stdout) == (0, "usage\n")


FAILED = '{"job": "ingest", "status": "failed", "error": {"kind": "bad_data"}}'


@pytest.mark.parametrize("crash", [1, 3, 134])
@pytest.mark.parametrize(
    ("line", "code"), [(DONE, 0), (DONE.replace("done", "nothing_to_do"), 99), (FAILED, 3)]
)
def test_crash_after_the_line_is_ignored(tmp_path: Path, line: str, code: int, crash: int):
    assert supervise(tmp_path, f"echo '{line}'; exit {crash}").returncode == code


def test_line_after_unfinished_text_counts(tmp_path: Path):
    assert supervise(tmp_path, f"printf 'progress 99%%{FAILED}'; exit 3").returncode == 3


def test_supervisors_line_begins_on_a_new_line(tmp_path: Path):
    done = supervise(tmp_path, "printf 'progress 99%%'; exit 137")
    assert done.stdout.splitlines()[0] == "progress 99%"
    assert last_line(done)["error"]["message"] == "the job was killed (SIGKILL)"


def test_very_long_line_is_fast(tmp_path: Path):
    started = time.monotonic()
    done = supervise(tmp_path, f"head -c 60000000 /dev/zero | tr '\\0' x; echo; echo '{DONE}'")
    assert done.returncode == 0
    assert time.monotonic() - started < 10


@pytest.mark.parametrize("target", ["| head -1", ">&-", "> /dev/full"])
@pytest.mark.parametrize("code", [0, 3])
def test_unread_output_does_not_block_the_job(tmp_path: Path, target: str, code: int):
    line = {0: DONE, 3: FAILED}[code]
    script = fake(
        tmp_path,
        f"for i in $(seq 20000); do echo line $i of the log; done; echo '{line}'; exit {code}",
    )
    command = f"set -o pipefail; {shlex.join([*SUPERVISOR, script, *JOB])} {target}"
    done = subprocess.run(
        ["bash", "-c", command], capture_output=True, text=True, check=False, timeout=30
    )
    assert done.returncode == code, done.stderr
    assert "Traceback" not in done.stderr


def test_slow_reader_gets_the_line(tmp_path: Path):
    script = fake(tmp_path, f"head -c 300000 /dev/zero | tr '\\0' x; echo; echo '{FAILED}'; exit 3")
    command = f"set -o pipefail; {shlex.join([*SUPERVISOR, script, *JOB])} | (sleep 11; tail -1)"
    done = subprocess.run(
        ["bash", "-c", command], capture_output=True, text=True, check=False, timeout=60
    )
    assert (done.returncode, done.stdout) == (3, f"{FAILED}\n")


def test_missing_spark_submit_is_bad_configuration():
    done = subprocess.run(
        [*SUPERVISOR, "/nowhere/spark-submit", *JOB], capture_output=True, text=True, check=False
    )
    assert done.returncode == 4
    assert last_line(done)["error"]["message"].startswith("spark-submit cannot be started")


@pytest.mark.parametrize(
    "application", ["ingest.py", "jobs/ingest.py", "file://ROOT/jobs/ingest.py"]
)
def test_job_is_recognised_by_any_path(tmp_path: Path, application: str):
    words = [application.replace("ROOT", str(ROOT)), "--end", "2021-01-05"]
    folder = ROOT / "jobs" if application == "ingest.py" else ROOT
    command = [*SUPERVISOR, fake(tmp_path, "exit 137"), "--py-files", "jobs/train_model.py", *words]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=folder)
    assert (done.returncode, last_line(done)["job"]) == (5, "ingest")


def test_other_applications_run_unsupervised(tmp_path: Path):
    done = supervise(tmp_path, "echo version; exit 137", "--version")
    assert (done.returncode, done.stdout) == (137, "version\n")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGINT])
def test_signal_ends_the_job_with_its_line(tmp_path: Path, number: signal.Signals):
    command = [*SUPERVISOR, fake(tmp_path, "echo started; exec sleep 60"), *JOB]
    with subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        text=True,
        # A process inherits ignored signals, for example from nohup.
        preexec_fn=lambda: signal.signal(number, signal.SIG_DFL),  # noqa: PLW1509, no threads
    ) as supervisor:
        assert supervisor.stdout is not None
        assert supervisor.stdout.readline() == "started\n"
        supervisor.send_signal(number)
        line = json.loads(supervisor.stdout.read())
    assert (supervisor.returncode, line["error"]["message"]) == (
        5,
        f"the job was ended by {number.name}",
    )


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


def test_both_processes_die_with_the_airflow_task(tmp_path: Path):
    command = [*SUPERVISOR, fake(tmp_path, "echo $$; exec sleep 60"), *JOB]
    task = (
        "import os, subprocess, time\n"
        "os.environ['BATCHML_SUBMITTED_BY'] = str(os.getpid())\n"
        f"child = subprocess.Popen({command!r})\n"
        "print(child.pid, flush=True)\n"
        "time.sleep(60)\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", task], stdout=subprocess.PIPE, text=True
    ) as airflow:
        assert airflow.stdout is not None
        pids = [int(airflow.stdout.readline()), int(airflow.stdout.readline())]
        airflow.send_signal(signal.SIGKILL)
    assert [ended(pid) for pid in pids] == [True, True]


def test_job_without_airflow_task_does_not_start(tmp_path: Path):
    command = [*SUPERVISOR, fake(tmp_path, "echo started"), *JOB]
    environment = {**os.environ, "BATCHML_SUBMITTED_BY": "1"}
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    assert (done.returncode, done.stdout) == (-signal.SIGKILL, "")
