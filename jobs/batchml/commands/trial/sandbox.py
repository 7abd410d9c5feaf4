"""The folder in which a trial writes all its tables, models and logs."""

import fcntl
import os
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from batchml.clients.landing import is_local
from batchml.config import Places, project_folder
from batchml.errors import BadConfig, Unavailable

FOLDER = "trials"
ATTEMPTS = 10
SECONDS_BETWEEN_ATTEMPTS = 0.5
LOGS = "logs"
MARKER = ".sandbox"
"""The file by which a folder is known to be a sandbox, which may be removed."""


@dataclass(frozen=True)
class Sandbox:
    """A sandbox in ``folder``. Its ``places`` are in there, except for the landing folder."""

    folder: Path
    places: Places

    @property
    def champion(self) -> Path:
        """Return the folder into which the champion is downloaded."""
        return self.folder / "champion"

    @property
    def logs(self) -> Path:
        """Return the folder of the logs of the jobs."""
        return self.folder / LOGS


def sandbox_folder(pipeline: str, production: Places) -> Path:
    """Return the folder of the sandbox: next to the lake, if that is on a plain file system."""
    parent = project_folder() / "data"
    if is_local(production.lake):
        parent = Path(production.lake).parent
    return parent / FOLDER / pipeline


@contextmanager
def open_sandbox(folder: Path, production: Places, *, keep: bool = False) -> Iterator[Sandbox]:
    """Provide an empty sandbox in ``folder``, and remove it afterwards unless ``keep``.

    Raise Unavailable if another process uses it, and BadConfig if the folder is anything else.
    """
    with _locked(folder):
        _require_sandbox(folder)
        with _writing(folder):
            _create(folder)
        try:
            yield Sandbox(folder, _places(folder, production))
        finally:
            if not keep:
                _remove(folder)


def _create(folder: Path) -> None:
    """Create an empty sandbox in place of the former one."""
    if folder.exists():
        shutil.rmtree(folder)
    folder.mkdir()
    (folder / MARKER).touch()
    (folder / LOGS).mkdir()


def _remove(folder: Path) -> None:
    """Remove ``folder``, again if a job that is being ended has still written to it."""
    for _ in range(ATTEMPTS):
        shutil.rmtree(folder, ignore_errors=True)
        if not folder.exists():
            return
        time.sleep(SECONDS_BETWEEN_ATTEMPTS)


def _places(folder: Path, production: Places) -> Places:
    return replace(
        production,
        lake=str(folder / "lake"),
        tracking_uri=f"sqlite:///{folder}/mlflow.db",
        artifacts=str(folder / "artifacts"),
    )


def _require_sandbox(folder: Path) -> None:
    """Raise BadConfig if ``folder`` exists and no trial has created it."""
    if folder.exists() and not (folder / MARKER).exists():
        raise BadConfig(
            f"{folder} exists and is not a sandbox",
            remedy="move it away, or set BATCHML_LAKE to a lake in another folder",
        )


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """Lock ``folder`` for this process. Raise Unavailable if another one has locked it."""
    path = folder.with_name(f"{folder.name}.lock")
    with _writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        lock = path.open("a+")
    with lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            lock.seek(0)
            raise Unavailable(
                f"another trial uses {folder} (process {lock.read().strip()})",
                remedy="wait until it has ended, then rerun the command",
            ) from error
        lock.truncate(0)
        lock.write(str(os.getpid()))
        lock.flush()
        # The file stays: a process that waits for it would lock a deleted one.
        yield


@contextmanager
def _writing(path: Path) -> Iterator[None]:
    """Turn a failure to write ``path`` into Unavailable."""
    try:
        yield
    except OSError as error:
        raise Unavailable(
            f"{path} cannot be written",
            str(error),
            remedy="make the folder next to the lake writable for this user",
        ) from error
