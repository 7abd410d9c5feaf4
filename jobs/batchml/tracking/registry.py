"""The registered model of one pipeline: its versions, their aliases, tags and records."""

import datetime as dt
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from uuid import uuid4

import mlflow
import mlflow.spark
from mlflow import MlflowClient
from mlflow.entities.model_registry import ModelVersion
from mlflow.exceptions import MlflowException
from mlflow.models import ModelSignature
from mlflow.types import ColSpec, DataType, Schema, TensorSpec
from pydantic import ValidationError
from pyspark.ml import PipelineModel

from batchml.clients.champion_probe import ABSENT
from batchml.config import Pipeline
from batchml.errors import BadConfig, BadData
from batchml.tracking.connection import reaching
from batchml.tracking.record import TrainingRecord
from batchml.tracking.tags import Tag

CHALLENGER, PREVIOUS = "challenger", "previous"
RECORD, REFERENCE = "training.json", "reference.json"
Version = ModelVersion
MLFLOW_TYPES = {
    "string": DataType.string,
    "int": DataType.integer,
    "long": DataType.long,
    "double": DataType.double,
}


class Registry:
    """The registered model of one pipeline, which bears its name."""

    name: str
    client: MlflowClient

    @reaching()
    def register(self, model_uri: str, tags: Mapping[Tag, str]) -> int:
        """Register a version of the model, make it ``challenger``, and return its number."""
        plain_tags = {str(key): value for key, value in tags.items()}
        version = mlflow.register_model(model_uri, self.name, tags=plain_tags)
        self.client.set_registered_model_alias(self.name, CHALLENGER, version.version)
        return int(version.version)

    @reaching()
    def get(self, number: int) -> ModelVersion:
        """Return a version by its number. Raise BadConfig if there is none."""
        try:
            return self.client.get_model_version(self.name, str(number))
        except MlflowException as error:
            if error.error_code == "RESOURCE_DOES_NOT_EXIST":
                raise BadConfig(f"{self.name} has no version {number}") from error
            raise

    @reaching()
    def by_alias(self, alias: str) -> ModelVersion | None:
        """Return the version behind ``alias``, or None."""
        try:
            return self.client.get_model_version_by_alias(self.name, alias)
        except MlflowException as error:
            if error.error_code in ABSENT:
                return None
            raise

    def last_attempt_end(self) -> dt.date | None:
        """Return the last date of the last training, whether or not its model passed the gate."""
        attempt = self.by_alias(CHALLENGER)
        if attempt is None or Tag.END not in attempt.tags:
            return None
        return trained_end(attempt)

    @reaching()
    def versions(self) -> dict[int, ModelVersion]:
        """Return every registered version by its number, with tags and aliases."""
        is_of_model = f"name = '{self.name}'"
        versions = self.client.search_model_versions(is_of_model, max_results=10_000)
        by_number = {int(version.version): version for version in versions}
        if not by_number:
            return {}

        # Versions from a search lack their aliases.
        for version in versions:
            version.aliases = []
        model = self.client.get_registered_model(self.name)
        for alias, number in model.aliases.items():
            named = by_number.get(int(number))
            if named is not None:
                named.aliases.append(alias)
        return dict(sorted(by_number.items()))

    def tagged(self, key: Tag) -> list[int]:
        """Return the versions that have this tag, in order."""
        versions = self.versions()
        return [number for number, version in versions.items() if key in version.tags]

    @reaching()
    def set_tags(self, version: ModelVersion, tags: Mapping[Tag, str]) -> None:
        """Set tags on a registered version."""
        for key, value in tags.items():
            self.client.set_model_version_tag(self.name, version.version, str(key), str(value))

    @reaching()
    def set_alias(self, alias: str, version: ModelVersion) -> None:
        """Make ``alias`` point to ``version``."""
        self.client.set_registered_model_alias(self.name, alias, version.version)

    @reaching()
    def delete_alias(self, alias: str) -> None:
        """Delete ``alias``, if it exists."""
        self.client.delete_registered_model_alias(self.name, alias)

    def record(self, version: ModelVersion) -> TrainingRecord:
        """Return the record of the version's training. Raise BadData if it is damaged."""
        try:
            return TrainingRecord.read(self.load_json(version, RECORD))
        except ValidationError as error:
            raise BadData(
                f"{self.name} version {version.version}: {RECORD} is not the record of a training",
                *str(error).splitlines(),
                remedy="restore the run's artifacts, or train another version",
            ) from error

    def inputs(self, version: ModelVersion) -> frozenset[str]:
        """Return the columns that ``version`` was trained on."""
        return frozenset(self.record(version).parse_config().inputs.columns)

    @reaching()
    def is_gone(self, version: ModelVersion) -> bool:
        """Return True if the run that made ``version`` does not exist any more."""
        try:
            self.client.get_run(str(version.run_id))
        except MlflowException as error:
            if error.error_code == "RESOURCE_DOES_NOT_EXIST":
                return True
            raise
        return False

    @reaching()
    def metrics(self, number: int) -> dict[str, float]:
        """Return the metrics of the run that made a version."""
        version = self.get(number)
        run = self.client.get_run(str(version.run_id))
        return dict(run.data.metrics)

    @reaching()
    def load_json(self, version: ModelVersion, name: str) -> dict[str, Any]:
        """Return a JSON artifact of the run that made ``version``."""
        return dict(mlflow.artifacts.load_dict(f"runs:/{version.run_id}/{name}"))

    @reaching()
    def has_artifact(self, version: ModelVersion, name: str) -> bool:
        """Return True if the run that made ``version`` has an artifact of this name."""
        artifacts = self.client.list_artifacts(str(version.run_id))
        return any(artifact.path == name for artifact in artifacts)

    @reaching()
    def load_model(self, model_uri: str, scratch: str) -> PipelineModel:
        """Return the fitted pipeline behind ``model_uri``.

        MLflow assumes that driver and executors share every path of a plain file system, and would
        let the executors read the driver's temporary folder. The files are downloaded into
        ``scratch`` instead.
        """
        download = None
        if "://" not in scratch:
            folder = Path(scratch, f"loaded-{uuid4().hex}")
            folder.mkdir(parents=True)
            download = str(folder)
        model: PipelineModel = mlflow.spark.load_model(
            model_uri,
            dfs_tmpdir=scratch,
            dst_path=download,
        )
        return model

    def load_version(self, version: ModelVersion, scratch: str) -> PipelineModel:
        """Return the fitted pipeline of a registered version."""
        return self.load_model(f"models:/{self.name}/{version.version}", scratch)


