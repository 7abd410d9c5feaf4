"""Settings and fixtures of all tests. Importing it loads neither Spark nor MLflow nor psycopg2."""

import os
import shutil
import tempfile
from pathlib import Path

import pytest

from batchml.config import conf_folder
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


@pytest.fixture
def csv_path(tmp_path: Path) -> Path:
    """Return the path of a CSV file that the test writes."""
    return tmp_path / "table.csv"


@pytest.fixture
def folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a folder with a copy of ``conf``, and with the landing folder."""
    shutil.copytree(conf_folder(), tmp_path / "conf")
    monkeypatch.setenv("BATCHML_CONF", str(tmp_path / "conf"))
    monkeypatch.setenv("BATCHML_LANDING", str(tmp_path / "landing"))
    return tmp_path
