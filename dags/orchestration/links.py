"""The links of a Spark task in Airflow's UI, as the person's browser can follow them.

Their addresses come from the environment; without one the link stays empty.
"""

import os
from typing import Any, Protocol

from airflow.sdk import BaseOperatorLink

from batchml.job_line import JobLine, MlflowIds


class SubmittedJob(Protocol):
    """The facts about a task's job that the links are made of."""

    application_id: str | None
    last_line: JobLine | None


class SparkApplicationLink(BaseOperatorLink):
    """To the Spark application: its own page, behind the master's, while it runs, and the history server afterwards."""

    name = "Spark application"
    xcom_key = "spark_application_link"

    def get_link(self, operator: SubmittedJob, *, ti_key: Any) -> str:
        """Return the address in the history server. Airflow calls this when the task has ended."""
        base, application = os.environ.get("BATCHML_LINK_SPARK_HISTORY"), operator.application_id
        return f"{base}/history/{application}/jobs/" if base and application else ""

    @staticmethod
    def while_running(application: str) -> str:
        """Return the address of the application's own page, which ends with the application."""
        base = os.environ.get("BATCHML_LINK_SPARK")
        return f"{base}/proxy/{application}/jobs/" if base else ""


class MlflowLink(BaseOperatorLink):
    """To the version of the model that the task made, judged, promoted or scored with."""

    name = "MLflow model"
    xcom_key = "mlflow_link"

    def get_link(self, operator: SubmittedJob, *, ti_key: Any) -> str:
        """Return the version's address. Airflow calls this when the task has ended."""
        base, mlflow = os.environ.get("BATCHML_LINK_MLFLOW"), _mlflow_ids(operator)
        if not base or mlflow.model is None or mlflow.version is None:
            return ""
        return f"{base}/#/models/{mlflow.model}/versions/{mlflow.version}"


class ReportLink(BaseOperatorLink):
    """To the page that ``report_day`` wrote, in MLflow."""

    name = "Report of the day"
    xcom_key = "report_link"

    def get_link(self, operator: SubmittedJob, *, ti_key: Any) -> str:
        """Return the page's address. Airflow calls this when the task has ended."""
        base, mlflow = os.environ.get("BATCHML_LINK_MLFLOW"), _mlflow_ids(operator)
        if not base or mlflow.artifact is None:
            return ""
        return f"{base}/#/experiments/{mlflow.experiment_id}/runs/{mlflow.run_id}/artifacts/{mlflow.artifact}"


def _mlflow_ids(operator: SubmittedJob) -> MlflowIds:
    """Return the ids in the task's last line; empty ones if it printed none."""
    line = operator.last_line
    if line is None or line.mlflow is None:
        return MlflowIds()
    return line.mlflow
