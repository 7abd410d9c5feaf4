"""One `make run`, which several files look at."""

import subprocess

import pytest
from deltalake import DeltaTable
from mlflow import MlflowClient

from local.samples.iris import write_iris
from tests.e2e.local_stack import ROOT, FinishedRun, command


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory) -> FinishedRun:
    """Run `make run` in a new folder."""
    folder = tmp_path_factory.mktemp("run")
    (folder / "landing").mkdir()
    write_iris(folder / "landing")
    words, environment = command(folder)
    done = subprocess.run(
        words, capture_output=True, text=True, check=False, cwd=ROOT, env=environment
    )
    assert done.returncode == 0, done.stdout + done.stderr
    models = MlflowClient(f"sqlite:///{folder}/state/mlflow/mlflow.db")
    predictions = DeltaTable(f"{folder}/lake/iris/predictions")
    columns = ["event_date", "model_version"]
    return FinishedRun(
        folder,
        done.stdout,
        {path.name for path in (folder / "state" / "spark" / "events").iterdir()},
        models.get_model_version_by_alias("iris", "champion"),
        predictions.to_pyarrow_table(columns=columns).to_pylist(),
    )
