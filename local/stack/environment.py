"""The environment variables of the local stack's processes."""

import os
import sys
from collections.abc import Collection, Mapping
from pathlib import Path

from honcho.environ import parse

from batchml.config import Places
from local.setup import class_archive
from local.stack.postgres import USER, programs
from local.stack.secret_files import ADMIN, secret_of
from local.submit.local_submit import SECRET, SECRET_FILE

ROOT = Path(__file__).resolve().parents[2]
BIN = Path(sys.executable).parent
ARCHIVE = BIN.parent / "classes.jsa"  # created by `make setup`
SHARED = parse(
    (ROOT / "conf" / "stack.env").read_text(encoding="utf-8")
)  # shared with the containers
DRIVERS_POOL = SHARED["SPARK_DRIVERS_POOL"]
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
# Only the quick compiler, because most processes of this stack run for seconds.
QUICK = "-XX:TieredStopAtLevel=1 -XX:+UseSerialGC"
# Drivers and executors authenticate, because every user of a machine can connect to its loopback.
# docker-compose.yaml has the same options, and a test compares them.
DAEMON_OPTIONS = "-Dspark.authenticate=true -Dspark.ui.reverseProxy=true"


def environment_of(state: Path, places: Places, ports: Mapping[str, int]) -> dict[str, str]:
    """Return the variables of all processes of the stack in ``state``."""
    events = f"{state}/spark/events"
    environment = inherited() | SHARED | spark_daemons() | airflow(state, ports) | links(ports)
    environment |= {name: str(port) for name, port in ports.items()}
    return environment | {
        "PATH": f"{BIN}{os.pathsep}{os.environ['PATH']}",
        "PYTHONPATH": f"{ROOT / 'jobs'}{os.pathsep}{ROOT / 'dags'}",
        "BATCHML_STATE": str(state),
        SECRET: secret_of(state / SECRET_FILE),
        "BATCHML_CONF": os.environ.get("BATCHML_CONF", str(ROOT / "conf")),
        "BATCHML_LANDING": places.landing,
        "BATCHML_LAKE": places.lake,
        "BATCHML_SPARK_EVENTS": events,
        "BATCHML_SPARK_MASTER_PAGE": page(ports, "SPARK_UI_PORT"),
        "MLFLOW_TRACKING_URI": page(ports, "MLFLOW_PORT"),
        "MLFLOW_STORE": places.tracking_uri,
        "MLFLOW_ARTIFACTS": Path(places.artifacts).as_uri(),
        "SPARK_LOCAL_IP": "127.0.0.1",
        "SPARK_HISTORY_OPTS": (
            f"-Dspark.history.ui.port={ports['SPARK_HISTORY_PORT']} "
            f"-Dspark.history.fs.logDirectory={events}"
        ),
    }


def inherited() -> dict[str, str]:
    """Return the caller's variables, without those of Airflow and Spark except for connections."""
    variables = {}
    for name, value in os.environ.items():
        is_foreign = name.startswith(("AIRFLOW", "SPARK_", "PYSPARK_"))
        if not is_foreign or name.startswith("AIRFLOW_CONN_"):
            variables[name] = value
    return variables


def airflow(state: Path, ports: Mapping[str, int]) -> dict[str, str]:
    """Return the settings of Airflow."""
    home = state / "airflow"
    address = page(ports, "AIRFLOW_PORT")
    return {
        "AIRFLOW_HOME": str(home),
        "AIRFLOW_CONN_SPARK_DEFAULT": f"spark://127.0.0.1:{ports['SPARK_MASTER_PORT']}",
        "AIRFLOW__API__BASE_URL": address,
        "AIRFLOW__CORE__DAGS_FOLDER": str(ROOT / "dags"),
        "AIRFLOW__CORE__PLUGINS_FOLDER": str(ROOT / "dags" / "plugins"),
        "AIRFLOW__CORE__EXECUTION_API_SERVER_URL": f"{address}/execution/",
        "AIRFLOW__CORE__EXECUTOR": "LocalExecutor",
        "AIRFLOW__CORE__PARALLELISM": "4",
        "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_PASSWORDS_FILE": str(passwords_of(state)),
        "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_USERS": f"{ADMIN}:admin",
        # Seconds until a new pipeline is noticed. Each time takes a process of a second per file.
        "AIRFLOW__DAG_PROCESSOR__MIN_FILE_PROCESS_INTERVAL": "60",
        "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": f"sqlite:///{home}/airflow.db",
    }


def links(ports: Mapping[str, int]) -> dict[str, str]:
    """Return the targets of the links in Airflow's tasks."""
    return {
        "BATCHML_LINK_AIRFLOW": page(ports, "AIRFLOW_PORT"),
        "BATCHML_LINK_MLFLOW": page(ports, "MLFLOW_PORT"),
        "BATCHML_LINK_SPARK": page(ports, "SPARK_UI_PORT"),
        "BATCHML_LINK_SPARK_HISTORY": page(ports, "SPARK_HISTORY_PORT"),
    }


def page(ports: Mapping[str, int], name: str) -> str:
    """Return the address of the server on the port ``name``."""
    return f"http://127.0.0.1:{ports[name]}"


def passwords_of(state: Path) -> Path:
    """Return the file of Airflow's users and passwords."""
    return state / "airflow.passwords"


def sample_services(
    state: Path, ports: Mapping[str, int], services: Collection[str]
) -> dict[str, str]:
    """Return the addresses and accounts of the started services of samples."""
    variables = {}
    if "samples-api" in services:
        variables["BATCHML_SAMPLES_API"] = page(ports, "SAMPLES_API_PORT")
    if "postgres" in services:
        programs()
        variables["BATCHML_SOURCES_DB"] = f"127.0.0.1:{ports['POSTGRES_PORT']}/sources"
        variables["BATCHML_SOURCES_USER"] = USER
        variables["BATCHML_SOURCES_PASSWORD"] = secret_of(state / "postgres.password")
    return variables


def spark_daemons() -> dict[str, str]:
    """Return the variables of master, worker and history server.

    docs/decisions/0003-what-spark-starts-with.md explains the class archive.
    """
    archived = class_archive.options(ARCHIVE, ROOT / "conf" / "spark")
    variables = {"SPARK_DAEMON_JAVA_OPTS": f"{QUICK} {DAEMON_OPTIONS} {archived}"}
    if archived:
        variables["SPARK_CONF_DIR"] = str(class_archive.conf_of(ARCHIVE))
    return variables
