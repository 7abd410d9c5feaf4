"""Wait until the services of a stack respond."""

import time
from collections.abc import Callable, Collection

import requests
from rich.console import Console
from tenacity import RetryError, retry, retry_if_exception_type, stop_after_delay, wait_fixed

from local.stack.postgres import is_responding
from local.stack.processes import StackError
from local.stack.running_stack import Stack

SECONDS_TO_START = 300  # a process that ends is noticed at once; this is for slow machines


class NotReadyError(Exception):
    """A service responds, but is not ready."""


def wait_until_ready(stack: Stack, services: Collection[str], console: Console) -> None:
    """Wait until a worker has registered, and MLflow, Airflow and ``services`` respond.

    Raises:
        StackError: if a process of the stack ends, or a service takes too long.
    """
    started = time.monotonic()
    for name, check in checks_of(stack, services).items():
        with console.status(f"{name}: starting"):
            wait_for(name, check, stack)
        console.print(f"stack  {name:<8} is ready after {time.monotonic() - started:.0f} s")


def checks_of(stack: Stack, services: Collection[str]) -> dict[str, Callable[[], object]]:
    """Return a check for each service, which raises until the service is ready."""

    def spark() -> None:
        cluster = requests.get(f"{stack.spark_ui}/json/", timeout=5).json()
        if not cluster["aliveworkers"] > 0:
            raise NotReadyError

    def postgres() -> None:
        if not is_responding(stack.environment):
            raise NotReadyError

    checks: dict[str, Callable[[], object]] = {
        "Spark": spark,
        "MLflow": lambda: requests.get(f"{stack.mlflow}/health", timeout=5).raise_for_status(),
        "Airflow": stack.airflow.require_healthy,
    }
    if stack.samples_api:
        description = f"{stack.samples_api}/openapi.json"
        checks["Samples"] = lambda: requests.get(description, timeout=5).raise_for_status()
    if "postgres" in services:
        checks["Postgres"] = postgres
    return checks


def wait_for(name: str, check: Callable[[], object], stack: Stack) -> None:
    """Call ``check`` until it raises nothing."""

    def check_once() -> None:
        stack.require_alive()
        check()

    waiting = retry(
        retry=retry_if_exception_type(
            (requests.RequestException, NotReadyError, ValueError, KeyError)
        ),
        stop=stop_after_delay(SECONDS_TO_START),
        wait=wait_fixed(0.5),
    )
    try:
        waiting(check_once)()
    except RetryError as error:
        raise StackError(
            f"{name} was not ready within {SECONDS_TO_START} s: see {stack.log}"
        ) from error
