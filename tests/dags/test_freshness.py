"""The DAG `freshness`, with messages to a web server that really listens, and the ping.

Its task runs `python -m batchml.commands.freshness`.
"""

import datetime as dt
import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from airflow.dag_processing.dagbag import DagBag
from airflow.sdk.exceptions import AirflowException, AirflowRuntimeError, ErrorType
from airflow.sdk.execution_time.comms import ErrorResponse

from batchml.config import conf_folder, load_pipeline
from batchml.config.freshness import DayVolume, Freshness, FreshnessLine, Late
from batchml.config.sources import days_between
from local.stack.processes import free_port
from orchestration import freshness
from orchestration.freshness import check_freshness, report, run_check
from orchestration.notifications import ping_callbacks
from orchestration.pipeline_dag import build_dag
from tests.support.apprise_target import listening
from tests.support.lakes import write_lake
from tests.support.servers import answering, body

TODAY = dt.datetime.now(dt.UTC).date()
LATE = Late(
    since=dt.datetime(2021, 1, 8, tzinfo=dt.UTC),
    dates=3,
    first=dt.date(2021, 1, 5),
    table="bronze",
    reason="no run has worked on it",
    remedy="make heal PIPELINE=taxi",
)
FEW = DayVolume(date=dt.date(2021, 2, 1), rows=272, usual=2886, level="alarm")
PING = ("notifications.ping=ping_default",)


class Variables:
    """Airflow's variables in place of its database. Values are stored as JSON."""

    def __init__(self) -> None:
        self.stored: dict[str, str] = {}

    def get(self, key: str, default: str) -> str:
        return self.stored.get(key, default)

    def set(self, key: str, value: Any, description: str, serialize_json: bool) -> None:
        assert serialize_json and description
        self.stored[key] = json.dumps(value)


@pytest.fixture(autouse=True)
def variables(monkeypatch: pytest.MonkeyPatch) -> Variables:
    variables = Variables()
    monkeypatch.setattr(freshness, "Variable", variables)
    return variables


@pytest.fixture
def posts(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[dict[str, Any]]]:
    with listening() as (connection, received):
        monkeypatch.setenv("AIRFLOW_CONN_APPRISE_DEFAULT", connection)
        yield received


