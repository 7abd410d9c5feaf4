"""Messages about a run to where people read them, through Airflow's own notifiers. Off until a YAML names a target."""

import logging
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
# Notifiers render what they are given, and a job's message may hold braces: it comes in as a value, not as a template.
TITLE, TEXT = "{{ message.title }}", "{{ message.text }}\n\n{{ message.link }}"
HTML = '<pre>{{ message.text | e }}</pre><p><a href="{{ message.link | e }}">{{ message.link | e }}</a></p>'


@dataclass(frozen=True)
class Message:
    """What is sent: pipeline, date and event in the title, why in the text, and where to look."""

    title: str
    text: str
    link: str


def callbacks(pipeline: Pipeline, event: Event | None) -> list[Callback]:
    """Return the functions Airflow calls with a task's context; none if no one subscribed."""
    wanted = pipeline.notifications
    if event is None or event not in wanted.events or not (wanted.email or wanted.apprise):
        return []
    return [partial(_notify, pipeline, event)]


def timeout_callbacks(pipeline: Pipeline) -> list[Callback]:
    """Return the functions Airflow calls when a run has failed. Failed tasks report themselves."""
    return [partial(_notify_of_timeout, pipeline)] if callbacks(pipeline, "failed") else []


def _notify_of_timeout(pipeline: Pipeline, context: Any) -> None:
    """Send a message if the run took too long: its tasks are then skipped, and none reports it."""
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


def _send(pipeline: Pipeline, message: Message, context: Any) -> None:
    for notifier in _notifiers(pipeline.notifications):
        try:
            notifier({**context, "message": message})
        except Exception:
            LOG.exception("%r could not be sent by %s", message.title, type(notifier).__name__)


def compose(name: str, event: Event, context: Any) -> Message | None:
    """Return the message, or None if the event is not worth one.

    Such an event is a day without an alarm, or a promotion that changed nothing.
    """
    task = context["ti"].task_id
    line = JobLine.read(context["ti"].xcom_pull(task_ids=task))
    match event, line and line.details:
        case "failed", _:
            what, why = (
                f"{task} failed",
                str(context.get("exception") or "the task's log tells why"),
            )
        case "approval", PromoteModelDetails(awaits_approval=None):
            return None
        case "approval", PromoteModelDetails(reason=reason, awaits_approval=version):
            what = f"version {version} waits for approval"
            why = f"{reason}\n{_approval_command(name, context)}"
        case "approval", _ if task != "promote_model":  # the task that asks
            what, why = (
                "a new model waits for approval",
                "It passed the gate, or cannot be compared with the champion. "
                "Approve or reject it in Airflow.",
            )
        case "alarm", MonitorDriftDetails(level="alarm", findings=findings):
            what, why = "drift alarm", "\n".join(findings)
        case "promoted", PromoteModelDetails(changed=True, reason=reason):
            what, why = "a new champion", reason
        case "rolled_back", RollBackModelDetails(restored=restored, reason=reason, dates=dates):
            what = f"rolled back to version {restored}"
            why = f"{reason}; {len(dates)} dates were scored again"
        case _:
            return None
    date = last_date(context["params"], context["dag_run"])
    return Message(f"{name} {date}: {what}", why, str(context["ti"].log_url))


def _approval_command(name: str, context: Any) -> str:
    line = JobLine.read(context["ti"].xcom_pull(task_ids=context["ti"].task_id))
    end = (line and line.end) or last_date(context["params"], context["dag_run"])
    arguments = f"--pipeline {name} --end {end} --approved-by NAME"
    return f"To promote it: spark-submit jobs/promote_model.py {arguments}"


def _notifiers(targets: Notifications) -> Iterator[BaseNotifier]:
    """Yield the providers' notifiers.

    Import them only here, so that a DAG without messages does not wait for them when it is parsed.
    """
    if targets.email:
        from airflow.providers.smtp.notifications.smtp import SmtpNotifier

        yield SmtpNotifier(to=list(targets.email), subject=TITLE, html_content=HTML)
    for connection in targets.apprise:
        from airflow.providers.apprise.notifications.apprise import AppriseNotifier

        yield AppriseNotifier(title=TITLE, body=TEXT, apprise_conn_id=connection)
