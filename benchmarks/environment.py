"""Run the benchmarks' applications, and the environment variables they need."""

import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
BINARIES = ROOT / ".venv" / "bin"


def environment(settings: Mapping[str, str]) -> dict[str, str]:
    """Return the environment of an application with the packages of this checkout, on loopback."""
    path = f"{BINARIES}{os.pathsep}{os.environ['PATH']}"
    return dict(os.environ) | dict(settings) | {"PATH": path, "SPARK_LOCAL_IP": "127.0.0.1"}


def places(landing: Path, folder: Path) -> dict[str, str]:
    """Return the variables of jobs that read ``landing`` and keep all they write in ``folder``."""
    return {
        "BATCHML_LANDING": str(landing),
        "BATCHML_LAKE": str(folder / "lake"),
        "BATCHML_ARTIFACTS": str(folder / "artifacts"),
        "MLFLOW_TRACKING_URI": f"sqlite:///{folder}/mlflow.db",
    }


def last_line(command: Sequence[str], folder: Path, settings: Mapping[str, str]) -> dict[str, Any]:
    """Return the JSON line of a job that is run in ``folder``. End the benchmark if it fails."""
    done = subprocess.run(
        command,
        cwd=folder,
        env=environment(settings),
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        failed = f"{' '.join(command)} in {folder}: exit code {done.returncode}"
        sys.exit(f"{failed}\n{done.stdout[-2000:]}")
    line: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return line
