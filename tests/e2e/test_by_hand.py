"""Jobs as a person runs them: spark-submit in the activated environment, with no flag and no variable."""

import json
import os
import subprocess
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from local.samples import write_green_taxi
from tests.e2e.local_stack import ACTIVATED, ROOT, kill_in_phase


@pytest.fixture(scope="module")
def places(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The environment of a shell in which `.venv/bin/activate` was sourced, with places of the test's own."""
    folder = tmp_path_factory.mktemp("by-hand")
    (folder / "landing").mkdir()
    write_green_taxi(folder / "landing")
    inherited = {
        name: value for name, value in os.environ.items() if not name.startswith(("SPARK", "PYSPARK", "AIRFLOW"))
    }
    return {
        **inherited,
        "PATH": ACTIVATED,
        "BATCHML_LANDING": str(folder / "landing"),
        "BATCHML_LAKE": str(folder / "lake"),
        "MLFLOW_TRACKING_URI": f"sqlite:///{folder}/mlflow.db",
        "BATCHML_ARTIFACTS": str(folder / "artifacts"),
    }


def submit(places: dict[str, str], job: str, *arguments: str) -> tuple[int, dict[str, object], str]:
    """Exit code, last line, and what was said before it (spark-submit hands on a driver's stderr as stdout)."""
    command = ["spark-submit", f"jobs/{job}.py", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT, env=places)
    *said, last = done.stdout.splitlines()
    return done.returncode, json.loads(last), "\n".join(said)


def test_a_day_by_hand(places: dict[str, str]):
    days = ("--pipeline", "taxi", "--start", "2021-01-05", "--end", "2021-01-07")
    code, line, log = submit(places, "ingest", *days)
    assert code == 0, log
    assert line["status"] == "done"
    assert line["spark_application_id"].startswith("local-")
    assert line["rows"] == {"in": line["details"]["rows"]["bronze"], "out": line["details"]["rows"]["bronze"]}
    assert set(line["seconds"]) == {"read", "check", "write", "verify", "total"}

    code, features, log = submit(places, "build_features", *days)
    assert code == 0, log
    assert features["rows"]["in"] == features["rows"]["out"] == line["details"]["rows"]["silver"]
    assert "INFO" not in log


def test_a_job_killed_while_it_writes_can_be_run_again(places: dict[str, str], tmp_path: Path):
    own = {**places, "BATCHML_LAKE": str(tmp_path)}
    days = ("--pipeline", "taxi", "--start", "2021-01-02", "--end", "2021-01-06")
    command = ["spark-submit", "jobs/ingest.py", *days]
    kill_in_phase(command, own, "write", after=1)

    code, line, log = submit(own, "ingest", *days)
    assert code == 0, log  # and by its own count nothing is lost or doubled
    month = pq.read_table(Path(places["BATCHML_LANDING"], "green_tripdata_2021-01.parquet"))
    begun = [str(moment)[:10] for moment in month["lpep_pickup_datetime"].to_pylist()]
    assert line["details"]["rows"]["bronze"] == sum("2021-01-02" <= date <= "2021-01-06" for date in begun)


DAY = ("--pipeline", "taxi", "--end", "2021-01-05")
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
    (5, "MLflow at http://127.0.0.1:9 failed", "score_batch", DAY, {"MLFLOW_TRACKING_URI": "http://127.0.0.1:9"}),
]


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault[1])
def test_exit_codes_pass_through_spark_submit_with_the_reason_last(places: dict[str, str], fault):
    code, message, job, arguments, changed = fault
    found, line, log = submit({**places, **changed}, job, *arguments)
    assert found == code, log
    assert message in line["error"]["message"]
    assert line["status"] == ("nothing_to_do" if code == 99 else "failed")
    assert message in "\n".join(log.splitlines()[-4:])
