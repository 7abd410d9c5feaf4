"""Links from a Spark task in Airflow's UI to Spark and MLflow.

Their addresses come from environment variables. Without the variable a link is empty.
"""

import os
from typing import Any, Protocol

from airflow.sdk import BaseOperatorLink

from batchml.job_line import JobLine, MlflowIds


class SubmittedJob(Protocol):
    """The part of a submitted job that the links need."""

    application_id: str | None
    last_line: JobLine | None


class SparkApplicationLink(BaseOperatorLink):
    """Link to the Spark application: its live page while it runs, the history server afterwards."""

    name = "Spark application"
    xcom_key = "spark_application_link"

    def get_link(self, operator: SubmittedJob, *, ti_key: Any) -> str:
        """Return the address in the history server. Airflow calls this when the task has ended."""
        base = os.environ.get("BATCHML_LINK_SPARK_HISTORY")
        application = operator.application_id
        if not base or not application:
            return ""
        return f"{base}/history/{application}/jobs/"

    @staticmethod
    def while_running(application: str) -> str:
        """Return the address of the application's live page, which ends with the application."""
        base = os.environ.get("BATCHML_LINK_SPARK")
        if not base:
            return ""
        return f"{base}/proxy/{application}/jobs/"


class MlflowLink(BaseOperatorLink):
    """Link to the model version that the task trained, evaluated, promoted or scored with."""

    name = "MLflow model"
    xcom_key = "mlflow_link"

    def get_link(self, operator: SubmittedJob, *, ti_key: Any) -> str:
        """Return the version's address. Airflow calls this when the task has ended."""
        base = os.environ.get("BATCHML_LINK_MLFLOW")
        mlflow = _mlflow_ids(operator)
        if not base or mlflow.model is None or mlflow.version is None:
            return ""
        return f"{base}/#/models/{mlflow.model}/versions/{mlflow.version}"


class ReportLink(BaseOperatorLink):
    """Link to the page that ``report_day`` logged to MLflow."""

    name = "Report of the day"
    xcom_key = "report_link"

    def get_link(self, operator: SubmittedJob, *, ti_key: Any) -> str:
        """Return the page's address. Airflow calls this when the task has ended."""
        base = os.environ.get("BATCHML_LINK_MLFLOW")
        mlflow = _mlflow_ids(operator)
        if not base or mlflow.artifact is None:
            return ""
        run = f"{base}/#/experiments/{mlflow.experiment_id}/runs/{mlflow.run_id}"
        return f"{run}/artifacts/{mlflow.artifact}"


def _mlflow_ids(operator: SubmittedJob) -> MlflowIds:
    """Return the ids in the task's last line; empty ones if it printed none."""
    line = operator.last_line
    if line is None or line.mlflow is None:
        return MlflowIds()
    return line.mlflow