@pytest.fixture(autouse=True)
def conf(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a configuration in which taxi has an Apprise target."""
    folder = tmp_path / "conf"
    shutil.copytree(conf_folder(), folder)
    with (folder / "pipelines" / "taxi.yaml").open("a") as file:
        file.write("\nnotifications: {apprise: [apprise_default]}\n")
    monkeypatch.setenv("BATCHML_CONF", str(folder))
    return folder


def context(*paused: str) -> dict[str, Any]:
    """Return the part of Airflow's context that the check needs."""

    def get_dag(name: str) -> SimpleNamespace:
        return SimpleNamespace(is_paused=name in paused)

    return {"ti": SimpleNamespace(log_url="http://airflow/check", get_dag=get_dag)}


def state(late: Late | None = None, *volume: DayVolume) -> FreshnessLine:
    return FreshnessLine(pipelines={"taxi": Freshness(pipeline="taxi", late=late, volume=volume)})


def late(dates: int) -> FreshnessLine:
    return state(LATE.model_copy(update={"dates": dates}))


@pytest.fixture
def standing_lake(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a lake in which taxi has not run for the last five days."""
    newest = TODAY - dt.timedelta(days=6)
    dates = days_between(newest - dt.timedelta(days=5), newest)
    write_lake(tmp_path, load_pipeline("taxi", conf_folder()), dates)
    monkeypatch.setenv("BATCHML_LAKE", str(tmp_path / "lake"))
    return tmp_path / "lake"


def test_standing_pipeline_is_reported_once(standing_lake, posts):
    for _ in range(2):
        states = check_freshness(["taxi"], context())
    since, first = TODAY - dt.timedelta(days=2), TODAY - dt.timedelta(days=5)
    assert states["taxi"]["late"]["dates"] == 3
    assert [(post["title"], post["message"]) for post in posts] == [
        (
            f"taxi is late since {since} 00:00 UTC: 3 dates, first {first}",
            "bronze: no run has worked on it\n"
            "make heal PIPELINE=taxi\n"
            "In Airflow: trigger the DAG taxi with action=heal.\n\n"
            "http://airflow/check",
        )
    ]


def test_unreadable_ledger_fails_at_the_end(standing_lake, posts):
    log = standing_lake / "bikes" / "ledger" / "_delta_log"
    log.mkdir(parents=True)
    (log / f"{0:020}.json").write_text("no json")
    with pytest.raises(AirflowException, match="bikes could not be checked"):
        check_freshness(["bikes", "taxi"], context())
    assert [post["title"].partition(" since")[0] for post in posts] == ["taxi is late"]


def test_paused_pipeline_is_not_checked(standing_lake, posts):
    assert check_freshness(["taxi"], context("taxi")) == {}
    assert posts == []


def without_answer(status_code: int) -> dict[str, Any]:
    """Return a context in which Airflow's server responds with an error about each DAG."""
    response = ErrorResponse(error=ErrorType.API_SERVER_ERROR, detail={"status_code": status_code})

    def get_dag(name: str) -> None:
        raise AirflowRuntimeError(response)

    return {"ti": SimpleNamespace(get_dag=get_dag)}


def test_pipeline_unknown_to_airflow_is_not_checked(posts):
    assert check_freshness(["taxi"], without_answer(404)) == {}


def test_error_of_airflow_is_not_taken_for_a_pause():
    with pytest.raises(AirflowRuntimeError):
        check_freshness(["taxi"], without_answer(500))


def test_check_that_prints_nothing_fails_with_its_error(monkeypatch):
    monkeypatch.setenv("BATCHML_ENV", "nowhere")
    with pytest.raises(AirflowException, match=r"the check ended with 4: .*nowhere"):
        run_check(["taxi"])


def test_more_late_dates_are_sent_again(posts):
    for dates in (3, 3, 4, 4):
        report(late(dates), context())
    assert [post["title"].split(": ")[1] for post in posts] == [
        "3 dates, first 2021-01-05",
        "4 dates, first 2021-01-05",
    ]


def test_recovered_pipeline_is_sent_again(posts):
    for line in (late(3), state(), late(1)):
        report(line, context())
    assert len(posts) == 2


def test_snapshot_is_not_healed(posts):
    remedy = "trigger the DAG taxi: earlier snapshots are not available any more"
    report(state(LATE.model_copy(update={"remedy": remedy})), context())
    assert posts[0]["message"].splitlines()[1:3] == [remedy, ""]


def test_unusual_volume_is_sent_once(posts):
    for _ in range(2):
        report(state(None, FEW), context())
    assert [(post["title"], post["message"].splitlines()[0]) for post in posts] == [
        ("taxi 2021-02-01: unusual volume", FEW.text)
    ]


def test_continued_volume_is_not_sent(posts):
    next_day = {"date": dt.date(2021, 2, 2), "is_continued": True}
    report(state(None, FEW), context())
    report(state(None, FEW, FEW.model_copy(update=next_day)), context())
    assert len(posts) == 1


def test_watched_volume_is_sent_when_it_gets_worse(posts):
    report(state(None, FEW.model_copy(update={"level": "watch"})), context())
    assert posts == []
    report(state(None, FEW), context())
    assert len(posts) == 1


def test_unreachable_target_is_tried_again(posts, monkeypatch):
    with monkeypatch.context() as patched:
        config = {"path": f"json://127.0.0.1:{free_port(8099)}/", "tag": "all"}
        connection = {"conn_type": "apprise", "extra": {"config": config}}
        patched.setenv("AIRFLOW_CONN_APPRISE_DEFAULT", json.dumps(connection))
        report(late(3), context())
    report(late(3), context())
    assert len(posts) == 1


def test_event_that_is_not_wanted_is_not_sent(posts, conf):
    yaml = conf / "pipelines" / "taxi.yaml"
    yaml.write_text(
        yaml.read_text().replace("[apprise_default]}", "[apprise_default], events: [volume]}")
    )
    report(state(LATE, FEW), context())
    assert [post["title"] for post in posts] == ["taxi 2021-02-01: unusual volume"]


def test_unreadable_state_is_sent_once(posts):
    error = FreshnessLine(errors={"taxi": "no ledger"})
    for line in (late(3), error, error, late(3)):
        report(line, context())
    assert [post["title"].partition(" since")[0] for post in posts] == [
        "taxi is late",
        "taxi: its state cannot be read",
    ]


@pytest.mark.parametrize("value", ['{"taxi": 7}', "sent", "", "[]"])
def test_damaged_variable_sends_again(posts, variables, value: str):
    variables.stored[freshness.VARIABLE] = value
    report(late(3), context())
    assert len(posts) == 1


def test_dag_runs_hourly_without_spark():
    bag = DagBag(Path(__file__).resolve().parents[2] / "dags" / "freshness.py")
    dag = bag.dags["freshness"]
    (task,) = dag.tasks
    assert (dag.schedule, dag.catchup, dag.max_active_runs) == ("0 * * * *", False, 1)
    assert (task.pool, task.retries, task.execution_timeout) == (
        "default_pool",
        0,
        dt.timedelta(minutes=10),
    )


def finished_run(**states: str) -> dict[str, Any]:
    """Return the context of the last task of a run whose tasks are in ``states``."""

    def get_task_states(dag_id: str, run_ids: list[str]) -> dict[str, dict[str, str]]:
        return {run_ids[0]: states}

    ti = SimpleNamespace(dag_id="taxi", get_task_states=get_task_states)
    return {"ti": ti, "run_id": "daily"}


def ping(monkeypatch: pytest.MonkeyPatch, address: str, **states: str) -> None:
    connection = {"conn_type": "http", "host": address}
    monkeypatch.setenv("AIRFLOW_CONN_PING_DEFAULT", json.dumps(connection))
    for callback in ping_callbacks(load_pipeline("taxi", conf_folder(), PING)):
        callback(finished_run(**states))


def test_good_run_pings(monkeypatch):
    with answering({"/secret": body("OK")}) as (address, asked):
        ping(monkeypatch, f"{address}/secret", ingest="success", train_model="skipped")
    assert asked == ["/secret"]


@pytest.mark.parametrize("bad", ["failed", "upstream_failed"])
def test_run_with_failed_task_does_not_ping(monkeypatch, bad: str):
    with answering({"/secret": body("OK")}) as (address, asked):
        ping(monkeypatch, f"{address}/secret", ingest="success", score_batch=bad)
    assert asked == []


def test_dead_ping_server_is_only_logged(monkeypatch, caplog):
    ping(monkeypatch, f"http://127.0.0.1:{free_port(8098)}/secret", ingest="success")
    assert "the address of the connection ping_default could not be requested" in caplog.text
    assert "secret" not in caplog.text


def test_wrong_ping_address_is_only_logged(monkeypatch, caplog):
    with answering({}) as (address, _):
        ping(monkeypatch, f"{address}/secret", ingest="success")
    assert "the address of the connection ping_default does not exist" in caplog.text


def test_missing_ping_connection_is_only_logged(caplog):
    for callback in ping_callbacks(load_pipeline("taxi", conf_folder(), PING)):
        callback(finished_run(ingest="success"))
    assert "could not be requested" in caplog.text


def test_only_the_daily_report_pings():
    dag = build_dag(load_pipeline("bikes", conf_folder(), PING))
    with_ping = [task.task_id for task in dag.tasks if task.on_success_callback]
    assert with_ping == ["report_day"]
    assert ping_callbacks(load_pipeline("bikes", conf_folder())) == []
