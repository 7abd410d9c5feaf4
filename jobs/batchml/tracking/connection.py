"""The way to MLflow: its settings, its failures, and a client for one pipeline."""

import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import mlflow
import requests
from mlflow import MlflowClient
from mlflow.exceptions import MlflowException
from sqlalchemy.exc import OperationalError

from batchml.config import Places
from batchml.errors import Unavailable

# MLflow's own defaults try for minutes; Airflow retries the whole task anyway.
CLIENT_SETTINGS = {
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "3",
    "MLFLOW_HTTP_REQUEST_BACKOFF_FACTOR": "1",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "30",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
}


@contextmanager
def reaching() -> Iterator[None]:
    """Raise Unavailable with the address for every failure of MLflow in the block or function."""
    try:
        yield
    except (MlflowException, requests.RequestException, OperationalError) as error:
        raise Unavailable(
            f"MLflow at {mlflow.get_tracking_uri()} failed",
            str(error).splitlines()[0],
            remedy="is the server running, and is MLFLOW_TRACKING_URI its address?",
        ) from error


@reaching()
def connect(name: str, places: Places) -> MlflowClient:
    """Return a client, and make the experiment ``name`` exist and active.

    Raise Unavailable if MLflow does not respond.
    """
    for setting, value in CLIENT_SETTINGS.items():
        os.environ.setdefault(setting, value)
    logging.getLogger("mlflow").setLevel(logging.WARNING)  # here, because importing it sets another level
    is_sqlite = places.tracking_uri.startswith("sqlite:///")
    if is_sqlite:
        Path(places.tracking_uri.removeprefix("sqlite:///")).parent.mkdir(parents=True, exist_ok=True)
    mlflow.set_tracking_uri(places.tracking_uri)
    client = MlflowClient()
    if client.get_experiment_by_name(name) is None:
        # A server decides where artifacts go; without one they would land in the current folder.
        location = Path(places.artifacts, name).as_uri() if is_sqlite else None
        _create_experiment(client, name, location)
    mlflow.set_experiment(name)
    return client


def _create_experiment(client: MlflowClient, name: str, location: str | None) -> None:
    try:
        client.create_experiment(name, artifact_location=location)
    except MlflowException as error:
        if error.error_code != "RESOURCE_ALREADY_EXISTS":  # another job was quicker
            raise
