"""Workbenches with rides, from bronze to features, and with a champion. Tests get copies."""

from collections.abc import Iterator
from copy import deepcopy
from functools import lru_cache
from pathlib import Path
from typing import Any
from unittest.mock import patch

import matplotlib
import pytest

from batchml.config.yaml_text import parse_yaml
from tests.support.postgres import postgres
from tests.support.rides import RIDES, START, TRAINED, train_and_promote, write_rides
from tests.support.spark_session import empty_mlflow, spark, workbench
from tests.support.workbench import Workbench, make_workbench

__all__ = ["empty_mlflow", "postgres", "spark", "workbench"]


@pytest.fixture(scope="session", autouse=True)
def cheap_files() -> Iterator[None]:
    """Parse each YAML text once, and draw small pictures, which saves a twentieth of the time."""
    parsed = lru_cache(maxsize=None)(parse_yaml)

    def parse(text: str, where: str) -> Any:
        return deepcopy(parsed(text, where))

    with (
        patch("batchml.config.load.parse_yaml", parse),
        matplotlib.rc_context({"savefig.dpi": 30}),
    ):
        yield


@pytest.fixture(scope="session")
def rides(spark, empty_mlflow: Path, tmp_path_factory: pytest.TempPathFactory) -> Workbench:
    """Return a bench with the rides from bronze to features."""
    made = make_workbench(spark, empty_mlflow, tmp_path_factory.mktemp("rides"))
    made.write_pipeline("rides", RIDES)
    write_rides(Path(made.places.landing))
    for job in ("ingest", "build_features"):
        made.run(job, "rides", START, "2021-01-21")
    return made


@pytest.fixture(scope="session")
def trained_rides(
    spark, empty_mlflow: Path, rides: Workbench, tmp_path_factory: pytest.TempPathFactory
) -> Workbench:
    """Return such a bench with version 1, trained up to the 14th and promoted."""
    made = make_workbench(spark, empty_mlflow, tmp_path_factory.mktemp("trained")).copy_of(rides)
    train_and_promote(made, TRAINED)
    return made


@pytest.fixture
def bench(workbench: Workbench, rides: Workbench) -> Workbench:
    """Return a copy of it for one test."""
    return workbench.copy_of(rides)


@pytest.fixture
def trained(workbench: Workbench, trained_rides: Workbench) -> Workbench:
    """Return a copy with the champion for one test."""
    return workbench.copy_of(trained_rides)


@pytest.fixture(scope="module")
def shared_bench(
    spark, empty_mlflow: Path, trained_rides: Workbench, tmp_path_factory: pytest.TempPathFactory
) -> Workbench:
    """Return a copy with the champion for the tests of one file, which leave it unchanged."""
    return make_workbench(spark, empty_mlflow, tmp_path_factory.mktemp("shared")).copy_of(
        trained_rides
    )
