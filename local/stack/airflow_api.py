"""The part of Airflow's REST API that the local stack needs."""

import time
from typing import Any

import requests
from requests.adapters import HTTPAdapter
from urllib3.util import Retry

TASK_STATES_AT_REST = {"success", "failed", "skipped", "upstream_failed", "removed"}


class AirflowApi:
    """Airflow's API server at ``url``, as ``user``."""

    def __init__(self, url: str, user: str, password: str) -> None:
        self.url = url
        self.user = user
        self.password = password
        self._session = requests.Session()
        # SQLite is locked at times, and then the server returns 500.
        retries = Retry(
            total=5,
            backoff_factor=0.5,
            status_forcelist=[500, 502, 503, 504],
            allowed_methods=["GET"],
        )
        self._session.mount("http://", HTTPAdapter(max_retries=retries))

    def require_healthy(self) -> None:
        """Raise a RequestException or ValueError until all parts of Airflow are healthy."""
        response = self._session.get(f"{self.url}/api/v2/monitor/health", timeout=5)
        response.raise_for_status()
        parts = response.json()
        for part in ("metadatabase", "scheduler", "dag_processor"):
            status = parts[part]["status"]
            if status != "healthy":
                raise ValueError(f"{part} is {status}")
        headers = self._session.headers
        if "Authorization" not in headers:
            headers["Authorization"] = f"Bearer {self.token()}"

    def token(self) -> str:
        """Return a token that authenticates the user."""
        login = {"username": self.user, "password": self.password}
        response = self._session.post(f"{self.url}/auth/token", json=login, timeout=5)
        response.raise_for_status()
        return str(response.json()["access_token"])

    def call(self, method: str, path: str, **kwargs: Any) -> dict[str, Any]:
        """Return the JSON response of ``/api/v2`` + ``path``.

        Raises:
            requests.HTTPError: for any status other than 2xx.
        """
        url = f"{self.url}/api/v2{path}"
        response = self._session.request(method, url, timeout=30, **kwargs)
        response.raise_for_status()
        if not response.content:
            return {}
        return dict(response.json())

    def wait_for_dag(self, dag_id: str, seconds: float) -> None:
        """Wait until the DAG can be triggered.

        Raises:
            TimeoutError: with the import errors, if it cannot.
        """
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            # The list contains the DAG a moment before its tasks exist, and a trigger would
            # return 404. The details do not.
            if self._find(f"/dags/{dag_id}/details") is not None:
                return
            time.sleep(0.5)
        errors = self.call("GET", "/importErrors")["import_errors"]
        traces = "\n".join(error["stack_trace"] for error in errors)
        raise TimeoutError(traces or f"no DAG {dag_id} after {seconds} s")

    def ensure_pool(self, name: str, slots: int, description: str) -> None:
        """Create the pool unless it exists."""
        body = {"name": name, "slots": slots, "description": description}
        try:
            self.call("POST", "/pools", json=body)
        except requests.HTTPError as error:
            if error.response.status_code != requests.codes.conflict:
                raise

    def trigger(self, dag_id: str, run_id: str, conf: dict[str, Any]) -> None:
        """Unpause the DAG and start a run."""
        self.call("PATCH", f"/dags/{dag_id}", json={"is_paused": False})
        body = {"dag_run_id": run_id, "logical_date": None, "conf": conf}
        self.call("POST", f"/dags/{dag_id}/dagRuns", json=body)

    def run_state(self, dag_id: str, run_id: str) -> str:
        """Return the state of a run: queued, running, success or failed."""
        run = self.call("GET", _run_path(dag_id, run_id))
        return str(run["state"])

    def tasks(self, dag_id: str, run_id: str) -> list[dict[str, Any]]:
        """Return the task instances of a run in the order of their start."""
        response = self.call("GET", f"{_run_path(dag_id, run_id)}/taskInstances")
        instances: list[dict[str, Any]] = response["task_instances"]
        return sorted(instances, key=lambda task: task["start_date"] or "~")

    def value(self, dag_id: str, run_id: str, task_id: str) -> dict[str, Any]:
        """Return a task's return value, or an empty dict if it has none."""
        task = f"{_run_path(dag_id, run_id)}/taskInstances/{task_id}"
        path = f"{task}/xcomEntries/return_value"
        entry = self._find(path, params={"deserialize": "true"})
        if entry is None or not isinstance(entry["value"], dict):
            return {}
        return entry["value"]

    def _find(self, path: str, **kwargs: Any) -> dict[str, Any] | None:
        """Return the JSON response to a GET, or None for 404."""
        try:
            return self.call("GET", path, **kwargs)
        except requests.HTTPError as error:
            if error.response.status_code == requests.codes.not_found:
                return None
            raise


def _run_path(dag_id: str, run_id: str) -> str:
    return f"/dags/{dag_id}/dagRuns/{run_id}"