def trained_end(version: ModelVersion) -> dt.date:
    """Return the last date of the version's training.

    Raise BadData if train_model did not make the version.
    """
    end = version.tags.get(Tag.END)
    if end is None:
        raise BadData(
            f"{version.name} version {version.version} has no tag {Tag.END!r}",
            remedy="set the alias to a version made by train_model: no other version can serve",
        )
    return dt.date.fromisoformat(end)


def signature(pipeline: Pipeline) -> ModelSignature:
    """Return the signature: raw feature columns in, the prediction out."""
    types = pipeline.column_types
    inputs: list[ColSpec | TensorSpec] = []
    for name in pipeline.inputs.columns:
        column_type = MLFLOW_TYPES[types[name]]
        inputs.append(ColSpec(column_type, name, required=False))
    prediction_type = MLFLOW_TYPES[pipeline.prediction_type]
    prediction = ColSpec(prediction_type, "prediction")
    return ModelSignature(inputs=Schema(inputs), outputs=Schema([prediction]))


def require_same_end(version: ModelVersion, end: str) -> None:
    """Raise BadData unless ``version`` was trained as of ``end``.

    A verdict must be on the model that was requested.
    """
    trained = version.tags.get(Tag.END)
    if trained != end:
        raise BadData(
            f"{version.name}: the challenger, version {version.version}, was trained with "
            f"--end {trained}, not {end}",
            remedy=f"run train_model with --end {end} first, or use --end {trained}",
        )
