"""Fixtures of the one Spark session, and of workbenches that run steps in it."""

import logging
import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from pyspark.sql import SparkSession

from batchml.config import Places
from batchml.spark.session import remember_names
from batchml.tracking import open_tracker
from tests.support.workbench import INTERPRETED, Workbench, make_workbench

# As in conf/spark, only the quick compiler: also in a session of half an hour, compiling takes
# longer than it saves. With it alone, Java keeps at most 48 MB of compiled code. The steps need
# more: a quarter of Java's time went into the search for code to remove.
DRIVER_OPTIONS = (
    "-XX:+UseSerialGC -Xms2g -Xmn1g -XX:TieredStopAtLevel=1 -XX:ReservedCodeCacheSize=240m"
)

logging.getLogger("py4j").setLevel(logging.WARNING)  # it logs after pytest has closed its log


@pytest.fixture(scope="session")
def spark() -> Iterator[SparkSession]:
    """Yield the one session of the run, with conf/spark and settings for a small machine."""
    os.environ["SPARK_LOCAL_IP"] = "127.0.0.1"
    os.environ["PYSPARK_PYTHON"] = sys.executable  # the tests run without an activated environment
    builder = SparkSession.builder.master("local[2]").appName("tests")
    retention = "interval 365 days"
    settings = {
        "spark.sql.session.timeZone": "UTC",
        "spark.python.sql.dataFrameDebugging.enabled": "false",
        "spark.sql.shuffle.partitions": "2",
        "spark.databricks.delta.snapshotPartitions": "1",
        "spark.databricks.delta.properties.defaults.logRetentionDuration": retention,
        "spark.databricks.delta.properties.defaults.deletedFileRetentionDuration": retention,
        "spark.sql.sources.parallelPartitionDiscovery.parallelism": "2",
        **INTERPRETED,
        # Planned again after every stage, a query over a few rows takes a seventh more time.
        "spark.sql.adaptive.enabled": "false",
        "spark.ui.enabled": "false",
        "spark.sql.ui.explainMode": "simple",  # these plans are not read, and each is printed
        "spark.driver.memory": "2g",
        "spark.driver.extraJavaOptions": DRIVER_OPTIONS,
    }
    session = builder.config(map=settings).getOrCreate()
    remember_names(session)
    yield session
    session.stop()


@pytest.fixture(scope="session")
def empty_mlflow(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return an MLflow database with empty tables, to be copied: creating it takes seconds."""
    path = tmp_path_factory.mktemp("mlflow") / "mlflow.db"
    places = Places("", "", f"sqlite:///{path}", str(path.parent))
    open_tracker("unused", places)
    return path


@pytest.fixture
def workbench(spark: SparkSession, empty_mlflow: Path, tmp_path: Path) -> Workbench:
    """Return a workbench for one test."""
    return make_workbench(spark, empty_mlflow, tmp_path)
