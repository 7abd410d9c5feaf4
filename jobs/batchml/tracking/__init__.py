"""MLflow: runs, models and their aliases. The only package that imports mlflow."""

from mlflow import MlflowClient

from batchml.clients.champion_probe import CHAMPION
from batchml.config import Places
from batchml.tracking.connection import connect, open_client, reaching
from batchml.tracking.record import RECORD_VERSION, CodeRecord, TrainingRecord, Window
from batchml.tracking.registry import (
    CHALLENGER,
    PREVIOUS,
    RECORD,
    REFERENCE,
    Registry,
    Version,
    require_same_end,
    signature,
    trained_end,
)
from batchml.tracking.runs import Runs
from batchml.tracking.tags import GateVerdict, Tag

__all__ = [
    "CHALLENGER",
    "CHAMPION",
    "PREVIOUS",
    "RECORD",
    "RECORD_VERSION",
    "REFERENCE",
    "CodeRecord",
    "GateVerdict",
    "Tag",
    "Tracker",
    "TrainingRecord",
    "Version",
    "Window",
    "open_reader",
    "open_tracker",
    "require_same_end",
    "signature",
    "trained_end",
]


class Tracker(Runs, Registry):
    """The experiment and the registered model of one pipeline; both bear its name."""

    def __init__(self, name: str, client: MlflowClient) -> None:
        self.name = name
        self.client = client


def open_tracker(name: str, places: Places) -> Tracker:
    """Return the tracker of pipeline ``name``. Raise Unavailable if MLflow does not respond."""
    return Tracker(name, connect(name, places))


@reaching()
def open_reader(name: str, places: Places) -> Tracker:
    """Return the tracker of pipeline ``name`` for reading only, without creating an experiment."""
    return Tracker(name, open_client(places))
