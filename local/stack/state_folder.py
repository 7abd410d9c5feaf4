"""The folder that contains the state of a local stack: databases, models, logs and secrets."""

import argparse
import os
import stat
from dataclasses import replace
from pathlib import Path

from batchml.config import Places, conf_folder, load_places
from local.stack.environment import ROOT
from local.stack.secret_files import PRIVATE

DEFAULT = ROOT / "data" / "local"
FOLDERS = ("airflow", "mlflow", "spark/work", "spark/events")


def add_argument(parser: argparse.ArgumentParser) -> None:
    """Add the option ``--state``."""
    parser.add_argument("--state", type=_resolved, default=DEFAULT)


def _resolved(text: str) -> Path:
    """Return the absolute path of ``text``."""
    return Path(text).resolve()


def keep_files_private() -> None:
    """Make this process and its children create files that only their owner can read."""
    os.umask(PRIVATE)


def prepare(state: Path) -> None:
    """Create the folders of the stack, and close ``state`` to other users."""
    for folder in FOLDERS:
        (state / folder).mkdir(parents=True, exist_ok=True)
    close_to_others(state)


def close_to_others(state: Path) -> None:
    """Close ``state`` to other users of this machine, also files of earlier versions.

    PostgreSQL protects its folder itself, and may run as another user.
    """
    for folder, names, files in os.walk(state):
        if Path(folder) == state and "postgres" in names:
            names.remove("postgres")
        paths = [Path(folder)]
        paths += [Path(folder, name) for name in files]
        for path in paths:
            mode = path.lstat().st_mode
            if not stat.S_ISLNK(mode) and mode & PRIVATE:
                path.chmod(stat.S_IMODE(mode) & ~PRIVATE)


def places_of(state: Path) -> Places:
    """Return the local places. The stack's own MLflow server keeps its models under ``state``."""
    environ = dict(os.environ) | {"MLFLOW_TRACKING_URI": ""}
    places = load_places("local", conf_folder(), environ)
    return replace(
        places,
        tracking_uri=f"sqlite:///{state}/mlflow/mlflow.db",
        artifacts=f"{state}/mlflow/artifacts",
    )
