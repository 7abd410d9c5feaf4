"""Settings and fixtures of all tests. Importing it loads neither Spark nor MLflow nor psycopg2."""

import os
import tempfile
from pathlib import Path

import pytest

from tests.support.real_data import REAL_DATA

# Airflow reads its home folder when it is first imported: give it a temporary one.
_AIRFLOW_HOME = tempfile.TemporaryDirectory(prefix="airflow-")
os.environ["AIRFLOW_HOME"] = _AIRFLOW_HOME.name
os.environ["AIRFLOW__CORE__LOAD_EXAMPLES"] = "False"


def pytest_report_header() -> str:
    """State at the top whether the tests on real files run."""
    if REAL_DATA.is_dir():
        return f"real source files: {REAL_DATA}"
    return f"real source files: not at {REAL_DATA}, tests that need them are skipped"


@pytest.fixture(scope="session")
def real_data() -> Path:
    """Return the folder of real source files."""
    if not REAL_DATA.is_dir():
        pytest.skip(f"the real source files are not at {REAL_DATA}")
    return REAL_DATA


@pytest.fixture(scope="session")
def spark() -> Iterator[SparkSession]:
    """The one session of the run, with the settings of conf/spark but for what a small machine wants smaller."""
    os.environ["SPARK_LOCAL_IP"] = "127.0.0.1"
    os.environ["PYSPARK_PYTHON"] = sys.executable  # the tests run without an activated environment
    builder = SparkSession.builder.master("local[2]").appName("tests")
    settings = {
        "spark.sql.session.timeZone": "UTC",
        "spark.python.sql.dataFrameDebugging.enabled": "false",
        "spark.sql.shuffle.partitions": "2",
        "spark.databricks.delta.snapshotPartitions": "1",
        "spark.databricks.delta.properties.defaults.logRetentionDuration": "interval 365 days",
        "spark.databricks.delta.properties.defaults.deletedFileRetentionDuration": "interval 365 days",
        "spark.sql.sources.parallelPartitionDiscovery.parallelism": "2",
        **INTERPRETED,
        "spark.ui.enabled": "false",
        "spark.sql.ui.explainMode": "simple",  # nobody looks at these plans, and each is printed
        "spark.driver.memory": "2g",
        # And the full compiler, since this session is a long one, but only for what is called often.
        "spark.driver.extraJavaOptions": f"-XX:+UseSerialGC -Xms2g -Xmn1g {FULL_COMPILER_LATE}",
    }
    session = builder.config(map=settings).getOrCreate()
    remember_classes(session)
    yield session
    session.stop()


@pytest.fixture(scope="session")
def postgres(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """A PostgreSQL of the run's own: the variables that lead a database source to it."""
    with startup_lock():  # a stack that starts meanwhile would find the same port free
        port = free_port(5432)
        server = local.stack.postgres.start(
            tmp_path_factory.mktemp("postgres") / "data", port, PASSWORD
        )
        environ = {
            "BATCHML_SOURCES_DB": f"127.0.0.1:{port}/sources",
            "BATCHML_SOURCES_USER": local.stack.postgres.USER,
            "BATCHML_SOURCES_PASSWORD": PASSWORD,
        }
        while not local.stack.postgres.is_responding(environ):
            assert server.poll() is None
            time.sleep(0.1)
    yield environ
    server.send_signal(signal.SIGINT)
    server.wait(20)


@pytest.fixture(scope="session")
def empty_mlflow(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An MLflow database that has its tables: making them takes seconds, copying the file none."""
    path = tmp_path_factory.mktemp("mlflow") / "mlflow.db"
    places = Places("", "", f"sqlite:///{path}", str(path.parent))
    open_tracker("unused", places)
    return path


@pytest.fixture
def workbench(spark: SparkSession, empty_mlflow: Path, tmp_path: Path) -> Workbench:
    """A workbench of the test's own."""
    return make_workbench(spark, empty_mlflow, tmp_path)
