"""Messages through Airflow's own notifiers, to a real mail server and a real web server."""

import datetime as dt
import json
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pendulum
import pytest
from aiosmtpd.controller import Controller
from aiosmtpd.handlers import Message as MailHandler

from batchml.config import Event, conf_folder, load_pipeline
from batchml.job_line import (
    Details,
    JobLine,
    MonitorDriftDetails,
    PromoteModelDetails,
    RollBackModelDetails,
)
from local.stack.processes import free_port
from orchestration.notifications import Message, callbacks, compose
from tests.support.apprise_target import listening

BOTH = ("notifications.email=[ops@example.org]", "notifications.apprise=[apprise_default]")


class Mailbox(MailHandler):
    def __init__(self) -> None:
        super().__init__()
        self.mails: list[Any] = []

    def handle_message(self, message: Any) -> None:
        self.mails.append(message)


@pytest.fixture
def mails(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[Any]]:
    mailbox = Mailbox()
    port = free_port(8025)
    controller = Controller(mailbox, hostname="127.0.0.1", port=port)
    controller.start()
    extra = {"disable_ssl": True, "disable_tls": True, "from_email": "batchml@example.org"}
    connection = {"conn_type": "smtp", "host": "127.0.0.1", "port": port, "extra": extra}
    monkeypatch.setenv("AIRFLOW_CONN_SMTP_DEFAULT", json.dumps(connection))
    yield mailbox.mails
    controller.stop()


@pytest.fixture
def posts(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[dict[str, Any]]]:
    with listening() as (connection, received):
        monkeypatch.setenv("AIRFLOW_CONN_APPRISE_DEFAULT", connection)
        yield received


def context(task: str, line: JobLine | None = None, **more: Any) -> dict[str, Any]:
    """Return the part of Airflow's context that a message needs."""
    day = pendulum.datetime(2021, 2, 1)
    value = line and line.to_value()
    return {
        "ti": SimpleNamespace(
            task_id=task, log_url="http://airflow/task", xcom_pull=lambda task_ids: value
        ),
        "dag_run": SimpleNamespace(data_interval_start=day, data_interval_end=day.add(days=1)),
        "params": {"start": None, "end": None},
        **more,
    }


def test_failure_is_sent_to_both_targets(mails, posts):
    taxi = load_pipeline("taxi", conf_folder(), BOTH)
    error = ValueError("silver has {{ no }} rows\n  run <ingest> first")
    for callback in callbacks(taxi, "failed"):
        callback(context("build_features", exception=error))
    assert [(post["title"], post["message"]) for post in posts] == [
        ("taxi 2021-02-01: build_features failed", f"{error}\n\nhttp://airflow/task")
    ]
    assert [mail["Subject"] for mail in mails] == ["taxi 2021-02-01: build_features failed"]
    assert (mails[0]["From"], mails[0]["To"]) == ("batchml@example.org", "ops@example.org")
    # Apprise, once loaded, makes Python encode mails as quoted-printable, with line ends of mails.
    payload = mails[0].get_payload()[0].get_payload(decode=True).decode()
    html = payload.replace("\r\n", "\n")
    assert "silver has {{ no }} rows\n  run &lt;ingest&gt; first" in html
    assert 'href="http://airflow/task"' in html


def test_unreachable_mail_server_does_not_block_others(posts, monkeypatch):
    connection = {
        "conn_type": "smtp",
        "host": "127.0.0.1",
        "port": free_port(8025),
        "extra": {"disable_ssl": True},
    }
    monkeypatch.setenv("AIRFLOW_CONN_SMTP_DEFAULT", json.dumps(connection))
    for callback in callbacks(load_pipeline("taxi", conf_folder(), BOTH), "failed"):
        callback(context("ingest", exception=ValueError("no")))
    assert [post["title"] for post in posts] == ["taxi 2021-02-01: ingest failed"]


def test_pipeline_without_target_sends_nothing():
    taxi = load_pipeline("taxi", conf_folder())
    assert [callbacks(taxi, event) for event in ("failed", "alarm", "promoted", "rolled_back")] == [
        []
    ] * 4


def test_only_configured_events_are_sent():
    taxi = load_pipeline("taxi", conf_folder(), (*BOTH, "notifications.events=[alarm]"))
    assert [len(callbacks(taxi, event)) for event in ("failed", "alarm", "promoted")] == [0, 1, 0]


ALARM = MonitorDriftDetails(level="alarm", findings=("miles: psi 3 (alarm)",))
WATCH = MonitorDriftDetails(level="watch")
PROMOTED = PromoteModelDetails(changed=True, reason="rmse 5")
UNCHANGED = PromoteModelDetails(changed=False, reason="")
ROLLED_BACK = RollBackModelDetails(
    restored=1, reason="went back from version 2", dates=(dt.date(2021, 1, 31),)
)


WAITING = PromoteModelDetails(reason="another label", awaits_approval=4)


def composed(job: str, event: Event, details: Details) -> Message | None:
    return compose("taxi", event, context(job, JobLine(job=job, status="done", details=details)))


@pytest.mark.parametrize(
    ("job", "event", "details", "title", "text"),
    [
        ("monitor_drift", "alarm", ALARM, "drift alarm", "miles: psi 3 (alarm)"),
        ("promote_model", "promoted", PROMOTED, "a new champion", "rmse 5"),
        (
            "promote_model",
            "approval",
            WAITING,
            "version 4 waits for approval",
            "another label\nTo promote it: spark-submit jobs/promote_model.py "
            "--pipeline taxi --end 2021-02-01 --approved-by NAME",
        ),
        (
            "promote_model",
            "rolled_back",
            ROLLED_BACK,
            "rolled back to version 1",
            "went back from version 2; 1 dates were scored again",
        ),
    ],
)
def test_message_has_title_with_text(
    job: str, event: Event, details: Details, title: str, text: str
):
    message = composed(job, event, details)
    assert (message.title, message.text) == (f"taxi 2021-02-01: {title}", text)


def test_rejected_challenger_sends_nothing():
    line = JobLine(job="promote_model", status="nothing_to_do")
    assert compose("taxi", "approval", context("promote_model", line)) is None


@pytest.mark.parametrize(
    ("job", "event", "details"),
    [
        ("monitor_drift", "alarm", WATCH),
        ("promote_model", "promoted", UNCHANGED),
        ("promote_model", "approval", UNCHANGED),
    ],
)
def test_unchanged_state_sends_nothing(job: str, event: Event, details: Details):
    assert composed(job, event, details) is None
