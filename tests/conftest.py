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
