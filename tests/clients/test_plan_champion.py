"""The champion's training for a plan, from MLflow without a server and without Spark."""

from pathlib import Path

import pytest

from batchml.commands.plan.champion import Champion
from batchml.commands.plan.tracked import IMPATIENT, read_champion
from batchml.config import Places, conf_folder, load_pipeline
from batchml.errors import PipelineError
from batchml.tracking import CHAMPION, RECORD, Tracker, open_tracker

IRIS = load_pipeline("iris", conf_folder())
TRAINING = {
    "record_version": 1,
    "pipeline": "iris",
    "end": "2021-01-31",
    "code_version": "2501f0780a28",
    "table": "/lake/iris/features",
    "features_version": 3,
    "fit": {"start": "2021-01-31", "end": "2021-01-31", "rows": 90},
    "holdout": {"start": "2021-01-31", "end": "2021-01-31", "rows": 30},
    "classes": ["setosa", "virginica"],
    "baseline": {"shares": {"setosa": 0.25, "virginica": 0.75}},
    "chosen": {},
    "config": IRIS.model_dump(mode="json"),
}


def places(folder: Path, uri: str = "") -> Places:
    database = uri or f"sqlite:///{folder}/mlflow.db"
    return Places(str(folder), str(folder), database, str(folder / "artifacts"))


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep the short timeouts of a plan from other tests."""
    for name, value in IMPATIENT.items():
        monkeypatch.setenv(name, value)


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> tuple[Places, Tracker]:
    """Return an MLflow store with an experiment, and without models."""
    where = places(tmp_path_factory.mktemp("mlflow"))
    return where, open_tracker("iris", where)


@pytest.fixture(scope="module")
def promoted(store: tuple[Places, Tracker]) -> str:
    """Register a champion and return the id of its run."""
    client = store[1].client
    experiment = client.get_experiment_by_name("iris")
    run = client.create_run(experiment.experiment_id).info.run_id
    client.log_dict(run, TRAINING, RECORD)
    client.create_registered_model("iris")
    version = client.create_model_version("iris", f"runs:/{run}/model", run)
    client.set_registered_model_alias("iris", CHAMPION, version.version)
    return str(run)


def test_missing_database_has_no_champion(tmp_path):
    assert read_champion("iris", places(tmp_path)) is None


def test_missing_database_is_not_created(tmp_path):
    read_champion("iris", places(tmp_path))
    assert list(tmp_path.iterdir()) == []


def test_store_without_models_has_no_champion(store):
    assert read_champion("line", store[0]) is None


def test_no_experiment_is_created(store):
    read_champion("line", store[0])
    assert store[1].client.get_experiment_by_name("line") is None


def test_champion_has_the_configuration_of_its_training(store, promoted):
    assert read_champion("iris", store[0]) == Champion(1, IRIS)


def test_unreachable_server_raises(tmp_path):
    with pytest.raises(PipelineError, match=r"MLflow at .* failed"):
        read_champion("iris", places(tmp_path, "http://127.0.0.1:9"))
