"""Log to the runs of one pipeline's experiment: trainings, and a daily series."""

import datetime as dt
import json
import math
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib.metadata import version as installed
from typing import TYPE_CHECKING, Any

import mlflow
import mlflow.spark
from mlflow import MlflowClient
from mlflow.data.delta_dataset_source import DeltaDatasetSource
from mlflow.data.spark_dataset import SparkDataset
from mlflow.entities import Metric, Run
from mlflow.models import ModelSignature
from pyspark.ml import PipelineModel
from pyspark.sql import DataFrame

from batchml.tracking.connection import reaching
from batchml.tracking.tags import Tag

if TYPE_CHECKING:  # most jobs draw nothing
    from matplotlib.figure import Figure

EPOCH = dt.date(1970, 1, 1)
MILLISECONDS_OF_DAY = 86_400_000
MOST_POINTS = 1000  # points that one call may log
MONITORING = "monitoring"  # the role, and the name, of the run that days are logged to
MODEL_PACKAGES = ("mlflow", "pyspark", "xgboost-cpu", "scikit-learn", "pandas")


class CountedDataset(SparkDataset):
    """A dataset whose number of rows is known.

    MLflow would count the rows in Python, on the executors, with all their columns.
    """

    def __init__(
        self,
        frame: DataFrame,
        source: DeltaDatasetSource,
        rows: int,
        **names: str,
    ) -> None:
        self.rows = rows
        super().__init__(frame, source, **names)

    @property
    def profile(self) -> dict[str, int]:
        """Return the facts that MLflow shows about the dataset."""
        return {"num_rows": self.rows}


class Runs:
    """The experiment of one pipeline, which bears its name."""

    name: str
    client: MlflowClient

    @contextmanager
    def run(self, run_name: str, tags: Mapping[Tag, str], *, nested: bool = False) -> Iterator[str]:
        """Start a run and yield its id; the run is marked failed if the block raises."""
        plain_tags = {str(key): value for key, value in tags.items()}
        with (
            reaching(),
            mlflow.start_run(run_name=run_name, tags=plain_tags, nested=nested) as active,
        ):
            yield active.info.run_id

    @contextmanager
    def resume(self, run_id: str) -> Iterator[None]:
        """Reopen the run of an earlier job, to add to it."""
        with reaching(), mlflow.start_run(run_id=run_id):
            yield

    @reaching()
    def log(
        self,
        params: Mapping[str, Any] | None = None,
        metrics: Mapping[str, float] | None = None,
    ) -> None:
        """Log parameters and metrics to the active run, without NaN, which MLflow cannot store."""
        mlflow.log_params(dict(params or {}))
        numbers: dict[str, float] = {}
        for name, value in (metrics or {}).items():
            if not math.isnan(value):
                numbers[name] = float(value)
        mlflow.log_metrics(numbers)

    @reaching()
    def log_figures(self, figures: "Mapping[str, Figure]") -> None:
        """Log figures to the active run, under ``plots``."""
        for name, figure in figures.items():
            mlflow.log_figure(figure, f"plots/{name}.png")

    @reaching()
    def log_json(self, name: str, value: Mapping[str, Any]) -> None:
        """Log a JSON artifact to the active run."""
        mlflow.log_text(json.dumps(value, indent=2, default=str), name)

    @reaching()
    def log_dataset(self, frame: DataFrame, rows: int, path: str, version: int, label: str) -> None:
        """Log the Delta table and version that the active run has read, and the number of rows."""
        table = path.rsplit("/", 1)[-1]
        with warnings.catch_warnings():
            # MLflow warns that integers cannot be missing. The signature states which may be.
            warnings.simplefilter("ignore", UserWarning)
            source = DeltaDatasetSource(path=path, delta_table_version=version)
            dataset = CountedDataset(frame, source, rows, targets=label, name=table)
            tags = {str(Tag.DELTA_VERSION): str(version)}
            mlflow.log_input(dataset, context="training", tags=tags)

    @reaching()
    def log_model(self, model: PipelineModel, signature: ModelSignature, scratch: str) -> str:
        """Log the model as an artifact of the active run; return its URI."""
        requirements = [f"{package}=={installed(package)}" for package in MODEL_PACKAGES]
        logged = mlflow.spark.log_model(
            model,
            "model",
            dfs_tmpdir=scratch,
            signature=signature,
            pip_requirements=requirements,
        )
        return str(logged.model_uri)

    @reaching()
    def log_series(self, values: Mapping[tuple[dt.date, str], float]) -> str:
        """Log points to the pipeline's monitoring run; the step is the date in days since 1970.

        A point that is logged again does not replace the old one. MLflow keeps all points and shows
        the last.
        """
        run_id = self._monitoring_run().info.run_id
        points = []
        for (date, name), value in values.items():
            if math.isfinite(value):
                day = (date - EPOCH).days
                points.append(Metric(name, value, day * MILLISECONDS_OF_DAY, day))

        for first in range(0, len(points), MOST_POINTS):
            batch = points[first : first + MOST_POINTS]
            self.client.log_batch(run_id, metrics=batch)
        return str(run_id)

    @reaching()
    def log_report(self, name: str, page: str) -> dict[str, str]:
        """Log an HTML page to the monitoring run; return where MLflow shows it."""
        run = self._monitoring_run().info
        path = f"reports/{name}.html"
        self.client.log_text(run.run_id, page, path)
        return {
            "run_id": run.run_id,
            "experiment_id": run.experiment_id,
            "artifact": path,
        }

    def _monitoring_run(self) -> Run:
        """Return the run of the pipeline that days are logged to; create it if missing."""
        experiment = self.client.get_experiment_by_name(self.name)
        assert experiment is not None, "open_tracker creates it"
        is_monitoring = f"tags.{Tag.ROLE} = '{MONITORING}'"
        number = experiment.experiment_id
        runs = self.client.search_runs([number], is_monitoring, max_results=1)
        if runs:
            return runs[0]
        tags = {str(Tag.ROLE): MONITORING}
        return self.client.create_run(number, run_name=MONITORING, tags=tags)

    @reaching()
    def round_trip(self, text: str) -> str:
        """Log an artifact, load it again and return it; delete its run."""
        with mlflow.start_run(run_name="round trip") as active:
            mlflow.log_text(text, "round_trip.txt")
        run_id = active.info.run_id
        loaded = mlflow.artifacts.load_text(f"runs:/{run_id}/round_trip.txt")
        self.client.delete_run(run_id)
        return str(loaded)
