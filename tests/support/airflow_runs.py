"""Waiting for Airflow, in containers and on the local stack."""

import time
from collections.abc import Callable
from typing import Any

import pytest

from local.stack.airflow_api import AirflowApi


def until(
    true: Callable[[], Any], what: str | Callable[[], str], seconds: float, every: float = 2.0
) -> Any:
    """Wait for the first result of ``true`` that counts as true, and return it."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if answer := true():
            return answer
        time.sleep(every)
    pytest.fail(f"after {seconds} s there is still no {what if isinstance(what, str) else what()}")


def run_dag(
    airflow: AirflowApi, dag_id: str, run_id: str, conf: dict[str, Any], seconds: float
) -> dict[str, str]:
    """Triggers a run and waits for its end; gives the state of every task."""
    airflow.wait_for_dag(dag_id, 60)
    airflow.trigger(dag_id, run_id, conf)
    return end_of(airflow, dag_id, run_id, seconds)


def end_of(airflow: AirflowApi, dag_id: str, run_id: str, seconds: float) -> dict[str, str]:
    """Return the state of every task once the run has ended."""
    ended = ("success", "failed")
    until(
        lambda: airflow.run_state(dag_id, run_id) in ended,
        lambda: f"end of {dag_id} {run_id}: {task_states(airflow, dag_id, run_id)}",
        seconds,
    )
    return task_states(airflow, dag_id, run_id)


def task_states(airflow: AirflowApi, dag_id: str, run_id: str) -> dict[str, str]:
    """Return the state of every task of a run."""
    return {task["task_id"]: task["state"] for task in airflow.tasks(dag_id, run_id)}
