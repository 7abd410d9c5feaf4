"""Jobs that are run manually: spark-submit in the activated environment, without options."""

import json
import os
import subprocess
from dataclasses import dataclass
from pathlib import Path

import psutil
import pyarrow.parquet as pq
import pyspark
import pytest
from deltalake import DeltaTable

from local.samples.green_taxi import write_green_taxi
from tests.e2e.local_stack import ACTIVATED, ROOT, kill_in_phase
from tests.support.sockets import Socket, listening_sockets


@pytest.fixture(scope="module")
def places(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Return the environment of a shell with `.venv/bin/activate`, and folders of the test."""
    folder = tmp_path_factory.mktemp("jobs by händ")
    (folder / "landing").mkdir()
    write_green_taxi(folder / "landing")
    inherited = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("SPARK", "PYSPARK", "AIRFLOW"))
    }
    return {
        **inherited,
        "PATH": ACTIVATED,
        "LC_ALL": "C",  # a locale in which Java can open only paths of ASCII letters
        "BATCHML_LANDING": str(folder / "landing"),
        "BATCHML_LAKE": str(folder / "lake"),
        "MLFLOW_TRACKING_URI": f"sqlite:///{folder}/mlflow.db",
        "BATCHML_ARTIFACTS": str(folder / "artifacts"),
    }


def submit(places: dict[str, str], job: str, *arguments: str) -> tuple[int, dict[str, object], str]:
    """Return exit code, last line, and the output before it.

    spark-submit prints a driver's stderr on stdout.
    """
    command = ["spark-submit", f"jobs/{job}.py", *arguments]
    done = subprocess.run(
        command, capture_output=True, text=True, check=False, cwd=ROOT, env=places
    )
    *said, last = done.stdout.splitlines()
    return done.returncode, json.loads(last), "\n".join(said)


DAYS = ("--pipeline", "taxi", "--start", "2021-01-02", "--end", "2021-01-06")


def test_killed_job_can_be_run_again(places: dict[str, str]):
    kill_in_phase(["spark-submit", "jobs/ingest.py", *DAYS], places, "write", after=1)
    code, line, log = submit(places, "ingest", *DAYS)
    assert code == 0, log  # and by its own count nothing is lost or doubled
    month = pq.read_table(Path(places["BATCHML_LANDING"], "green_tripdata_2021-01.parquet"))
    begun = [str(moment)[:10] for moment in month["lpep_pickup_datetime"].to_pylist()]
    # The month's rows of other months are stored too, under its first day.
    dated = line["details"]["rows"]["bronze"] - line["details"]["leftover_rows"]
    assert dated == sum("2021-01-02" <= date <= "2021-01-06" for date in begun)
    assert line["details"]["leftover_rows"] == sum(not date.startswith("2021-01") for date in begun)
    assert line["status"] == "done"
    assert line["spark_application_id"].startswith("local-")
    assert line["rows"] == {
        "in": line["details"]["rows"]["bronze"],
        "out": line["details"]["rows"]["bronze"],
    }
    assert set(line["seconds"]) == {"read", "check", "write", "verify", "total"}


@dataclass(frozen=True)
class Watched:
    """A job's output, its exit code, and the sockets on which it listened while it wrote."""

    lines: list[str]
    code: int
    sockets: set[Socket]


@pytest.fixture(scope="module")
def built(places: dict[str, str]) -> Watched:
    """Build the features of the days that the first test has ingested."""
    words = ["spark-submit", "jobs/build_features.py", *DAYS]
    lines = []
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True, cwd=ROOT, env=places) as job:
        assert job.stdout is not None
        for line in job.stdout:
            lines.append(line.rstrip())
            if lines[-1].endswith("write ..."):
                break
        children = psutil.Process(job.pid).children(recursive=True)
        family = {job.pid, *(child.pid for child in children)}
        sockets = listening_sockets(lambda process: "job" if process.pid in family else None)["job"]
        lines += job.stdout.read().splitlines()
    return Watched(lines, job.returncode, sockets)


def test_next_job_reads_the_written_tables(places: dict[str, str], built: Watched):
    silver = DeltaTable(f"{places['BATCHML_LAKE']}/taxi/silver").to_pyarrow_table(
        columns=["event_date"]
    )
    assert built.code == 0, built.lines
    rows = json.loads(built.lines[-1])["rows"]
    assert rows["in"] == rows["out"] == silver.num_rows > 0
    assert not [line for line in built.lines if "INFO" in line]


def test_job_listens_on_loopback_only(built: Watched):
    assert len(built.sockets) >= 3, "the UI, the driver's port and its block manager"
    assert [each for each in built.sockets if not each.is_loopback] == []


DAY = ("--pipeline", "taxi", "--end", "2021-01-05")


def test_jvm_without_memory_names_the_setting(places: dict[str, str]):
    # This variable overrides -Xmx in Java, and Spark has a setting for its own lower limit.
    small = {**places, "_JAVA_OPTIONS": "-Xmx64m"}
    words = ["spark-submit", "--conf", "spark.testing.memory=1000000000", "jobs/ingest.py", *DAY]
    done = subprocess.run(words, capture_output=True, text=True, check=False, cwd=ROOT, env=small)
    line = json.loads(done.stdout.splitlines()[-1])
    assert done.returncode == 5, done.stdout
    assert line["error"]["kind"] == "unavailable"
    assert line["error"]["message"].startswith("the driver's JVM ran out of memory (exit code 3")
    assert "spark.driver.memory" in line["error"]["remedy"]
    assert {key: line[key] for key in ("job", "pipeline", "start", "end", "status")} == {
        **{"job": "ingest", "pipeline": "taxi", "status": "failed"},
        **dict.fromkeys(("start", "end"), "2021-01-05"),
    }


def test_plain_spark_submit_needs_no_wrapper(places: dict[str, str]):
    plain = Path(pyspark.__path__[0]) / "bin" / "spark-submit"
    environment = {**places, "SPARK_LOCAL_IP": "127.0.0.1", "LC_ALL": "C.UTF-8"}
    words = [str(plain), "jobs/build_features.py", *DAY]
    done = subprocess.run(
        words, capture_output=True, text=True, check=False, cwd=ROOT, env=environment
    )
    assert done.returncode == 0, done.stdout
    assert json.loads(done.stdout.splitlines()[-1])["status"] == "done"


FAULTS = [
    (
        99,
        "no file yet for 2021-03-01..2021-03-01",
        "ingest",
        ("--pipeline", "taxi", "--end", "2021-03-01"),
        {},
    ),
    (3, "more than max_rejected_share", "ingest", (*DAY, "--set", "max_rejected_share=0"), {}),
    (4, "unknown key 'gate.limt'", "ingest", (*DAY, "--set", "gate.limt=1"), {}),
    (5, "/dev/null/lake/taxi cannot be written", "ingest", DAY, {"BATCHML_LAKE": "/dev/null/lake"}),
]


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault[1])
def test_exit_codes_pass_through_spark_submit(places: dict[str, str], fault):
    code, message, job, arguments, changed = fault
    found, line, log = submit({**places, **changed}, job, *arguments)
    assert found == code, log
    assert message in line["error"]["message"]
    assert line["status"] == ("nothing_to_do" if code == 99 else "failed")
    assert message in "\n".join(log.splitlines()[-4:])
