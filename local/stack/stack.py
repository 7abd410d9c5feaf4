"""Starts and stops the stack: a Spark standalone cluster, MLflow and Airflow on loopback, under one folder.

honcho runs the processes of ``local/stack/Procfile``; this module gives them their environment, waits until they
answer, and sees to it that none is left.
"""

import os
import stat
import subprocess
import sys
import time
from collections.abc import Collection, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import requests
from rich.console import Console
from tenacity import RetryError, retry, retry_if_exception_type, stop_after_delay, wait_fixed

from batchml.config import Places, conf_folder, load_places
from local.setup.class_archive import conf_of
from local.setup.class_archive import options as java_options
from local.stack.airflow_api import AirflowApi
from local.stack.postgres import USER, is_answering, programs
from local.stack.processes import StackError, free_port, lock, stop, turn
from local.stack.secret_files import ADMIN, PRIVATE, airflow_password, secret_of
from local.submit.local_submit import SECRET, SECRET_FILE

ROOT = Path(__file__).resolve().parents[2]
BIN = Path(sys.executable).parent
USUAL_PORTS = {
    "AIRFLOW_PORT": 8080,
    "MLFLOW_PORT": 5000,
    "SPARK_MASTER_PORT": 7077,
    "SPARK_UI_PORT": 8081,
    "SPARK_WORKER_UI_PORT": 8082,
    "SPARK_HISTORY_PORT": 18080,
    "SAMPLES_API_PORT": 8000,
    "POSTGRES_PORT": 5432,
}
ARCHIVE = BIN.parent / "classes.jsa"  # of `make setup`
QUICK = "-XX:TieredStopAtLevel=1"  # the quick compiler: what runs here runs for seconds
# Drivers and executors authenticate with a secret of this stack: every user of a machine reaches its loopback.
DAEMON_OPTIONS = "-Dspark.authenticate=true -Dspark.ui.reverseProxy=true"
SECONDS_TO_START = 180


@dataclass(frozen=True)
class Wanted:
    """What of a stack is not always there.

    ``history``: Spark's history server. ``schedules``: Airflow starts runs by itself. ``beside``: the services that
    samples come from, processes of ``local/stack/Procfile``.
    """

    history: bool = False
    schedules: bool = False
    beside: Collection[str] = ()


@dataclass(frozen=True)
class Stack:
    """A running stack: where its parts answer."""

    airflow: AirflowApi
    mlflow: str
    spark_master: str
    spark_ui: str
    history: str | None
    samples_api: str | None
    environment: Mapping[str, str]
    log: Path
    honcho: subprocess.Popen[bytes]

    def require_alive(self) -> None:
        """Raises StackError once a process of the stack has ended: honcho then ends the others."""
        if self.honcho.poll() is not None:
            raise StackError(f"a process of the stack has ended: see {self.log}")

    def addresses(self) -> dict[str, str]:
        """Return the pages a user may open, and the log-in where one is required."""
        airflow = f"{self.airflow.url} (user {self.airflow.user}, password {self.airflow.password})"
        pages = {"Airflow": airflow, "MLflow": self.mlflow, "Spark": self.spark_ui}
        others = {"Spark history": self.history, "Samples API": self.samples_api and f"{self.samples_api}/docs"}
        return pages | {name: page for name, page in others.items() if page}


def places_of(state: Path) -> Places:
    """The local places; the stack's own MLflow server keeps its models under ``state``."""
    places = load_places("local", conf_folder(), {**os.environ, "MLFLOW_TRACKING_URI": ""})
    store = {"tracking_uri": f"sqlite:///{state}/mlflow/mlflow.db", "artifacts": f"{state}/mlflow/artifacts"}
    return replace(places, **store)


