"""MLflow: runs, models and their aliases. The only module that imports mlflow."""

import datetime as dt
import json
import logging
import math
import os
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib.metadata import version as installed
from pathlib import Path
from typing import Any
from uuid import uuid4

import mlflow
import mlflow.spark
import requests
from matplotlib.figure import Figure
from mlflow import MlflowClient
from mlflow.data.spark_dataset import from_spark
from mlflow.entities import Metric, Run
from mlflow.entities.model_registry import ModelVersion
from mlflow.exceptions import MlflowException
from mlflow.models import ModelSignature
from mlflow.types import ColSpec, DataType, Schema, TensorSpec
from pyspark.ml import PipelineModel
from pyspark.sql import DataFrame
from sqlalchemy.exc import OperationalError

from batchml.config import Pipeline, Places
from batchml.errors import BadConfig, BadData, Unavailable

CHAMPION, CHALLENGER, PREVIOUS = "champion", "challenger", "previous"
RECORD, REFERENCE = "training.json", "reference.json"
Version = ModelVersion
EPOCH = dt.date(1970, 1, 1)
MOST_POINTS = 1000  # of one call
MLFLOW_TYPES = {
    "string": DataType.string,
    "int": DataType.integer,
    "long": DataType.long,
    "double": DataType.double,
}
# MLflow's own defaults try for minutes; Airflow retries the whole task anyway.
CLIENT_SETTINGS = {
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "3",
    "MLFLOW_HTTP_REQUEST_BACKOFF_FACTOR": "1",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "30",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
}


@contextmanager
def _reaching() -> Iterator[None]:
    """Around a call or as a decorator: every failure of MLflow becomes Unavailable, with the address."""
    try:
        yield
    except (MlflowException, requests.RequestException, OperationalError) as error:
        raise Unavailable(
            f"MLflow at {mlflow.get_tracking_uri()} failed",
            str(error).splitlines()[0],
            remedy="is the server running, and is MLFLOW_TRACKING_URI its address?",
        ) from error


