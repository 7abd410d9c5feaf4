"""What MLflow's server tells before Spark and MLflow's client are started, which takes ten seconds."""

import requests

from batchml.config import Places
from batchml.errors import NothingToDo
from batchml.job_specs import JOBS

CHAMPION = "champion"
# What MLflow answers where there is no such model, and where the model has no such alias.
ABSENT = ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE")
SECONDS = 5


def lacks_champion(pipeline: str, places: Places) -> bool:
    """Whether MLflow's server says that ``pipeline`` has no champion.

    Whatever else it answers, if there is one at all, is for the job to find out with MLflow's own client.
    """
    if not places.tracking_uri.startswith(("http://", "https://")):
        return False
    address = f"{places.tracking_uri.rstrip('/')}/api/2.0/mlflow/registered-models/alias"
    try:
        answer = requests.get(
            address, params={"name": pipeline, "alias": CHAMPION}, timeout=SECONDS
        )
        return not answer.ok and answer.json()["error_code"] in ABSENT
    except (requests.RequestException, ValueError, LookupError, TypeError):
        return False


def no_champion(job: str, pipeline: str) -> NothingToDo:
    """Return the error with which ``job`` ends if ``pipeline`` has no champion."""
    return NothingToDo(
        f"{pipeline} has no champion to {JOBS[job].needs_champion_to}",
        remedy="run train_model, evaluate_model and promote_model first",
    )
