"""Late, missed, corrected and outdated days heal by scheduled runs, on a real cluster.

In order: each test goes on where the one before ended. The pipeline starts three days ago, and the
file of the second day is late.
"""

import datetime as dt
import json
import re
import shutil
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import requests
import yaml
from deltalake import DeltaTable

from batchml.lake.lease import Holder, Lease
from batchml.lake.ledger import LedgerTable
from local.stack.airflow_api import AirflowApi
from tests.e2e.local_stack import (
    ACTIVATED,
    ROOT,
    SECONDS,
    background,
    command,
    kill_in_phase,
    left_over,
)
from tests.support.airflow_runs import end_of, run_dag, until
from tests.support.rides import RIDES

NAME = "late"
# A run that starts just before midnight waits for it, so that no later day ends meanwhile.
TIME_TO_START = dt.timedelta(minutes=10)
LAST = (dt.datetime.now(dt.UTC) + TIME_TO_START).date() - dt.timedelta(days=1)
DAYS = [LAST - dt.timedelta(days=2), LAST - dt.timedelta(days=1), LAST]
TABLES = ("bronze", "silver", "features")
NO_TRAINING = {"window_days": 2, "holdout_days": 1, "min_rows": 1000}
TRAINING = {"window_days": 2, "holdout_days": 1, "min_rows": 20}
PIPELINE = {
    **RIDES,
    "schedule": "0 0 * * *",
    "start_date": str(DAYS[0]),
    "source": {"kind": "csv", "path": "late_{yyyy}-{MM}-{dd}.csv", "event_time": "begin"},
    "training": NO_TRAINING,
}


def rides_of(day: dt.date, minutes: float = 3.0) -> list[str]:
    """Return the lines of 24 rides; a mile takes ``minutes``."""
    lines = []
    for hour in range(24):
        miles = 1 + hour % 7
        lines.append(f"{day} {hour:02}:00:00,{miles},{minutes * miles + hour % 3 / 10}")
    return lines


@dataclass(frozen=True)
class Late:
    """The stack that runs the pipeline, and its files."""

    folder: Path
    airflow: AirflowApi
    master: str
    environment: dict[str, str]

    def deliver(self, day: dt.date, minutes: float = 3.0) -> None:
        """Write the file of a day into the landing folder."""
        text = "\n".join(["begin,miles,minutes", *rides_of(day, minutes)]) + "\n"
        (self.folder / "landing" / f"late_{day}.csv").write_text(text)

    def configure(self, **changes: Any) -> None:
        """Write the pipeline's YAML."""
        path = self.folder / "conf" / "pipelines" / f"{NAME}.yaml"
        path.write_text(yaml.safe_dump({**PIPELINE, **changes}, sort_keys=False))

    def words(self, job: str, *arguments: str) -> list[str]:
        """Return the command of a job on the cluster."""
        submit = ["spark-submit", "--master", self.master, f"jobs/{job}.py", "--pipeline", NAME]
        return [*submit, "--end", str(LAST), *arguments]

    def submit(self, job: str, *arguments: str) -> dict[str, Any]:
        """Run a job on the cluster to its end; return its last line."""
        done = subprocess.run(
            self.words(job, *arguments),
            capture_output=True,
            text=True,
            check=False,
            cwd=ROOT,
            env=self.environment,
        )
        line: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
        return line

    def rows(self, table: str) -> list[dict[str, Any]]:
        """Return the rows of a table."""
        found = DeltaTable(f"{self.folder}/lake/{NAME}/{table}").to_pyarrow_table().to_pylist()
        return sorted(found, key=repr)

    def dates(self, table: str) -> dict[dt.date, int]:
        """Return the number of rows by date."""
        dates = [row["event_date"] for row in self.rows(table)]
        return {date: dates.count(date) for date in sorted(set(dates))}

    def states(self, table: str) -> dict[dt.date, str]:
        """Return the state of each date in the ledger."""
        ledger = LedgerTable(f"{self.folder}/lake/{NAME}").read()
        assert ledger is not None
        return {date: entry.state for date, entry in ledger.of_table(table).items()}

    def caught_up(self, run_id: str, task: str) -> dict[str, str]:
        """Return the owed dates that a task worked on, and why."""
        value = self.airflow.value(NAME, run_id, task)
        return {each["date"]: each["reason"] for each in value["caught_up"]}


