"""Read the champion's training from MLflow, without changing anything there."""

import os
from pathlib import Path

from batchml.clients.champion_probe import CHAMPION, has_no_champion
from batchml.commands.plan.champion import Champion
from batchml.config import Places

SQLITE = "sqlite:///"
# A plan is printed in seconds: a server that does not respond is reported at once.
IMPATIENT = {"MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0", "MLFLOW_HTTP_REQUEST_TIMEOUT": "5"}


def read_champion(pipeline: str, places: Places) -> Champion | None:
    """Return the champion; None if there is none, or if its run was deleted.

    Raise PipelineError if MLflow does not respond, or if the record of the training is damaged.
    """
    if not _has_store(places.tracking_uri) or has_no_champion(pipeline, places):
        return None
    for name, value in IMPATIENT.items():
        os.environ.setdefault(name, value)
    from batchml.tracking import open_reader  # imports MLflow, which takes seconds

    tracker = open_reader(pipeline, places)
    version = tracker.by_alias(CHAMPION)
    if version is None or tracker.is_gone(version):
        return None
    return Champion(int(version.version), tracker.record(version).parse_config())


def _has_store(uri: str) -> bool:
    """Return False if ``uri`` is a local database that does not exist yet.

    MLflow would create it.
    """
    return not uri.startswith(SQLITE) or Path(uri.removeprefix(SQLITE)).exists()
