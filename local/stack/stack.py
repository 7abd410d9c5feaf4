"""Start and stop the stack: a Spark standalone cluster, MLflow and Airflow on loopback.

honcho runs the processes of ``local/stack/Procfile``. This module prepares their environment, waits
until they respond, and stops all of them.
"""

import os
import subprocess
from collections.abc import Collection, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console

from batchml.config import Places
from local.stack import state_folder
from local.stack.airflow_api import AirflowApi
from local.stack.environment import (
    BIN,
    ROOT,
    USUAL_PORTS,
    environment_of,
    page,
    passwords_of,
    sample_services,
)
from local.stack.processes import StackError, free_port, lock, startup_lock, stop
from local.stack.readiness import wait_until_ready
from local.stack.running_stack import Stack
from local.stack.secret_files import ADMIN, airflow_password

PROCFILE = Path(__file__).with_name("Procfile")
SERVICES = (
    "spark-master",
    "spark-worker",
    "mlflow",
    "airflow-api",
    "airflow-scheduler",
    "airflow-dags",
)


@dataclass(frozen=True)
class StackOptions:
    """The parts of a stack that are optional.

    ``history``: Spark's history server. ``schedules``: Airflow starts runs by itself. ``services``:
    processes of ``local/stack/Procfile`` that samples need.
    """

    history: bool = False
    schedules: bool = False
    services: Collection[str] = ()


@contextmanager
def running(
    state: Path, places: Places, console: Console, options: StackOptions
) -> Iterator[Stack]:
    """Run the stack for the length of a block, then stop exactly what was started.

    Raises:
        StackError: if another stack uses ``state``, or this one does not start.
    """
    state_folder.prepare(state)
    with lock(state / "lock") as lock_file, ExitStack() as starting:
        starting.enter_context(startup_lock())
        ports = {name: free_port(usual) for name, usual in USUAL_PORTS.items()}
        environment = environment_of(state, places, ports)
        environment |= sample_services(state, ports, options.services)
        environment["AIRFLOW__SCHEDULER__USE_JOB_SCHEDULE"] = str(options.schedules)
        _migrate(environment, state, console)

        log = state / "stack.log"
        honcho = _start(_service_names(options), environment, log, lock_file)
        try:
            stack = _describe(state, ports, environment, options, honcho)
            wait_until_ready(stack, options.services, console)
            starting.close()
            yield stack
        finally:
            stop(honcho, state)


def _service_names(options: StackOptions) -> list[str]:
    """Return the processes of the Procfile to start."""
    names = list(SERVICES)
    names += options.services
    if options.history:
        names.append("spark-history")
    return names


def _migrate(environment: Mapping[str, str], state: Path, console: Console) -> None:
    """Create or upgrade Airflow's database before its processes would do it at the same time."""
    command = [str(BIN / "airflow"), "db", "migrate"]
    with (
        (state / "migrate.log").open("w") as log,
        console.status("Airflow: preparing its database"),
    ):
        done = subprocess.run(command, env=environment, stdout=log, stderr=log, check=False)
    if done.returncode:
        raise StackError(f"Airflow's database could not be prepared: see {log.name}")


def _start(
    names: list[str], environment: Mapping[str, str], log: Path, lock_file: int
) -> subprocess.Popen[bytes]:
    """Start honcho with the processes ``names``. It inherits the descriptor of the lock."""
    command = [str(BIN / "honcho"), "--no-colour", "--env", os.devnull]
    command += ["--procfile", str(PROCFILE), "start"]
    command += names
    with log.open("w") as output:
        return subprocess.Popen(
            command,
            cwd=ROOT,
            env=environment,
            stdout=output,
            stderr=subprocess.STDOUT,
            # In a new session: Ctrl-C reaches only this process, which stops the others in order.
            start_new_session=True,
            pass_fds=[lock_file],
        )


def _describe(
    state: Path,
    ports: Mapping[str, int],
    environment: Mapping[str, str],
    options: StackOptions,
    honcho: subprocess.Popen[bytes],
) -> Stack:
    """Return the addresses of the stack that ``honcho`` runs."""
    history = samples_api = None
    if options.history:
        history = page(ports, "SPARK_HISTORY_PORT")
    if "samples-api" in options.services:
        samples_api = environment["BATCHML_SAMPLES_API"]
    return Stack(
        airflow=AirflowApi(
            page(ports, "AIRFLOW_PORT"), ADMIN, airflow_password(passwords_of(state))
        ),
        mlflow=page(ports, "MLFLOW_PORT"),
        spark_ui=page(ports, "SPARK_UI_PORT"),
        history=history,
        samples_api=samples_api,
        environment=environment,
        log=state / "stack.log",
        honcho=honcho,
    )
