"""Check what is late, and send a message about each new state.

The ledgers are read by `python -m batchml.commands.freshness` in a separate process, because DAGs
do not import the code of the lake.
"""

import datetime as dt
import logging
import os
import subprocess
import sys
from collections.abc import Sequence
from http import HTTPStatus
from typing import Any

from airflow.sdk import Variable
from airflow.sdk.exceptions import AirflowException, AirflowRuntimeError
from pydantic import TypeAdapter, ValidationError

from batchml.config import Pipeline, conf_folder, load_pipeline
from batchml.config.base import Closed
from batchml.config.freshness import DayVolume, Freshness, FreshnessLine, Late
from batchml.errors import PipelineError
from orchestration.notifications import Message, send
from orchestration.operators import JOBS_FOLDER

LOG = logging.getLogger(__name__)
VARIABLE = "batchml_freshness"
"""The Airflow variable with what was sent. Delete it to receive all messages again."""
SECONDS_TO_READ = 480  # less than the time limit of the task
DESCRIPTION = "What the DAG freshness has sent messages about"


class Sent(Closed):
    """What was sent about a pipeline: its number of late dates, dates of alarms, and an error."""

    late: int = 0
    volume: tuple[dt.date, ...] = ()
    is_unreadable: bool = False


SENT_BY_PIPELINE = TypeAdapter(dict[str, Sent])


def check_freshness(names: Sequence[str], context: Any) -> dict[str, Any]:
    """Check the pipelines that are not paused, send what is new, and return their states.

    Raise AirflowException at the end if the state of one could not be read.
    """
    unpaused = [name for name in names if not _is_paused(name, context)]
    if not unpaused:
        return {}
    line = run_check(unpaused)
    report(line, context)
    if line.errors:
        listed = "\n".join(line.errors.values())
        raise AirflowException(f"{', '.join(line.errors)} could not be checked\n{listed}")
    states: dict[str, Any] = line.model_dump(mode="json")["pipelines"]
    return states


def _is_paused(name: str, context: Any) -> bool:
    """Return True if no run of the pipeline is expected: its DAG is paused, or not known yet."""
    try:
        return bool(context["ti"].get_dag(name).is_paused)
    except AirflowRuntimeError as error:
        detail = error.error.detail or {}
        if detail.get("status_code") != HTTPStatus.NOT_FOUND:
            raise
        LOG.warning("Airflow does not know the DAG %s yet", name)
        return True


def run_check(names: Sequence[str]) -> FreshnessLine:
    """Return the states of the pipelines. Raise AirflowException if the check prints none."""
    command = [sys.executable, "-m", "batchml.commands.freshness"]
    for name in names:
        command += ["--pipeline", name]
    environment = {**os.environ, "PYTHONPATH": str(JOBS_FOLDER)}
    done = subprocess.run(
        command,
        capture_output=True,
        text=True,
        check=False,
        env=environment,
        timeout=SECONDS_TO_READ,
    )
    try:
        return FreshnessLine.parse(done.stdout)
    except ValidationError:
        reason = done.stderr.strip() or done.stdout.strip()
        raise AirflowException(f"the check ended with {done.returncode}: {reason}") from None


def report(line: FreshnessLine, context: Any) -> None:
    """Send what is new, and remember it. A message that reached no target is sent again later."""
    sent = read_sent()
    try:
        for name, state in line.pipelines.items():
            pipeline = load_pipeline(name, conf_folder())
            sent[name] = _report_state(pipeline, state, sent.get(name, Sent()), context)
        for name, error in line.errors.items():
            sent[name] = _report_error(name, error, sent.get(name, Sent()), context)
    finally:  # a task that is ended at its time limit has sent some of the messages
        value = SENT_BY_PIPELINE.dump_python(sent, mode="json")
        Variable.set(VARIABLE, value, description=DESCRIPTION, serialize_json=True)


def read_sent() -> dict[str, Sent]:
    """Return what was sent by pipeline; nothing if the variable is missing or not readable."""
    text = Variable.get(VARIABLE, default="{}")
    try:
        return SENT_BY_PIPELINE.validate_json(text)
    except ValidationError:
        LOG.warning("the variable %s is not readable: all messages are sent again", VARIABLE)
        return {}


def _report_state(pipeline: Pipeline, state: Freshness, sent: Sent, context: Any) -> Sent:
    link = str(context["ti"].log_url)
    late, volume = sent.late, sent.volume
    message = late_message(pipeline.name, state.late, sent.late, link)
    if message is None or send(pipeline, "late", message, context):
        late = state.late.dates if state.late is not None else 0
    message = volume_message(pipeline.name, state.alarms, sent.volume, link)
    if message is None or send(pipeline, "volume", message, context):
        volume = tuple(each.date for each in state.alarms)
    return Sent(late=late, volume=volume)


def _report_error(name: str, error: str, sent: Sent, context: Any) -> Sent:
    """Send the error of a ledger once. What was sent before stays, as its state is unknown."""
    if sent.is_unreadable:
        return sent
    link = str(context["ti"].log_url)
    message = Message(f"{name}: its state cannot be read", error, link)
    try:
        pipeline = load_pipeline(name, conf_folder())
    except PipelineError:
        return sent  # its own DAG shows the error of its file
    is_sent = send(pipeline, "failed", message, context)
    return sent.model_copy(update={"is_unreadable": is_sent})


def late_message(name: str, late: Late | None, sent_dates: int, link: str) -> Message | None:
    """Return the message about late dates, or None if there are no more than were sent."""
    if late is None or late.dates <= sent_dates:
        return None
    text = f"{late.cause}\n{late.remedy}"
    if late.can_be_healed:
        text += f"\nIn Airflow: trigger the DAG {name} with action=heal."
    return Message(f"{name} is {late.headline}", text, link)


def volume_message(
    name: str, alarms: Sequence[DayVolume], sent_dates: Sequence[dt.date], link: str
) -> Message | None:
    """Return the message about unusual volumes, or None without a new one.

    A date that continues the one before is not new.
    """
    new = [each for each in alarms if each.date not in sent_dates and not each.is_continued]
    if not new:
        return None
    text = "\n".join(each.text for each in new)
    return Message(f"{name} {new[-1].date}: unusual volume", text, link)
