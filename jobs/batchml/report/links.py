"""Addresses of the pages about a pipeline, for a browser."""

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Self
from urllib.parse import quote

from batchml.job_specs import JOBS

APPLICATION = re.compile(r"(app|local)-\d+")


@dataclass(frozen=True)
class Links:
    """The servers' addresses. Where one is unknown, links to it are empty."""

    airflow: str = ""
    mlflow: str = ""
    history: str = ""

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] = os.environ) -> Self:
        """Return the addresses in ``environment``."""
        return cls(
            environment.get("BATCHML_LINK_AIRFLOW", ""),
            environment.get("BATCHML_LINK_MLFLOW", ""),
            environment.get("BATCHML_LINK_SPARK_HISTORY", ""),
        )

    def of_dag(self, pipeline: str) -> str:
        """Return the address of the pipeline's DAG."""
        if not self.airflow:
            return ""
        return f"{self.airflow}/dags/{quote(pipeline)}"

    def of_approvals(self, pipeline: str) -> str:
        """Return the address of the pipeline's tasks that wait for a user's answer."""
        dag = self.of_dag(pipeline)
        if not dag:
            return ""
        return f"{dag}/required_actions"

    def of_run(self, pipeline: str, run: str) -> str:
        """Return the address of the run that the ledger names.

        That is a run of Airflow, with its logs and report, or the Spark application of a job that
        was run manually. The name of a job without Spark has no page.
        """
        if APPLICATION.match(run):
            if not self.history:
                return ""
            return f"{self.history}/history/{quote(run)}/jobs/"
        dag = self.of_dag(pipeline)
        if not dag or not run or run in JOBS:
            return ""
        return f"{dag}/runs/{quote(run, safe='')}"

    def of_model(self, pipeline: str, version: int) -> str:
        """Return the address of a model version."""
        if not self.mlflow:
            return ""
        return f"{self.mlflow}/#/models/{quote(pipeline)}/versions/{version}"
