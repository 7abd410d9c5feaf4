"""Manual approval of a challenger in Airflow's UI."""

import datetime as dt
from typing import Any

from airflow.providers.standard.operators.hitl import ApprovalOperator
from airflow.sdk import Context
from airflow.sdk.exceptions import AirflowSkipException

from batchml.config import Pipeline
from batchml.job_line import EvaluateModelDetails, JobLine
from batchml.job_specs import APPROVED_BY_DEFAULT
from orchestration.docs import APPROVAL_DOC
from orchestration.notifications import callbacks

TASK = "approve_model"
ANSWERS = {"approve": ApprovalOperator.APPROVE, "reject": ApprovalOperator.REJECT}
# The text names no version: Airflow keeps the first text, also after another training of the date.
SUBJECT = "{{ dag.dag_id }}: promote the challenger of {{ last_date(params, dag_run) }}?"
BODY = """\
It passed the gate, or cannot be compared with the champion. Its version, its metrics and the gate's
reason are in the value of the task `evaluate_model`, and its link opens the model in MLflow.
"""


class WaitForApproval(ApprovalOperator):
    """Airflow's approval task. It is skipped if there is no challenger or the gate rejected it."""

    def execute(self, context: Context) -> None:
        """Request the approval, and wait without a worker's slot."""
        details = _evaluation(context["ti"])
        if details is None or not (details.passed or details.needs_approval):
            raise AirflowSkipException("no challenger passed the gate or needs approval")
        if details.needs_approval:
            # The configured default is for a challenger that passed.
            self.defaults = [ApprovalOperator.REJECT]
        super().execute(context)


def _evaluation(ti: Any) -> EvaluateModelDetails | None:
    """Return the details of ``evaluate_model``, or None if it was skipped or failed."""
    line = JobLine.read(ti.xcom_pull(task_ids="evaluate_model"))
    if line is None or not isinstance(line.details, EvaluateModelDetails):
        return None
    return line.details


def wait_for_approval(pipeline: Pipeline) -> WaitForApproval:
    """Return the approval task, which applies the configured default after the deadline."""
    return WaitForApproval(
        task_id=TASK,
        pool="default_pool",
        doc_md=APPROVAL_DOC,
        subject=SUBJECT,
        body=BODY,
        defaults=ANSWERS[pipeline.gate.approval_default],
        notifiers=callbacks(pipeline, "approval"),
        response_timeout=dt.timedelta(hours=pipeline.gate.approval_hours),
        # Airflow 3.3 loses a response that arrives within about a second of the request: the task
        # fails, and its retry requests the approval again. Short, repeated retries limit the delay.
        retries=5,
        retry_delay=dt.timedelta(seconds=5),
    )


def approver(ti: Any) -> str:
    """Return the name of the user who approved, or an empty string without an approval."""
    response = ti.xcom_pull(task_ids=TASK) or {}
    if response.get("chosen_options") != [ApprovalOperator.APPROVE]:
        return ""
    user = response.get("responded_by_user")
    if user:
        return str(user["name"])
    return APPROVED_BY_DEFAULT


def evaluated_version(ti: Any) -> str:
    """Return the version that ``evaluate_model`` evaluated, or an empty string without one."""
    line = JobLine.read(ti.xcom_pull(task_ids="evaluate_model"))
    if line is None or line.model_version is None:
        return ""
    return str(line.model_version)