@pytest.fixture(scope="module")
def late(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Late]:
    """Return the stack with its schedules on, in which the late pipeline runs."""
    while dt.datetime.now(dt.UTC).date() <= LAST:
        time.sleep(1)
    folder = tmp_path_factory.mktemp("late")
    (folder / "landing").mkdir()
    shutil.copytree(ROOT / "conf", folder / "conf")
    environment = {
        **command(folder)[1],
        "PATH": ACTIVATED,
        "BATCHML_CONF": str(folder / "conf"),
    }
    nowhere = AirflowApi("", "", "")
    Late(folder, nowhere, "", environment).configure()
    try:
        opened = background(environment, folder, "up", "--schedules")
        pages = dict(re.findall(r"(Airflow|MLflow|Spark) (http://\S+)", opened))
        user = re.search(r"\(user (\S+), password (\S+)\)", opened)
        assert user is not None
        airflow = AirflowApi(pages["Airflow"], user[1], user[2])
        airflow.require_healthy()
        master = requests.get(f"{pages['Spark']}/json/", timeout=30).json()["url"]
        state = {"MLFLOW_TRACKING_URI": pages["MLflow"], "BATCHML_STATE": str(folder / "state")}
        yield Late(folder, airflow, master, {**environment, **state})
    finally:
        background(environment, folder, "down")
    assert left_over(folder) == []


def test_late_unpaused_pipeline_heals_first_days(late: Late):
    late.deliver(DAYS[0])
    late.deliver(DAYS[2])
    late.airflow.wait_for_dag(NAME, 60)
    late.airflow.call("PATCH", f"/dags/{NAME}", json={"is_paused": False})

    def scheduled() -> str:
        path = f"/dags/{NAME}/dagRuns"
        runs = late.airflow.call("GET", path, params={"run_type": "scheduled"})["dag_runs"]
        return str(runs[0]["dag_run_id"]) if runs else ""

    run_id = until(scheduled, "scheduled run", 60)
    states = end_of(late.airflow, NAME, run_id, SECONDS)
    assert (states["ingest"], states["build_features"]) == ("success", "success")
    assert late.caught_up(run_id, "ingest") == {str(DAYS[0]): "missed: no run has worked on it"}
    for table in TABLES:
        assert late.dates(table) == {DAYS[0]: 24, DAYS[2]: 24}


def test_next_run_heals_late_file_and_edit(late: Late):
    late.deliver(DAYS[1])
    features = [*RIDES["features"], {"kind": "day_of_week", "of": "begin", "to": "weekday"}]
    inputs = {"numeric": ["miles", "hour", "weekday"]}
    late.configure(features=features, inputs=inputs, training=TRAINING)
    states = run_dag(late.airflow, NAME, "arrived", {"end": str(LAST), "train": "no"}, SECONDS)
    healed = ("ingest", "build_features", "report_day")
    assert [states[task] for task in healed] == ["success"] * 3
    assert list(late.caught_up("arrived", "ingest")) == [str(DAYS[1])]
    rebuilt = late.caught_up("arrived", "build_features")
    assert list(rebuilt) == [str(DAYS[0]), str(DAYS[1])]
    assert rebuilt[str(DAYS[0])] == "made by another definition"
    for table in TABLES:
        assert late.dates(table) == dict.fromkeys(DAYS, 24)
        assert late.states(table) == dict.fromkeys(DAYS, "done")
    assert all(row["weekday"] is not None for row in late.rows("features"))
    assert late.submit("train_model")["rows"]["in"] == 72


def test_rerun_finishes_a_killed_catch_up(late: Late):
    late.deliver(DAYS[0], minutes=4.0)
    before = {table: late.rows(table) for table in TABLES}
    kill_in_phase(late.words("ingest", "--catch-up"), late.environment, "verify", after=0.2)
    line = late.submit("ingest", "--catch-up")
    assert [each["date"] for each in line["caught_up"]] == [str(DAYS[0])]
    line = late.submit("build_features", "--catch-up")
    assert [each["date"] for each in line["caught_up"]] == [str(DAYS[0])]
    for table in TABLES:
        changed = {row["event_date"] for row in late.rows(table) if row not in before[table]}
        assert changed == {DAYS[0]}, table
        assert late.dates(table) == dict.fromkeys(DAYS, 24)


def test_nothing_owed_ends_before_spark_starts(late: Late):
    for option in ("--catch-up=only", "--accept"):
        line = late.submit("ingest", option)
        assert (line["status"], line["seconds"]["total"] < 5) == ("nothing_to_do", True)
        assert "spark_application_id" not in line


def test_manual_job_waits_for_another_writer(late: Late):
    lease = Lease(f"{late.folder}/lake/{NAME}", Holder.this_process("another job"))
    lease.take()
    with subprocess.Popen(
        late.words("build_features"),
        stdout=subprocess.PIPE,
        text=True,
        cwd=ROOT,
        env=late.environment,
    ) as job:
        assert job.stdout is not None
        assert any("waiting for another job of" in text for text in job.stdout)
        lease.release()
        said, _ = job.communicate(timeout=SECONDS)
    assert (job.returncode, json.loads(said.splitlines()[-1])["status"]) == (0, "done")
