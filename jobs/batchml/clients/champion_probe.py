"""Check for a champion over MLflow's REST API, to avoid a ten-second start with nothing to do."""

import requests

from batchml.config import Places
from batchml.errors import NothingToDo
from batchml.job_specs import JOBS

CHAMPION = "champion"
# MLflow's error codes for an unknown model, and for a model without the alias.
ABSENT = ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE")
SECONDS = 5


def has_no_champion(pipeline: str, places: Places) -> bool:
    """Return True if MLflow's server states that ``pipeline`` has no champion.

    Return False for any other response, and without a server. The job then looks with MLflow's own
    client.
    """
    if not places.tracking_uri.startswith(("http://", "https://")):
        return False
    address = f"{places.tracking_uri.rstrip('/')}/api/2.0/mlflow/registered-models/alias"
    try:
        response = requests.get(
            address,
            params={"name": pipeline, "alias": CHAMPION},
            timeout=SECONDS,
        )
        return not response.ok and response.json()["error_code"] in ABSENT
    except (requests.RequestException, ValueError, LookupError, TypeError):
        return False


def no_champion(job: str, pipeline: str) -> NothingToDo:
    """Return the error with which ``job`` ends if ``pipeline`` has no champion."""
    return NothingToDo(
        f"{pipeline} has no champion to {JOBS[job].needs_champion_to}",
        remedy="run train_model, evaluate_model and promote_model first",
    )