@contextmanager
def running(state: Path, places: Places, console: Console, wanted: Wanted) -> Iterator[Stack]:
    """The stack, for the length of a block; on the way out exactly what was started is stopped.

    Raises StackError if another stack uses ``state``.
    """
    for folder in ("airflow", "mlflow", "spark/work", "spark/events"):
        (state / folder).mkdir(parents=True, exist_ok=True)
    close_to_others(state)
    with lock(state / "lock") as held, ExitStack() as starting:
        starting.enter_context(turn())
        ports = {name: free_port(usual) for name, usual in USUAL_PORTS.items()}
        environment = _environment(state, places, ports) | _services(state, ports, wanted.beside)
        environment["AIRFLOW__SCHEDULER__USE_JOB_SCHEDULE"] = str(wanted.schedules)
        _migrate(environment, state, console)
        names = ["spark-master", "spark-worker", "mlflow", "airflow-api", "airflow-scheduler", "airflow-dags"]
        names += [*wanted.beside, *(["spark-history"] if wanted.history else [])]
        log = state / "stack.log"
        with log.open("w") as output:
            # A session of its own, so that Ctrl-C reaches only us and we stop it in order.
            honcho = subprocess.Popen(
                [
                    BIN / "honcho",
                    "--no-colour",
                    "--env",
                    os.devnull,
                    "--procfile",
                    ROOT / "local" / "stack" / "Procfile",
                    "start",
                    *names,
                ],
                cwd=ROOT,
                env=environment,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                pass_fds=[held],
            )
        try:
            stack = Stack(
                airflow=AirflowApi(
                    f"http://127.0.0.1:{ports['AIRFLOW_PORT']}", ADMIN, airflow_password(passwords_of(state))
                ),
                mlflow=f"http://127.0.0.1:{ports['MLFLOW_PORT']}",
                spark_master=f"spark://127.0.0.1:{ports['SPARK_MASTER_PORT']}",
                spark_ui=f"http://127.0.0.1:{ports['SPARK_UI_PORT']}",
                history=f"http://127.0.0.1:{ports['SPARK_HISTORY_PORT']}" if wanted.history else None,
                samples_api=environment["BATCHML_SAMPLES_API"] if "samples-api" in wanted.beside else None,
                environment=environment,
                log=log,
                honcho=honcho,
            )
            _wait_until_answering(stack, wanted.beside, console)
            starting.close()
            yield stack
        finally:
            stop(honcho, state)


def close_to_others(state: Path) -> None:
    """Close ``state`` to other users of this machine, also where an earlier version made it open.

    PostgreSQL keeps its own folder closed, and opens the way to it where it runs as another user.
    """
    for folder, names, files in os.walk(state):
        if Path(folder) == state and "postgres" in names:
            names.remove("postgres")
        for path in (Path(folder), *(Path(folder, name) for name in files)):
            mode = path.lstat().st_mode
            if not stat.S_ISLNK(mode) and mode & PRIVATE:
                path.chmod(stat.S_IMODE(mode) & ~PRIVATE)


def passwords_of(state: Path) -> Path:
    """Return the file of Airflow's users and passwords."""
    return state / "airflow.passwords"


def _environment(state: Path, places: Places, ports: Mapping[str, int]) -> dict[str, str]:
    """What the processes are told. Of the caller's Airflow and Spark set-up only connections come in: to mail, say."""
    inherited = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("AIRFLOW", "SPARK_", "PYSPARK_")) or name.startswith("AIRFLOW_CONN_")
    }
    home = state / "airflow"
    airflow = f"http://127.0.0.1:{ports['AIRFLOW_PORT']}"
    mlflow = f"http://127.0.0.1:{ports['MLFLOW_PORT']}"
    spark = f"http://127.0.0.1:{ports['SPARK_UI_PORT']}"
    history = (
        f"-Dspark.history.ui.port={ports['SPARK_HISTORY_PORT']} -Dspark.history.fs.logDirectory={state}/spark/events"
    )
    return {
        **inherited,
        **_spark_daemons(),
        **{name: str(port) for name, port in ports.items()},
        "PATH": f"{BIN}{os.pathsep}{os.environ['PATH']}",
        "PYTHONPATH": str(ROOT / "jobs"),
        "BATCHML_STATE": str(state),
        SECRET: secret_of(state / SECRET_FILE),
        "BATCHML_CONF": os.environ.get("BATCHML_CONF", str(ROOT / "conf")),
        "BATCHML_LANDING": places.landing,
        "BATCHML_LAKE": places.lake,
        "BATCHML_SPARK_EVENTS": f"{state}/spark/events",
        "BATCHML_SPARK_MASTER_PAGE": spark,
        "BATCHML_LINK_AIRFLOW": airflow,
        "BATCHML_LINK_MLFLOW": mlflow,
        "BATCHML_LINK_SPARK": spark,
        "BATCHML_LINK_SPARK_HISTORY": f"http://127.0.0.1:{ports['SPARK_HISTORY_PORT']}",
        "MLFLOW_TRACKING_URI": mlflow,
        "MLFLOW_STORE": places.tracking_uri,
        "MLFLOW_ARTIFACTS": Path(places.artifacts).as_uri(),
        "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
        "SPARK_LOCAL_IP": "127.0.0.1",
        "SPARK_HISTORY_OPTS": history,
        "AIRFLOW_HOME": str(home),
        "AIRFLOW_CONN_SPARK_DEFAULT": f"spark://127.0.0.1:{ports['SPARK_MASTER_PORT']}",
        "AIRFLOW__API__BASE_URL": airflow,
        "AIRFLOW__CORE__DAGS_FOLDER": str(ROOT / "dags"),
        "AIRFLOW__CORE__EXECUTION_API_SERVER_URL": f"{airflow}/execution/",
        "AIRFLOW__CORE__EXECUTOR": "LocalExecutor",
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "AIRFLOW__CORE__PARALLELISM": "4",
        "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_PASSWORDS_FILE": str(passwords_of(state)),
        "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_USERS": f"{ADMIN}:admin",
        "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": f"sqlite:///{home}/airflow.db",
    }


