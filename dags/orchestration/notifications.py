"""Notifications about a run through Airflow's notifiers, sent only if the YAML names a target."""

import logging
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

from airflow.sdk import BaseNotifier

from batchml.config import Event, Notifications, Pipeline
from batchml.job_line import JobLine, MonitorDriftDetails, PromoteModelDetails, RollBackModelDetails
from orchestration.dates import last_date

LOG = logging.getLogger(__name__)
Callback = Callable[[Any], None]
# Notifiers render their arguments as templates. The message of a job is passed as a value, because
# it may contain braces.
TITLE = "{{ message.title }}"
TEXT = "{{ message.text }}\n\n{{ message.link }}"
HTML = (
    "<pre>{{ message.text | e }}</pre>"
    '<p><a href="{{ message.link | e }}">{{ message.link | e }}</a></p>'
)

FAILED_STATES = ("failed", "upstream_failed")
APPROVAL_TEXT = (
    "It passed the gate, or cannot be compared with the champion. Approve or reject it in Airflow."
)


@dataclass(frozen=True)
class Message:
    """A notification: pipeline, date and event in the title, the reason in the text, and a link."""

    title: str
    text: str
    link: str


def callbacks(pipeline: Pipeline, event: Event | None) -> list[Callback]:
    """Return the functions that Airflow calls with a task's context on ``event``."""
    if event is None or not _is_wanted(pipeline.notifications, event):
        return []
    return [partial(_notify, pipeline, event)]


def _is_wanted(targets: Notifications, event: Event) -> bool:
    has_target = bool(targets.email or targets.apprise)
    return has_target and event in targets.events


def send(pipeline: Pipeline, event: Event, message: Message, context: Any) -> bool:
    """Send a message about ``event`` to every target of the pipeline that wants it.

    Return False if there are targets, and none could be reached.
    """
    if not _is_wanted(pipeline.notifications, event):
        return True
    return _send(pipeline, message, context)


def ping_callbacks(pipeline: Pipeline) -> list[Callback]:
    """Return the functions that Airflow calls at the end of a daily run."""
    if pipeline.notifications.ping is None:
        return []
    return [partial(_ping, pipeline.notifications.ping)]


def _ping(connection_id: str, context: Any) -> None:
    """Request the address of the connection after a good run. Log any failure.

    A run is good if all of its tasks have succeeded or were skipped.
    """
    from airflow.sdk import BaseHook

    from batchml.clients import http

    shown = f"the address of the connection {connection_id}"
    try:
        if _has_failed_task(context):
            LOG.info("no ping, because a task of the run has failed")
            return
        address = address_of(BaseHook.get_connection(connection_id))
        limits = http.Limits(seconds=10, size=100_000, attempts=3, clock=time.monotonic)
        answer = http.get(address, shown, limits)
        if answer is None:
            LOG.warning("%s does not exist", shown)
    except Exception:
        LOG.exception("%s could not be requested", shown)


def _has_failed_task(context: Any) -> bool:
    dag_id, run_id = context["ti"].dag_id, context["run_id"]
    states = context["ti"].get_task_states(dag_id=dag_id, run_ids=[run_id])
    return any(state in FAILED_STATES for state in states[run_id].values())


def address_of(connection: Any) -> str:
    """Return the address of an HTTP connection, by the rules of Airflow's HttpHook."""
    host = connection.host or ""
    address = host
    if "://" not in host:
        address = f"{connection.schema or 'http'}://{host}"
    if connection.port:
        address = f"{address}:{connection.port}"
    return address


def timeout_callbacks(pipeline: Pipeline) -> list[Callback]:
    """Return the functions Airflow calls when a run has failed. Failed tasks report themselves."""
    if not callbacks(pipeline, "failed"):
        return []
    return [partial(_notify_of_timeout, pipeline)]


def _notify_of_timeout(pipeline: Pipeline, context: Any) -> None:
    """Send a message if the run took too long. Its tasks are then skipped, and none reports it."""
    if context.get("reason") != "timed_out":
        return
    run_id = context["run_id"]
    text = f"The run {run_id} took more than {pipeline.run_hours:g} hours (limits.run_hours)."
    message = Message(f"{pipeline.name}: a run was ended", text, "")
    _send(pipeline, message, context)


def _notify(pipeline: Pipeline, event: Event, context: Any) -> None:
    """Send the message to every target.

    An unreachable target blocks neither the other targets nor the task.
    """
    message = compose(pipeline.name, event, context)
    if message is not None:
        _send(pipeline, message, context)


def _send(pipeline: Pipeline, message: Message, context: Any) -> bool:
    """Send the message to every target. Return True if at least one could be reached."""
    is_sent = False
    for notifier in _notifiers(pipeline.notifications):
        try:
            notifier({**context, "message": message})
            is_sent = True
        except Exception:
            LOG.exception("%r could not be sent by %s", message.title, type(notifier).__name__)
    return is_sent


def compose(name: str, event: Event, context: Any) -> Message | None:
    """Return the message about ``event``, or None for a day without an alarm or a promotion."""
    content = _compose_content(name, event, context)
    if content is None:
        return None
    headline, reason = content
    date = last_date(context["params"], context["dag_run"])
    return Message(f"{name} {date}: {headline}", reason, str(context["ti"].log_url))


def _compose_content(name: str, event: Event, context: Any) -> tuple[str, str] | None:
    """Return headline and reason of the message about ``event``, or None without one."""
    task = context["ti"].task_id
    line = JobLine.read(context["ti"].xcom_pull(task_ids=task))
    content = None
    match event, line and line.details:
        case "failed", _:
            content = f"{task} failed", str(context.get("exception") or "see the log of the task")
        case "approval", PromoteModelDetails(awaits_approval=None):
            content = None
        case "approval", PromoteModelDetails(reason=reason, awaits_approval=version):
            command = _approval_command(name, context)
            content = f"version {version} waits for approval", f"{reason}\n{command}"
        case "approval", _ if task != "promote_model":
            # The approval task of a pipeline with gate.approval: manual.
            content = "a new model waits for approval", APPROVAL_TEXT
        case "alarm", MonitorDriftDetails(level="alarm", findings=findings):
            content = "drift alarm", "\n".join(findings)
        case "promoted", PromoteModelDetails(changed=True, reason=reason):
            content = "a new champion", reason
        case "rolled_back", RollBackModelDetails(restored=restored, reason=reason, dates=dates):
            effect = f"{reason}; {len(dates)} dates were scored again"
            content = f"rolled back to version {restored}", effect
    return content


def _approval_command(name: str, context: Any) -> str:
    line = JobLine.read(context["ti"].xcom_pull(task_ids=context["ti"].task_id))
    end = last_date(context["params"], context["dag_run"])
    if line is not None and line.end:
        end = str(line.end)
    arguments = f"--pipeline {name} --end {end} --approved-by NAME"
    return f"To promote it: spark-submit jobs/promote_model.py {arguments}"


def _notifiers(targets: Notifications) -> Iterator[BaseNotifier]:
    """Yield a notifier per target.

    The providers are imported only here: parsing a DAG without targets must not wait for them.
    """
    if targets.email:
        from airflow.providers.smtp.notifications.smtp import SmtpNotifier

        yield SmtpNotifier(to=list(targets.email), subject=TITLE, html_content=HTML)
    for connection in targets.apprise:
        from orchestration.apprise_notifier import CheckedAppriseNotifier

        yield CheckedAppriseNotifier(title=TITLE, body=TEXT, apprise_conn_id=connection)
