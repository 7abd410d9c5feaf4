"""Health checks of the containers: `healthcheck.py SERVICE` ends with 0 if the service works.

Run by the system's Python without site-packages, because a check runs every few seconds.
"""

import json
import socket
import sys
import urllib.request


def fetch_json(url: str) -> dict:
    """Return the JSON response of ``url``. Raise HTTPError for any status other than 2xx."""
    with urllib.request.urlopen(url, timeout=5) as response:
        return json.load(response)


def spark_master() -> bool:
    """Return True if the master is the leader."""
    return fetch_json("http://spark-master:8080/json/")["status"] == "ALIVE"


def spark_worker() -> bool:
    """Return True if the master counts this worker as alive."""
    names = {socket.gethostname(), socket.gethostbyname(socket.gethostname())}
    workers = fetch_json("http://spark-master:8080/json/")["workers"]
    return any(worker["state"] == "ALIVE" and worker["host"] in names for worker in workers)


def spark_history() -> bool:
    """Return True if the history server can list the event logs."""
    applications = fetch_json("http://localhost:18080/api/v1/applications?limit=1")
    return isinstance(applications, list)


def mlflow() -> bool:
    """Return True if MLflow reads from its database, under the host name that jobs use."""
    url = "http://mlflow:5000/api/2.0/mlflow/experiments/search?max_results=1"
    return "experiments" in fetch_json(url)


def samples_api() -> bool:
    """Return True if the service returns samples."""
    return bool(fetch_json("http://localhost:8000/samples?date=2021-01-01&n=1")["samples"])


def _airflow(part: str) -> bool:
    """Return True if Airflow reports ``part`` as healthy."""
    health = fetch_json("http://airflow-api:8080/api/v2/monitor/health")
    return health[part]["status"] == "healthy"


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


def main(service: str) -> str | None:
    """Return None if ``service`` works, or else one line of cause, shown by `docker inspect`."""
    try:
        if CHECKS[service]():
            return None
    except (OSError, ValueError, KeyError) as error:
        return f"{service}: {type(error).__name__}: {error}"
    return f"{service} responds, but does not work"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