def _services(state: Path, ports: Mapping[str, int], beside: Collection[str]) -> dict[str, str]:
    """How jobs reach the services that samples come from; without them the caller's own variables hold."""
    found = {}
    if "samples-api" in beside:
        found["BATCHML_SAMPLES_API"] = f"http://127.0.0.1:{ports['SAMPLES_API_PORT']}"
    if "postgres" in beside:
        programs()
        found["BATCHML_SOURCES_DB"] = f"127.0.0.1:{ports['POSTGRES_PORT']}/sources"
        found["BATCHML_SOURCES_USER"] = USER
        found["BATCHML_SOURCES_PASSWORD"] = secret_of(state / "postgres.password")
    return found


def _spark_daemons() -> dict[str, str]:
    """What Spark's own processes start with: docs/decisions/0003-what-spark-starts-with.md."""
    archived = java_options(ARCHIVE, ROOT / "conf" / "spark")
    return {
        **({"SPARK_CONF_DIR": str(conf_of(ARCHIVE))} if archived else {}),
        "SPARK_DAEMON_MEMORY": "512m",
        "SPARK_DAEMON_JAVA_OPTS": f"{QUICK} -XX:+UseSerialGC {DAEMON_OPTIONS} {archived}",
        # Its submission server runs the code of anybody who can reach it, with the secret and all.
        "SPARK_MASTER_OPTS": "-Dspark.master.rest.enabled=false",
    }


def _migrate(environment: Mapping[str, str], state: Path, console: Console) -> None:
    """Airflow's database, made or brought up to date by the first process alone."""
    with console.status("Airflow: preparing its database"), (state / "migrate.log").open("w") as log:
        done = subprocess.run([BIN / "airflow", "db", "migrate"], env=environment, stdout=log, stderr=log, check=False)
    if done.returncode:
        raise StackError(f"Airflow's database could not be prepared: see {log.name}")


def _wait_until_answering(stack: Stack, beside: Collection[str], console: Console) -> None:
    """Until a worker has registered, MLflow and Airflow answer, and Airflow knows its DAGs' folder."""
    checks = {
        "Spark": lambda: _require(requests.get(f"{stack.spark_ui}/json/", timeout=5).json()["aliveworkers"] > 0),
        "MLflow": lambda: requests.get(f"{stack.mlflow}/health", timeout=5).raise_for_status(),
        "Airflow": stack.airflow.require_healthy,
    }
    if stack.samples_api:
        page = f"{stack.samples_api}/openapi.json"
        checks["Samples"] = lambda: requests.get(page, timeout=5).raise_for_status()
    if "postgres" in beside:
        checks["Postgres"] = lambda: _require(is_answering(stack.environment))
    waiting = retry(
        retry=retry_if_exception_type((requests.RequestException, NotYetError, ValueError, KeyError)),
        stop=stop_after_delay(SECONDS_TO_START),
        wait=wait_fixed(0.5),
    )
    begun = time.monotonic()
    for name, check in checks.items():

        def answering(check: object = check) -> None:
            stack.require_alive()
            assert callable(check)
            check()

        with console.status(f"{name}: starting"):
            try:
                waiting(answering)()
            except RetryError as error:
                raise StackError(f"{name} did not answer within {SECONDS_TO_START} s: see {stack.log}") from error
        console.print(f"stack  {name:<8} answers after {time.monotonic() - begun:.0f} s")


class NotYetError(Exception):
    """An answer, but not yet the right one."""


def _require(condition: bool) -> None:
    if not condition:
        raise NotYetError
