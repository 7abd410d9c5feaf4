"""The links of a Spark task in Airflow's UI, as the person's browser can follow them.

Their addresses come from the environment; without one the link stays empty.
"""

import os
from typing import TYPE_CHECKING, Any

from airflow.sdk import BaseOperatorLink

if TYPE_CHECKING:
    from orchestration.operators import SparkJobOperator


class SparkApplicationLink(BaseOperatorLink):
    """To the Spark application: its own page, behind the master's, while it runs, and the history server afterwards."""

    name = "Spark application"
    xcom_key = "spark_application_link"

    def get_link(self, operator: "SparkJobOperator", *, ti_key: Any) -> str:
        """Asked by Airflow when the task has ended."""
        base, application = os.environ.get("BATCHML_LINK_SPARK_HISTORY"), operator.application_id
        return f"{base}/history/{application}/jobs/" if base and application else ""

    @staticmethod
    def while_running(application: str) -> str:
        """The application's own page: it ends with the application."""
        base = os.environ.get("BATCHML_LINK_SPARK")
        return f"{base}/proxy/{application}/jobs/" if base else ""


class MlflowLink(BaseOperatorLink):
    """To the version of the model that the task made, judged, promoted or scored with."""

    name = "MLflow model"
    xcom_key = "mlflow_link"

    def get_link(self, operator: "SparkJobOperator", *, ti_key: Any) -> str:
        """Asked by Airflow when the task has ended."""
        base, mlflow = os.environ.get("BATCHML_LINK_MLFLOW"), (operator.last_line or {}).get("mlflow") or {}
        known = base and "model" in mlflow and "version" in mlflow
        return f"{base}/#/models/{mlflow['model']}/versions/{mlflow['version']}" if known else ""


class ReportLink(BaseOperatorLink):
    """To the page that ``report_day`` wrote, in MLflow."""

    name = "Report of the day"
    xcom_key = "report_link"

    def get_link(self, operator: "SparkJobOperator", *, ti_key: Any) -> str:
        """Asked by Airflow when the task has ended."""
        base, mlflow = os.environ.get("BATCHML_LINK_MLFLOW"), (operator.last_line or {}).get("mlflow") or {}
        if not base or "artifact" not in mlflow:
            return ""
        return f"{base}/#/experiments/{mlflow['experiment_id']}/runs/{mlflow['run_id']}/artifacts/{mlflow['artifact']}"