class Tracker:
    """The experiment and the registered model of one pipeline; both bear its name."""

    def __init__(self, name: str, client: MlflowClient) -> None:
        self.name = name
        self.client = client

    @contextmanager
    def run(self, run_name: str, tags: Mapping[str, str], *, nested: bool = False) -> Iterator[str]:
        """A new run that is marked failed if the block raises; gives its id."""
        with _reaching(), mlflow.start_run(run_name=run_name, tags=dict(tags), nested=nested) as active:
            yield active.info.run_id

    @contextmanager
    def resume(self, run_id: str) -> Iterator[None]:
        """The run of an earlier job, to add to it."""
        with _reaching(), mlflow.start_run(run_id=run_id):
            yield

    @_reaching()
    def log(self, params: Mapping[str, Any] | None = None, metrics: Mapping[str, float] | None = None) -> None:
        """Parameters and metrics of the active run. A NaN has no place in MLflow's store and is left out."""
        mlflow.log_params(dict(params or {}))
        mlflow.log_metrics({name: float(value) for name, value in (metrics or {}).items() if not math.isnan(value)})

    @_reaching()
    def log_figures(self, figures: Mapping[str, Figure]) -> None:
        """Pictures of the active run, under ``plots``."""
        for name, figure in figures.items():
            mlflow.log_figure(figure, f"plots/{name}.png")

    @_reaching()
    def log_dataset(self, frame: DataFrame, path: str, version: int, label: str) -> None:
        """The Delta table and version the active run read."""
        with warnings.catch_warnings():
            # MLflow's hint that integers cannot be missing: the signature says which may.
            warnings.simplefilter("ignore", UserWarning)
            dataset = from_spark(frame, path=path, version=str(version), targets=label, name=path.rsplit("/", 1)[-1])
            mlflow.log_input(dataset, context="training", tags={"delta_version": str(version)})

    @_reaching()
    def log_json(self, name: str, value: Mapping[str, Any]) -> None:
        """An artifact of the active run."""
        mlflow.log_text(json.dumps(value, indent=2, default=str), name)

    @_reaching()
    def json(self, version: ModelVersion, name: str) -> dict[str, Any]:
        """An artifact of the run that made ``version``."""
        return dict(mlflow.artifacts.load_dict(f"runs:/{version.run_id}/{name}"))

    @_reaching()
    def holds(self, version: ModelVersion, name: str) -> bool:
        """Whether the run that made ``version`` has an artifact of this name."""
        return any(file.path == name for file in self.client.list_artifacts(str(version.run_id)))

    def record(self, version: ModelVersion) -> dict[str, Any]:
        """What ``version`` was trained on."""
        return self.json(version, RECORD)

    @_reaching()
    def numbered(self, number: int) -> ModelVersion:
        """A version by its number. Raises BadConfig if there is none."""
        try:
            return self.client.get_model_version(self.name, str(number))
        except MlflowException as error:
            if error.error_code == "RESOURCE_DOES_NOT_EXIST":
                raise BadConfig(f"{self.name} has no version {number}") from error
            raise

    @_reaching()
    def metrics(self, number: int) -> dict[str, float]:
        """The metrics of the run that made a version."""
        return dict(self.client.get_run(str(self.numbered(number).run_id)).data.metrics)

    @_reaching()
    def log_series(self, values: Mapping[tuple[dt.date, str], float]) -> str:
        """Points of the pipeline's one monitoring run, a metric each; its step is the date's day since 1970.

        A point that is logged again stands beside the old one: MLflow keeps all, and shows the last.
        """
        run_id = self._monitoring_run().info.run_id
        points = []
        for (date, name), value in values.items():
            if math.isfinite(value):
                day = (date - EPOCH).days
                points.append(Metric(name, value, day * 86_400_000, day))
        for first in range(0, len(points), MOST_POINTS):
            self.client.log_batch(run_id, metrics=points[first : first + MOST_POINTS])
        return str(run_id)

    @_reaching()
    def log_report(self, name: str, page: str) -> dict[str, str]:
        """An HTML page of the monitoring run; gives where MLflow shows it."""
        run = self._monitoring_run()
        path = f"reports/{name}.html"
        self.client.log_text(run.info.run_id, page, path)
        return {"run_id": run.info.run_id, "experiment_id": run.info.experiment_id, "artifact": path}

    def _monitoring_run(self) -> Run:
        """The one run of the pipeline that days are logged to; made if it is not there yet."""
        experiment = self.client.get_experiment_by_name(self.name)
        assert experiment is not None, "open_tracker makes it"
        found = self.client.search_runs([experiment.experiment_id], "tags.role = 'monitoring'", max_results=1)
        if found:
            return found[0]
        return self.client.create_run(experiment.experiment_id, run_name="monitoring", tags={"role": "monitoring"})

    def inputs(self, version: ModelVersion) -> frozenset[str]:
        """The columns that ``version`` was trained on."""
        return frozenset(Pipeline.model_validate(self.record(version)["config"]).inputs.columns)

    @_reaching()
    def log_model(self, model: PipelineModel, signature: ModelSignature, scratch: str) -> str:
        """The model as an artifact of the active run; gives its URI."""
        packages = ("mlflow", "pyspark", "xgboost-cpu", "scikit-learn", "pandas")
        logged = mlflow.spark.log_model(
            model,
            "model",
            dfs_tmpdir=scratch,
            signature=signature,
            pip_requirements=[f"{package}=={installed(package)}" for package in packages],
        )
        return str(logged.model_uri)

    @_reaching()
    def load(self, model_uri: str, scratch: str) -> PipelineModel:
        """The fitted pipeline behind ``model_uri``.

        MLflow takes every path of a plain file system for one that driver and executors share, and would let the
        executors read the driver's own temporary folder: the files are downloaded into ``scratch`` instead.
        """
        shared = None
        if "://" not in scratch:
            shared = Path(scratch, f"loaded-{uuid4().hex}")
            shared.mkdir(parents=True)
        model: PipelineModel = mlflow.spark.load_model(model_uri, dfs_tmpdir=scratch, dst_path=shared and str(shared))
        return model

    def load_version(self, version: ModelVersion, scratch: str) -> PipelineModel:
        """The fitted pipeline of a registered version."""
        return self.load(f"models:/{self.name}/{version.version}", scratch)

    @_reaching()
    def register(self, model_uri: str, tags: Mapping[str, str]) -> int:
        """A new version of the pipeline's model, with the alias ``challenger``; gives its number."""
        version = mlflow.register_model(model_uri, self.name, tags=dict(tags))
        self.client.set_registered_model_alias(self.name, CHALLENGER, version.version)
        return int(version.version)

    @_reaching()
    def version(self, alias: str) -> ModelVersion | None:
        """The version an alias points to, or None."""
        try:
            return self.client.get_model_version_by_alias(self.name, alias)
        except MlflowException as error:
            if error.error_code in ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE"):
                return None
            raise

    @_reaching()
    def tag(self, version: ModelVersion, tags: Mapping[str, str]) -> None:
        """Tags on a registered version."""
        for key, value in tags.items():
            self.client.set_model_version_tag(self.name, version.version, key, value)

    @_reaching()
    def unpoint(self, alias: str) -> None:
        """Takes ``alias`` away; nothing if it points nowhere."""
        self.client.delete_registered_model_alias(self.name, alias)

    @_reaching()
    def versions(self) -> dict[int, ModelVersion]:
        """Every registered version by its number, with tags and aliases."""
        found = self.client.search_model_versions(f"name = '{self.name}'", max_results=10_000)
        aliases = self.client.get_registered_model(self.name).aliases if found else {}
        by_number = {int(version.version): version for version in found}
        for number, version in by_number.items():
            version.aliases = [alias for alias, of in aliases.items() if int(of) == number]
        return dict(sorted(by_number.items()))

    def tagged(self, key: str) -> list[int]:
        """The versions that have a tag of this name, in order."""
        return [number for number, version in self.versions().items() if key in version.tags]

    @_reaching()
    def round_trip(self, text: str) -> str:
        """What becomes of an artifact that is logged and loaded again; the run it was in is deleted."""
        with mlflow.start_run(run_name="round trip") as active:
            mlflow.log_text(text, "round_trip.txt")
        found = mlflow.artifacts.load_text(f"runs:/{active.info.run_id}/round_trip.txt")
        self.client.delete_run(active.info.run_id)
        return str(found)

    @_reaching()
    def point(self, alias: str, version: ModelVersion) -> None:
        """Makes ``alias`` point to ``version``."""
        self.client.set_registered_model_alias(self.name, alias, version.version)


