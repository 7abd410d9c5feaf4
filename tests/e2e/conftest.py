"""One `make run`, which several files look at."""

import subprocess
from pathlib import Path

import pytest

from local.samples.iris import write_iris
from tests.e2e.local_stack import ROOT, command


@pytest.fixture(scope="session")
def finished(
    tmp_path_factory: pytest.TempPathFactory,
) -> tuple[subprocess.CompletedProcess[str], Path]:
    """A run of the iris pipeline, and the folder it kept everything in."""
    folder = tmp_path_factory.mktemp("run")
    (folder / "landing").mkdir()
    write_iris(folder / "landing")
    words, environment = command(folder)
    return subprocess.run(
        words, capture_output=True, text=True, check=False, cwd=ROOT, env=environment
    ), folder
