"""The operator of this project's jobs: SparkSubmitOperator with their exit codes and JSON line."""

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
SECONDS_BETWEEN_RUN_CHECKS = 30
SECONDS_BETWEEN_DELIVERY_CHECKS = 300
JOBS_FOLDER = Path(__file__).resolve().parents[2] / "jobs"
POOL = "spark_drivers"


def spark_task(job: str, **kwargs: Any) -> "SparkJobOperator":
    """Return a task that submits ``jobs/<job>.py``, with the job's name as its default id."""
    defaults = {
        "task_id": job,
        "application": str(JOBS_FOLDER / f"{job}.py"),
        "conf": _local_spark_conf(),
        "pool": POOL,
    }
    return SparkJobOperator(**(defaults | kwargs))


def _local_spark_conf() -> dict[str, str]:
    """Return the environment-specific settings: the event logs, and the proxy of the live pages."""
    conf = {}
    if folder := os.environ.get("BATCHML_SPARK_EVENTS"):
        conf |= {"spark.eventLog.enabled": "true", "spark.eventLog.dir": folder}
    if "BATCHML_LINK_SPARK" in os.environ:
        conf["spark.ui.reverseProxy"] = "true"
    return conf


class SparkJobOperator(SparkSubmitOperator):
    """Task that submits a job of ``jobs/`` and returns its JSON line.

    Exit codes 3 (bad data) and 4 (bad configuration) fail the task at once, and 99 (nothing to do)
    skips it. After any other code Airflow retries. The JSON line is pushed in every case, so that
    later tasks can read the reason.

    ``waits_for_earlier_runs``: the task waits while the DAG has a running run of an earlier date.
    Airflow does not apply the DAG's limit of active runs to a backfill, and days must be scored and
    trained on in order.

    ``waits_for_delivery``: how long a scheduled run checks again for a missing delivery.

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
            raise AirflowSkipException("the run does not request this task")
        if self.waits_for_earlier_runs:
            self._wait_for_earlier_runs(context)
        self._context = context
        _die_with_supervisor()
        # local/submit/supervised_submit.py ends with the process that this variable names.
        self.env_vars = (self.env_vars or {}) | {"BATCHML_SUBMITTED_BY": str(os.getpid())}
        try:
            super().execute(context)
        except AirflowException as error:
            if self.last_line is not None:
                context["ti"].xcom_push(key="return_value", value=self.value)
                self._wait_for_delivery(context, self.last_line)
            # The error of the provider would add the whole command line to the reason.
            raise self._to_airflow_exception(error) from None
        return self.value

    def _wait_for_earlier_runs(self, context: Context) -> None:
        """Reschedule the task while a run of an earlier date is running."""
        earlier = context["ti"].get_previous_dagrun(state="running")
        if earlier is None:
            return
        seconds = SECONDS_BETWEEN_RUN_CHECKS
        self.log.info("%s is running: checking again in %d s", earlier.run_id, seconds)
        raise AirflowRescheduleException(dt.datetime.now(dt.UTC) + dt.timedelta(seconds=seconds))

    def _wait_for_delivery(self, context: Context, line: JobLine) -> None:
        """Reschedule the task if the delivery is missing and there is time left to wait for it."""
        if line.error is None or line.error.kind != Missing.kind or not self.waits_for_delivery:
            return

        run = context["dag_run"]
        now = dt.datetime.now(dt.UTC)
        if run.run_type != "scheduled" or now >= run.run_after + self.waits_for_delivery:
            return

        seconds = SECONDS_BETWEEN_DELIVERY_CHECKS
        self.log.info("%s: checking again in %d s", line.error.message, seconds)
        raise AirflowRescheduleException(now + dt.timedelta(seconds=seconds))

    def _get_hook(self) -> SparkSubmitHook:
        """Return the provider's hook, with its log lines passed through ``_capture_job_line``.

        The hook logs the output of spark-submit, but returns none of it.
        """
        hook = super()._get_hook()
        log_lines = hook._process_spark_submit_log
        hook._process_spark_submit_log = lambda lines: log_lines(self._capture_job_line(lines))
        return hook

    def _capture_job_line(self, lines: Iterator[str]) -> Iterator[str]:
        """Yield ``lines``, and store the JSON line and the application id among them."""
        for text in lines:
            line = JobLine.parse(text)
            if line is not None:
                # The value stays as printed, with keys of other versions of the code.
                self.last_line = line
                self.value = json.loads(text)
            if started := APPLICATION.search(text.rstrip()):
                self.application_id = started[1]
                link = SparkApplicationLink.while_running(started[1])
                self._context["ti"].xcom_push(key=SparkApplicationLink.xcom_key, value=link)
            yield text

    def _to_airflow_exception(self, error: AirflowException) -> AirflowException:
        """Return the exception by which Airflow skips, fails or retries the task."""
        exit_code = None
        if self._hook is not None and self._hook._submit_sp is not None:
            exit_code = self._hook._submit_sp.returncode
        reason = str(error)
        if self.last_line is not None and self.last_line.error is not None:
            reason = str(self.last_line.error)
        if exit_code == NothingToDo.exit_code:
            return AirflowSkipException(reason)
        # Without a line the code is not the job's: a JVM that runs out of memory also ends with 3.
        if exit_code in FAILS_AT_ONCE and self.last_line is not None:
            return AirflowFailException(reason)
        return AirflowException(reason)


def _die_with_supervisor() -> None:
    """End this process when Airflow's supervisor ends, because Airflow then retries the task.

    A task that runs in the caller's process, as in `dag.test()`, has no supervisor.
    """
    if isinstance(getattr(task_runner, "SUPERVISOR_COMMS", None), CommsDecoder):
        die_with_parent(os.getppid())