@_reaching()
def open_tracker(name: str, places: Places) -> Tracker:
    """The tracker of pipeline ``name``. Raises Unavailable if MLflow does not answer."""
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
    return Tracker(name, client)


def _create_experiment(client: MlflowClient, name: str, location: str | None) -> None:
    try:
        client.create_experiment(name, artifact_location=location)
    except MlflowException as error:
        if error.error_code != "RESOURCE_ALREADY_EXISTS":  # another job was quicker
            raise


def signature(pipeline: Pipeline) -> ModelSignature:
    """Raw feature columns in, the prediction out."""
    types = pipeline.column_types
    inputs: list[ColSpec | TensorSpec] = [
        ColSpec(MLFLOW_TYPES[types[name]], name, required=False) for name in pipeline.inputs.columns
    ]
    answer = MLFLOW_TYPES[types[pipeline.label]] if pipeline.task == "classification" else DataType.double
    return ModelSignature(inputs=Schema(inputs), outputs=Schema([ColSpec(answer, "prediction")]))


def require_same_end(version: ModelVersion, end: str) -> None:
    """Raises BadData unless ``version`` was trained as of ``end``: a verdict must be about the model asked for."""
    trained = version.tags.get("end")
    if trained != end:
        raise BadData(
            f"{version.name}: the challenger, version {version.version}, was trained with --end {trained}, not {end}",
            remedy=f"run train_model with --end {end} first, or ask for --end {trained}",
        )
