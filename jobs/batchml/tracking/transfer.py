"""Copy a registered version from one MLflow store to another, with its run and its model."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import mlflow
from mlflow import MlflowClient

from batchml.config import Places
from batchml.tracking import CHAMPION, RECORD, REFERENCE, Tag, Tracker, Version, open_tracker
from batchml.tracking.connection import reaching

MODEL = "model"


@dataclass(frozen=True)
class DownloadedVersion:
    """A version with its run. ``folder`` contains the artifacts: its model and its records."""

    number: int
    tags: Mapping[str, str]
    params: Mapping[str, str]
    metrics: Mapping[str, float]
    folder: Path


@reaching()
def download(tracker: Tracker, version: Version, folder: Path) -> DownloadedVersion:
    """Download a version of ``tracker`` into ``folder``, without changing anything there."""
    run_id = str(version.run_id)
    for name in (RECORD, REFERENCE):
        if tracker.has_artifact(version, name):
            mlflow.artifacts.download_artifacts(
                run_id=run_id, artifact_path=name, dst_path=str(folder)
            )
    # Where MLflow puts a model below a folder depends on its version.
    model = mlflow.artifacts.download_artifacts(
        artifact_uri=f"models:/{tracker.name}/{version.version}",
        dst_path=str(folder / "download"),
    )
    Path(model).rename(folder / MODEL)

    run = tracker.client.get_run(run_id)
    return DownloadedVersion(
        number=int(version.version),
        tags=dict(version.tags),
        params=dict(run.data.params),
        metrics=dict(run.data.metrics),
        folder=folder,
    )


@reaching()
def upload_champion(name: str, places: Places, downloaded: DownloadedVersion) -> None:
    """Register the version as champion of ``name`` in the empty store of ``places``.

    It gets the number that it has in the store it comes from.
    """
    open_tracker(name, places)
    # Name the registry, too: a variable of MLflow may have set another one.
    client = MlflowClient(places.tracking_uri, places.tracking_uri)
    run_id = _upload_run(client, name, downloaded)
    source = f"runs:/{run_id}/{MODEL}"
    tags = dict(downloaded.tags) | {str(Tag.RUN_ID): run_id}

    client.create_registered_model(name)
    # MLflow counts deleted versions, and only by them a version gets a higher number than 1.
    for _ in range(1, downloaded.number):
        placeholder = client.create_model_version(name, source, run_id)
        client.delete_model_version(name, placeholder.version)
    version = client.create_model_version(name, source, run_id, tags=tags)
    client.set_registered_model_alias(name, CHAMPION, version.version)


def _upload_run(client: MlflowClient, name: str, downloaded: DownloadedVersion) -> str:
    """Create a run with the parameters, metrics and artifacts; return its id."""
    experiment = client.get_experiment_by_name(name)
    assert experiment is not None, "open_tracker creates it"
    run_id = client.create_run(experiment.experiment_id, run_name=CHAMPION).info.run_id
    for param, text in downloaded.params.items():
        client.log_param(run_id, param, text)
    for metric, value in downloaded.metrics.items():
        client.log_metric(run_id, metric, value)
    client.log_artifacts(run_id, str(downloaded.folder))
    client.set_terminated(run_id)
    return str(run_id)
