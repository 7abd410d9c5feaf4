"""Connect to MLflow: settings, a client for one pipeline, and the translation of failures."""

import logging
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import mlflow
import requests
from mlflow import MlflowClient
from mlflow.exceptions import MlflowException
from sqlalchemy.exc import OperationalError

from batchml.clients.http import is_address
from batchml.config import Places
from batchml.errors import BadConfig, Unavailable, first_line

# MLflow's own defaults try for minutes; Airflow retries the whole task anyway.
CLIENT_SETTINGS = {
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "3",
    "MLFLOW_HTTP_REQUEST_BACKOFF_FACTOR": "1",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "30",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
}
# Error codes of MLflow that another attempt does not change.
NOT_ALLOWED = ("UNAUTHENTICATED", "PERMISSION_DENIED", "CUSTOMER_UNAUTHORIZED")
REFUSED = ("INVALID_PARAMETER_VALUE", "BAD_REQUEST")
DELETED = re.compile(r"(?i)deleted|run with id=?\S* not found|run '\S*' not found")


@contextmanager
def reaching() -> Iterator[None]:
    """Translate the failures of MLflow, around a call or as a decorator.

    A deleted run or experiment becomes BadConfig with the command that restores it. A user, name
    or value that MLflow refuses also becomes BadConfig. Anything else becomes Unavailable with the
    address.
    """
    try:
        yield
    except (MlflowException, requests.RequestException, OperationalError) as error:
        if isinstance(error, MlflowException):
            _raise_for_deleted(str(error))
            _raise_for_refused(error)
        raise Unavailable(
            f"MLflow at {mlflow.get_tracking_uri()} failed",
            first_line(error),
            remedy="check that the server runs and that MLFLOW_TRACKING_URI is its address",
        ) from error


@reaching()
def connect(name: str, places: Places) -> MlflowClient:
    """Return a client, and make the experiment ``name`` exist and active.

    Raise Unavailable if MLflow does not respond.
    """
    is_sqlite = places.tracking_uri.startswith("sqlite:///")
    if is_sqlite:
        database = Path(places.tracking_uri.removeprefix("sqlite:///"))
        database.parent.mkdir(parents=True, exist_ok=True)

    client = open_client(places)
    experiment = client.get_experiment_by_name(name)
    if experiment is None:
        # A server decides where artifacts go. Without one they would go to the current folder.
        location = None
        if is_sqlite:
            location = Path(places.artifacts, name).as_uri()
        _create_experiment(client, name, location)
    elif experiment.lifecycle_stage == "deleted":
        number = experiment.experiment_id
        raise BadConfig(
            f"the MLflow experiment {name!r} is deleted",
            remedy=f"restore it: mlflow experiments restore --experiment-id {number}",
        )
    mlflow.set_experiment(name)
    return client


def open_client(places: Places) -> MlflowClient:
    """Return a client, without an experiment. Raise BadConfig if there is no store."""
    for setting, value in CLIENT_SETTINGS.items():
        os.environ.setdefault(setting, value)
    # Set the level here, because importing MLflow sets another one.
    logging.getLogger("mlflow").setLevel(logging.WARNING)
    mlflow.set_tracking_uri(places.tracking_uri)
    return _client(places.tracking_uri)


def _client(uri: str) -> MlflowClient:
    """Return MLflow's client. Raise BadConfig if there is no store behind ``uri``."""
    remedy = "correct MLFLOW_TRACKING_URI: it is the address of an MLflow server"
    if uri.startswith("http") and not is_address(uri):
        raise BadConfig(f"the tracking URI {uri} is not an address of the web", remedy=remedy)
    try:
        return MlflowClient()
    except ImportError as error:
        problem = f"no driver is installed for the database of the tracking URI {uri}"
        raise BadConfig(problem, str(error), remedy=remedy) from error


def _raise_for_deleted(text: str) -> None:
    """Raise BadConfig if MLflow's message is about a deleted run or experiment."""
    if not DELETED.search(text):
        return
    run = re.search(r"\b[0-9a-f]{32}\b", text)
    if "not found" in text:
        remedy = (
            "delete its model version in MLflow; if that is the champion, first roll back or train "
            "and promote another one"
        )
    elif run is not None:
        remedy = f"set MLFLOW_TRACKING_URI and restore it: mlflow runs restore --run-id {run[0]}"
    else:
        remedy = (
            "set MLFLOW_TRACKING_URI and restore it: mlflow experiments restore, or mlflow runs "
            "restore"
        )
    raise BadConfig(
        "a required run or experiment was deleted in MLflow",
        first_line(text),
        remedy=remedy,
    )


def _raise_for_refused(error: MlflowException) -> None:
    """Raise BadConfig if MLflow refuses a user, a name or a value, now or later."""
    if error.error_code in NOT_ALLOWED:
        raise BadConfig(
            f"MLflow at {mlflow.get_tracking_uri()} refuses this user",
            first_line(error),
            remedy="check MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD",
        ) from error
    if error.error_code in REFUSED:
        raise BadConfig(
            "MLflow refuses a name or a value",
            first_line(error),
            remedy="change the name or value in the pipeline's YAML or in MLFLOW_TRACKING_URI",
        ) from error


def _create_experiment(client: MlflowClient, name: str, location: str | None) -> None:
    try:
        client.create_experiment(name, artifact_location=location)
    except MlflowException as error:
        # Another job may have created it in the meantime.
        if error.error_code != "RESOURCE_ALREADY_EXISTS":
            raise
