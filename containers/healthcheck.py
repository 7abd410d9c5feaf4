"""Health checks of the containers, by what they are for: `healthcheck.py WHAT` ends with 0 when it works.

Run by the system's Python without site-packages: a check every few seconds must cost nothing.
"""

import json
import socket
import sys
import urllib.request


def ask(url: str) -> dict:
    """The JSON answer of ``url``; raises for anything but 2xx."""
    with urllib.request.urlopen(url, timeout=5) as answer:
        return json.load(answer)


def spark_master() -> bool:
    """The master leads."""
    return ask("http://spark-master:8080/json/")["status"] == "ALIVE"


def spark_worker() -> bool:
    """The master counts this worker alive: a worker that runs but cannot reach it is of no use."""
    mine = {socket.gethostname(), socket.gethostbyname(socket.gethostname())}
    workers = ask("http://spark-master:8080/json/")["workers"]
    return any(worker["state"] == "ALIVE" and worker["host"] in mine for worker in workers)


def spark_history() -> bool:
    """The history server can list the event logs."""
    return isinstance(ask("http://localhost:18080/api/v1/applications?limit=1"), list)


def mlflow() -> bool:
    """MLflow answers from its database, under the name the jobs call it by."""
    return "experiments" in ask(
        "http://mlflow:5000/api/2.0/mlflow/experiments/search?max_results=1"
    )


def samples_api() -> bool:
    """The service gives samples."""
    return bool(ask("http://localhost:8000/samples?date=2021-01-01&n=1")["samples"])


def _airflow(part: str) -> bool:
    return ask("http://airflow-api:8080/api/v2/monitor/health")[part]["status"] == "healthy"


CHECKS = {
    "spark-master": spark_master,
    "spark-worker": spark_worker,
    "spark-history": spark_history,
    "mlflow": mlflow,
    "samples-api": samples_api,
    "airflow-api": lambda: _airflow("metadatabase"),
    "airflow-scheduler": lambda: _airflow("scheduler"),
    "airflow-dag-processor": lambda: _airflow("dag_processor"),
    "airflow-triggerer": lambda: _airflow("triggerer"),
}


def main(what: str) -> str | None:
    """None if it works, else one line of why not: `docker inspect` shows it."""
    try:
        return None if CHECKS[what]() else f"{what} answers, but does not do its work"
    except (OSError, ValueError, KeyError) as error:
        return f"{what}: {type(error).__name__}: {error}"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
