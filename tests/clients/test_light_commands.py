"""Commands without Spark import nothing that takes long, also when they have read tables."""

import datetime as dt
import os
import subprocess
import sys
from pathlib import Path

import pytest

from batchml.config import conf_folder, load_pipeline
from batchml.config.sources import days_between
from tests.support.lakes import write_lake

JOBS = Path(__file__).resolve().parents[2] / "jobs"
FIRST, LAST = dt.date(2021, 1, 1), dt.date(2021, 1, 10)
SLOW = ("mlflow", "pandas", "pyarrow.compute", "pyarrow.dataset", "pyspark", "scipy")
CODE = """
import sys
from batchml.commands import freshness, status
code = {command}.main({arguments})
print(code, [name for name in {slow} if name in sys.modules])
"""


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Return the variables of a lake with ten dates of taxi."""
    folder = tmp_path_factory.mktemp("light")
    write_lake(folder, load_pipeline("taxi", conf_folder()), days_between(FIRST, LAST))
    places = {"BATCHML_LAKE": str(folder / "lake"), "BATCHML_LANDING": str(folder / "landing")}
    return os.environ | places | {"PYTHONPATH": str(JOBS)}


@pytest.mark.parametrize(
    ("command", "arguments"),
    [("status", []), ("status", ["--json"]), ("freshness", [])],
)
def test_command_imports_nothing_slow(environment, command: str, arguments: list[str]):
    code = CODE.format(command=command, arguments=arguments, slow=SLOW)
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True
    )
    assert done.stdout.splitlines()[-1] == "0 []"
