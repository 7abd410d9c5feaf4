"""Environment variables of the benchmarks' applications."""

import os
from collections.abc import Mapping
from pathlib import Path

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
