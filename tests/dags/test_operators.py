"""The operator with a spark-submit that is a real process with a given output and exit code."""

import datetime as dt
import json
from pathlib import Path
from types import SimpleNamespace

import pytest
from airflow.sdk.exceptions import (
    AirflowException,
    AirflowFailException,
    AirflowRescheduleException,
    AirflowSkipException,
)

from batchml.job_line import JobLine, MlflowIds, Rows
from orchestration.operators import SparkJobOperator

DONE = {"job": "ingest", "status": "done", "rows": {"in": 3, "out": 3}}
FAILED = {
    "job": "ingest",
    "status": "failed",
    "error": {"kind": "bad_data", "message": "the file is damaged", "remedy": "deliver it again"},
}


class Pushed:
    """Stands for the task instance: keeps what is pushed."""

    def __init__(self) -> None:
        self.values: dict[str, object] = {}

    def xcom_push(self, key: str, value: object) -> None:
        self.values[key] = value


@pytest.fixture
def submit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Run the operator with a spark-submit that prints ``line`` and ends with ``code``.

    Return its value, and what it pushed.
    """
    monkeypatch.setenv("AIRFLOW_CONN_SPARK_DEFAULT", "spark://127.0.0.1:7077")
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")

    def run(line: dict[str, object] | None, code: int):
        said = "" if line is None else f"cat <<'END'\n{json.dumps(line)}\nEND\n"
        script = tmp_path / "spark-submit"
        script.write_text(
            f"#!/bin/sh\necho 'reading ...' >&2\n{said}echo 'ShutdownHook' >&2\nexit {code}\n"
        )
        script.chmod(0o755)
        operator = SparkJobOperator(
            task_id="ingest", application="ingest.py", application_args=["--end", "2021-01-01"]
        )
        pushed = Pushed()
        try:
            return operator.execute({"ti": pushed}), pushed.values
        except AirflowException as error:
            return error, pushed.values

    return run


def test_last_line_is_the_tasks_value(submit):
    assert submit(DONE, 0) == (DONE, {})


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        (3, AirflowFailException),
        (4, AirflowFailException),
        (99, AirflowSkipException),
        (5, AirflowException),
        (1, AirflowException),
    ],
)
def test_exit_code_decides_the_task_state(submit, code: int, kind: type[AirflowException]):
    error, values = submit(FAILED, code)
    assert type(error) is kind
    assert str(error) == "the file is damaged\n  deliver it again"
    assert values == {"return_value": FAILED}


def test_silent_death_is_retried_with_log(submit):
    error, values = submit(None, 137)
    assert type(error) is AirflowException
    assert "Error code is: 137" in str(error)
    assert "ShutdownHook" in str(error)
    assert values == {}


def test_only_job_lines_are_parsed():
    assert JobLine.parse(json.dumps(DONE)) == JobLine(
        job="ingest", status="done", rows=Rows(read=3, written=3)
    )
    assert JobLine.parse('{"job": "ingest", "status"') is None
    assert JobLine.parse('{"job": "ingest"}') is None
    assert JobLine.parse('{"level": "INFO"}') is None
    assert JobLine.parse("") is None


def test_links_lead_to_the_web_interfaces(tmp_path, monkeypatch):
    monkeypatch.setenv("AIRFLOW_CONN_SPARK_DEFAULT", "spark://127.0.0.1:7077")
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    monkeypatch.setenv("BATCHML_LINK_SPARK", "http://127.0.0.1:8081")
    monkeypatch.setenv("BATCHML_LINK_SPARK_HISTORY", "http://127.0.0.1:18080")
    monkeypatch.setenv("BATCHML_LINK_MLFLOW", "http://127.0.0.1:5000")
    line = json.dumps(DONE | {"mlflow": {"model": "taxi", "version": 3}})
    script = tmp_path / "spark-submit"
    script.write_text(
        f"#!/bin/sh\necho '12:00:00 Spark application app-20210101000000-0007' >&2\necho '{line}'\n"
    )
    script.chmod(0o755)
    operator = SparkJobOperator(task_id="score_batch", application="score_batch.py")
    pushed = Pushed()
    operator.execute({"ti": pushed})
    application, model, report = operator.operator_extra_links
    assert (
        pushed.values[application.xcom_key]
        == "http://127.0.0.1:8081/proxy/app-20210101000000-0007/jobs/"
    )
    assert application.get_link(operator, ti_key=None) == (
        "http://127.0.0.1:18080/history/app-20210101000000-0007/jobs/"
    )
    assert model.get_link(operator, ti_key=None) == "http://127.0.0.1:5000/#/models/taxi/versions/3"
    assert report.get_link(operator, ti_key=None) == ""
    ids = MlflowIds(experiment_id="1", run_id="a", artifact="reports/2021-01-05.html")
    operator.last_line = JobLine(job="report_day", status="done", mlflow=ids)
    page = "http://127.0.0.1:5000/#/experiments/1/runs/a/artifacts/reports/2021-01-05.html"
    assert report.get_link(operator, ti_key=None) == page


def test_links_without_addresses_are_empty():
    operator = SparkJobOperator(task_id="ingest", application="ingest.py")
    assert [link.get_link(operator, ti_key=None) for link in operator.operator_extra_links] == [
        "",
        "",
        "",
    ]


def test_task_waits_for_earlier_runs():
    asked: list[str] = []

    class Waiting(Pushed):
        def get_previous_dagrun(self, state: str) -> SimpleNamespace:
            asked.append(state)
            return SimpleNamespace(run_id="backfill__2021-01-01")

    operator = SparkJobOperator(
        task_id="ingest", application="ingest.py", waits_for_earlier_runs=True
    )
    with pytest.raises(AirflowRescheduleException):
        operator.execute({"ti": Waiting()})
    assert asked == ["running"]
    assert operator.last_line is None


def test_unrequested_task_is_skipped():
    operator = SparkJobOperator(task_id="rollback", application="promote_model.py", only_if="False")
    with pytest.raises(AirflowSkipException, match="does not request this task"):
        operator.execute({"ti": Pushed()})


@pytest.mark.parametrize(
    ("waits", "run", "kind"),
    [
        (3, ("scheduled", 1), AirflowRescheduleException),
        (3, ("scheduled", 4), AirflowSkipException),
        (3, ("manual", 1), AirflowSkipException),
        (0, ("scheduled", 0), AirflowSkipException),
    ],
)
def test_scheduled_run_waits_for_its_delivery(
    tmp_path, monkeypatch, waits: int, run: tuple[str, int], kind: type[Exception]
):
    run_type, hours_ago = run
    monkeypatch.setenv("AIRFLOW_CONN_SPARK_DEFAULT", "spark://127.0.0.1:7077")
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    error = {"kind": "missing", "message": "no file yet", "remedy": "put it there"}
    line = {"job": "ingest", "status": "nothing_to_do", "error": error}
    script = tmp_path / "spark-submit"
    script.write_text(f"#!/bin/sh\necho '{json.dumps(line)}'\nexit 99\n")
    script.chmod(0o755)
    operator = SparkJobOperator(
        task_id="ingest",
        application="ingest.py",
        waits_for_delivery=dt.timedelta(hours=waits),
    )
    begun = dt.datetime.now(dt.UTC) - dt.timedelta(hours=hours_ago)
    run = SimpleNamespace(run_type=run_type, run_after=begun)
    with pytest.raises(kind):
        operator.execute({"ti": Pushed(), "dag_run": run})
