"""The addresses and processes of a running stack."""

import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from local.stack.airflow_api import AirflowApi
from local.stack.environment import DRIVERS_POOL
from local.stack.processes import StackError

DRIVERS = 1  # at once, on one machine


@dataclass(frozen=True)
class Stack:
    """A running stack: the addresses of its services, and their environment."""

    airflow: AirflowApi
    mlflow: str
    spark_ui: str
    history: str | None
    samples_api: str | None
    environment: Mapping[str, str]
    log: Path
    honcho: subprocess.Popen[bytes]

    def require_alive(self) -> None:
        """Raise StackError once a process of the stack has ended: honcho then ends the others."""
        if self.honcho.poll() is not None:
            raise StackError(f"a process of the stack has ended: see {self.log}")

    def ensure_drivers_pool(self) -> None:
        """Create the pool that limits how many Spark drivers run at once."""
        self.airflow.ensure_pool(DRIVERS_POOL, DRIVERS, "limits how many Spark drivers run at once")

    def addresses(self) -> dict[str, str]:
        """Return the pages a user may open, and the log-in where one is required."""
        login = f"(user {self.airflow.user}, password {self.airflow.password})"
        pages = {
            "Airflow": f"{self.airflow.url} {login}",
            "MLflow": self.mlflow,
            "Spark": self.spark_ui,
        }
        if self.history:
            pages["Spark history"] = self.history
        if self.samples_api:
            pages["Samples API"] = f"{self.samples_api}/docs"
        return pages
