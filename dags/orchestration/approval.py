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
# No version and no number: Airflow keeps the first text of a question, also when the model is trained again meanwhile.
SUBJECT = "{{ dag.dag_id }}: shall the challenger of {{ last_date(params, dag_run) }} serve?"
BODY = """\
It passed the gate, or cannot be compared with the champion. Its version, its metrics and the gate's reason are the
value of the task `evaluate_model`, whose link leads to the model in MLflow.
"""


class AskForApproval(ApprovalOperator):
    """Airflow's approval; skipped if the gate rejected the challenger, or there is none."""

    def execute(self, context: Context) -> None:
        """Request the approval, and wait without a worker's slot."""
        line = JobLine.read(context["ti"].xcom_pull(task_ids="evaluate_model"))
        details = line.details if line is not None else None
        if not isinstance(details, EvaluateModelDetails) or not (
            details.passed or details.needs_approval
        ):
            raise AirflowSkipException(
                "the gate let no challenger through: there is nothing to ask"
            )
        if details.needs_approval:  # the configured answer is for a challenger that passed
            self.defaults = [ApprovalOperator.REJECT]
        super().execute(context)


def ask_for_approval(pipeline: Pipeline) -> AskForApproval:
    """Return the task that waits for approval; after the deadline it takes the configured answer."""
    return AskForApproval(
        task_id=TASK,
        pool="default_pool",
        doc_md=APPROVAL_DOC,
        subject=SUBJECT,
        body=BODY,
        defaults=ANSWERS[pipeline.gate.approval_default],
        notifiers=callbacks(pipeline, "approval"),
        response_timeout=dt.timedelta(hours=pipeline.gate.approval_hours),
        # Airflow 3.3 takes an answer given within a second or so of the question for a task that was lost, and on its
        # retry drops the answer and asks again: soon, then, and not once only.
        retries=5,
        retry_delay=dt.timedelta(seconds=5),
    )


def approver(ti: Any) -> str:
    """Return who approved, for the model's tags; an empty string unless the answer is yes."""
    answer = ti.xcom_pull(task_ids=TASK) or {}
    if answer.get("chosen_options") != [ApprovalOperator.APPROVE]:
        return ""
    user = answer.get("responded_by_user")
    return str(user["name"]) if user else APPROVED_BY_DEFAULT


def judged_version(ti: Any) -> str:
    """Return the version that evaluate_model let through, which an approval is about; empty if there is none."""
    line = JobLine.read(ti.xcom_pull(task_ids="evaluate_model"))
    if line is None or line.model_version is None:
        return ""
    return str(line.model_version)
