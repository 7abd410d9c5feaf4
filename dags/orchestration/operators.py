"""An operator for this project's jobs: SparkSubmitOperator that understands their exit codes and their last line."""

import datetime as dt
import json
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from airflow.providers.apache.spark.hooks.spark_submit import SparkSubmitHook
from airflow.providers.apache.spark.operators.spark_submit import SparkSubmitOperator
from airflow.sdk import Context
from airflow.sdk.exceptions import (
    AirflowException,
    AirflowFailException,
    AirflowRescheduleException,
    AirflowSkipException,
)
from airflow.sdk.execution_time import task_runner
from airflow.sdk.execution_time.comms import CommsDecoder

from batchml.clients.parent_death import die_with_parent
from batchml.errors import BadConfig, BadData, Missing, NothingToDo
from batchml.job_line import JobLine
from orchestration.links import MlflowLink, ReportLink, SparkApplicationLink

FAILS_AT_ONCE = {BadData.exit_code, BadConfig.exit_code}
APPLICATION = re.compile(r"Spark application ((?:app|local)-\d+(?:-\d+)?)$")
SECONDS_BETWEEN_LOOKS = 30
SECONDS_BETWEEN_DELIVERY_LOOKS = 300
JOBS_FOLDER = Path(__file__).resolve().parents[2] / "jobs"
POOL = "spark_drivers"


def spark_task(job: str, **kwargs: Any) -> "SparkJobOperator":
    """Return a task that submits ``jobs/<job>.py``; its id is the job's name unless ``kwargs`` has another."""
    defaults = {
        "task_id": job,
        "application": str(JOBS_FOLDER / f"{job}.py"),
        "conf": _local_spark_conf(),
        "pool": POOL,
    }
    return SparkJobOperator(**{**defaults, **kwargs})


def _local_spark_conf() -> dict[str, str]:
    """Return the environment-specific settings: where event logs go, and how the application's page is reached."""
    conf = {}
    if folder := os.environ.get("BATCHML_SPARK_EVENTS"):
        conf |= {"spark.eventLog.enabled": "true", "spark.eventLog.dir": folder}
    if "BATCHML_LINK_SPARK" in os.environ:
        conf["spark.ui.reverseProxy"] = "true"
    return conf


class SparkJobOperator(SparkSubmitOperator):
    """Submits a job of ``jobs/`` and gives its JSON line as the task's value.

    Exit code 3 (bad data) and 4 (bad configuration) fail the task at once, 99 (nothing to do) skips it, anything else
    is left to the task's retries. The JSON line is pushed in every case, so that others can read why.

    ``waits_for_earlier_runs``: the task stands back while the DAG has a running run of an earlier date. A backfill
    heeds its own number of active runs and not the DAG's, and days must be scored and trained on in their order.

    ``waits_for_delivery``: how long a scheduled run looks again for a delivery that is missing.

    ``only_if`` (templated): the task is skipped unless this renders to ``True``.
    """

    template_fields = (*SparkSubmitOperator.template_fields, "only_if")
    operator_extra_links = (SparkApplicationLink(), MlflowLink(), ReportLink())
    last_line: JobLine | None = None
    value: dict[str, Any] | None = None
    application_id: str | None = None

    def __init__(
        self,
        *,
        waits_for_earlier_runs: bool = False,
        waits_for_delivery: dt.timedelta = dt.timedelta(),
        only_if: str = "True",
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.waits_for_delivery = waits_for_delivery
        self.waits_for_earlier_runs = waits_for_earlier_runs
        self.only_if = only_if

    def execute(self, context: Context) -> dict[str, Any] | None:
        """Run the job to its end."""
        if self.only_if != "True":
            raise AirflowSkipException("the run does not ask for this task")
        if self.waits_for_earlier_runs:
            self._let_earlier_runs_end(context)
        self._context = context
        _die_with_supervisor()
        # By this variable spark-submit knows whom it must not outlive (local/submit/supervised_submit.py).
        self.env_vars = {**(self.env_vars or {}), "BATCHML_SUBMITTED_BY": str(os.getpid())}
        try:
            super().execute(context)
        except AirflowException as error:
            if self.last_line is not None:
                context["ti"].xcom_push(key="return_value", value=self.value)
                self._wait_for_delivery(context, self.last_line)
            raise self._verdict(
                error
            ) from None  # what spark-submit was called with is no part of the reason
        return self.value

    def _let_earlier_runs_end(self, context: Context) -> None:
        earlier = context["ti"].get_previous_dagrun(state="running")
        if earlier is not None:
            self.log.info(
                "%s is running: looking again in %d s", earlier.run_id, SECONDS_BETWEEN_LOOKS
            )
            raise AirflowRescheduleException(
                dt.datetime.now(dt.UTC) + dt.timedelta(seconds=SECONDS_BETWEEN_LOOKS)
            )

    def _wait_for_delivery(self, context: Context, line: JobLine) -> None:
        """Reschedule the task if the delivery is missing and there is time left to wait for it."""
        if line.error is None or line.error.kind != Missing.kind or not self.waits_for_delivery:
            return
        run = context["dag_run"]
        now = dt.datetime.now(dt.UTC)
        if run.run_type != "scheduled" or now >= run.run_after + self.waits_for_delivery:
            return
        self.log.info(
            "%s: looking again in %d s", line.error.message, SECONDS_BETWEEN_DELIVERY_LOOKS
        )
        raise AirflowRescheduleException(now + dt.timedelta(seconds=SECONDS_BETWEEN_DELIVERY_LOOKS))

    def _get_hook(self) -> SparkSubmitHook:
        """Return the provider's hook, with its log lines passed through ``_overheard``.

        The hook logs the output of spark-submit, but returns none of it.
        """
        hook = super()._get_hook()
        log_lines = hook._process_spark_submit_log
        hook._process_spark_submit_log = lambda lines: log_lines(self._overheard(lines))
        return hook

    def _overheard(self, lines: Iterator[str]) -> Iterator[str]:
        for text in lines:
            line = JobLine.parse(text)
            if line is not None:
                # Pushed as printed, so that keys of another version of the code are kept.
                self.last_line, self.value = line, json.loads(text)
            if started := APPLICATION.search(text.rstrip()):
                self.application_id = started[1]
                link = SparkApplicationLink.while_running(started[1])
                self._context["ti"].xcom_push(key=SparkApplicationLink.xcom_key, value=link)
            yield text

    def _verdict(self, error: AirflowException) -> AirflowException:
        process = self._hook._submit_sp if self._hook is not None else None
        exit_code = process.returncode if process is not None else None
        reason = str(error)
        if self.last_line is not None and self.last_line.error is not None:
            reason = str(self.last_line.error)
        if exit_code == NothingToDo.exit_code:
            return AirflowSkipException(reason)
        # Without a line the code is not the job's: a JVM without memory ends with 3, too.
        if exit_code in FAILS_AT_ONCE and self.last_line is not None:
            return AirflowFailException(reason)
        return AirflowException(reason)


def _die_with_supervisor() -> None:
    """End this task's process with Airflow's supervisor: without it the task is retried elsewhere.

    A task that runs in the caller's own process, as in `dag.test()`, has no supervisor.
    """
    if isinstance(getattr(task_runner, "SUPERVISOR_COMMS", None), CommsDecoder):
        die_with_parent(os.getppid())
