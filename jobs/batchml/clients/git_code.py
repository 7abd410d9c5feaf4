"""Fetch model code from a git repository at one commit, and import it from a cache."""

import fcntl
import hashlib
import importlib
import os
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any

from batchml.config import Estimator
from batchml.errors import BadConfig, Unavailable

COMMITS = ".batchml-commits"
SECONDS_FOR_GIT = 600
# A transfer that has all but stopped ends after a minute.
STALLED = ("-c", "http.lowSpeedLimit=1000", "-c", "http.lowSpeedTime=60")


@dataclass(frozen=True)
class ModelCode:
    """A function of a repository at a commit, and the folder with the files of that commit."""

    repository: str
    commit: str
    entry: str
    folder: Path


def fetch(
    estimator: Estimator,
    allowed: Collection[str],
    commit: str | None = None,
) -> ModelCode | None:
    """Return the code of an estimator of kind ``git``, None for any other kind.

    ``commit`` replaces the estimator's ref. Raise BadConfig for a repository that is not listed and
    for an unknown ref, Unavailable if the repository cannot be reached.
    """
    if estimator.kind != "git":
        return None
    repository = str(estimator.repository)
    ref = str(commit or estimator.ref)
    if repository not in allowed:
        raise BadConfig(
            f"estimator.repository is {repository!r}, which conf/repositories.yaml does not list",
            remedy="list it there, if everyone who may write to it may run code in the jobs",
        )
    mirror = _cache() / hashlib.sha256(repository.encode()).hexdigest()[:16]
    with _alone(mirror):
        _update(repository, mirror)
        resolved = _git(
            "-C",
            str(mirror),
            "rev-parse",
            "--verify",
            "--quiet",
            f"{ref}^{{commit}}",
            check=False,
        )
        if not resolved.stdout:
            listed = _git("-C", str(mirror), "branch", "--format", "%(refname:short)")
            branches = listed.stdout.decode().split()
            raise BadConfig(
                f"estimator.ref: {repository} has no {ref!r}",
                f"its branches: {', '.join(branches)}",
            )
        full = resolved.stdout.decode().strip()
        return ModelCode(repository, full, str(estimator.entry), _check_out(mirror, full))


def load(code: ModelCode | None) -> Callable[..., Any] | None:
    """Import and return the function from the commit's folder; return None without code.

    Raise BadConfig if there is no such module or function, or the import fails.
    """
    if code is None:
        return None
    name, _, function = code.entry.partition(":")
    where = f"estimator.entry: {code.entry!r} at {code.commit[:12]} of {code.repository}"
    _forget_other_commits()
    sys.path.insert(0, str(code.folder))
    try:
        module = importlib.import_module(name)
    except Exception as error:
        raise BadConfig(
            f"{where} cannot be imported", f"{type(error).__name__}: {error}"
        ) from error
    finally:
        sys.path.remove(str(code.folder))
    if not Path(str(module.__file__)).is_relative_to(code.folder):
        raise BadConfig(
            f"{where}: there is no module {name!r}, or one of that name hides it "
            f"({module.__file__})"
        )
    factory: Callable[..., Any] | None = getattr(module, function, None)
    if not callable(factory):
        raise BadConfig(f"{where}: the module has no function {function!r}")
    return factory


def _cache() -> Path:
    folder = os.environ.get("BATCHML_CODE_CACHE") or Path.home() / ".cache" / "batchml" / "code"
    return Path(folder)


def _update(repository: str, mirror: Path) -> None:
    """Bring the mirror of ``repository`` up to date, or clone it.

    An interrupted clone leaves no mirror.
    """
    try:
        if not mirror.is_dir():
            _clone(repository, mirror)
            return
        try:
            _git("-C", str(mirror), "fetch", "--quiet", "--prune", "origin")
        except subprocess.CalledProcessError as error:
            if b".lock" not in error.stderr:
                raise
            # A killed fetch has left its lock, and every later fetch would fail.
            _clone(repository, mirror)
    except subprocess.CalledProcessError as error:
        output = error.stderr.decode(errors="replace").strip().splitlines()
        raise Unavailable(
            f"{repository} cannot be fetched",
            *output[-1:],
            remedy="check the address, the network, and that this user may read the repository",
        ) from error


def _clone(repository: str, mirror: Path) -> None:
    """Make a mirror in place of one that may exist."""
    with tempfile.TemporaryDirectory(dir=mirror.parent) as folder:
        _git("clone", "--quiet", "--mirror", "--", repository, f"{folder}/mirror")
        if mirror.is_dir():
            mirror.replace(f"{folder}/old")
        Path(folder, "mirror").replace(mirror)


@contextmanager
def _alone(mirror: Path) -> Iterator[None]:
    """Keep other processes from the mirror and its commits during a block."""
    mirror.parent.mkdir(parents=True, exist_ok=True)
    with mirror.with_suffix(".lock").open("w") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield


def _check_out(mirror: Path, commit: str) -> Path:
    """Write the files of the commit to a folder of the cache, completely or not at all."""
    folder = mirror.with_suffix(COMMITS) / commit
    if not folder.is_dir():
        folder.parent.mkdir(exist_ok=True)
        archive = _git("-C", str(mirror), "archive", "--format", "tar", commit).stdout
        with tempfile.TemporaryDirectory(dir=folder.parent) as fresh:
            with tarfile.open(fileobj=BytesIO(archive)) as files:
                files.extractall(f"{fresh}/files", filter="data")
            Path(fresh, "files").replace(folder)
    return folder


def _forget_other_commits() -> None:
    """Forget imported modules of other commits: one process may train models of several."""
    for name, module in list(sys.modules.items()):
        if COMMITS in str(getattr(module, "__file__", None) or ""):
            del sys.modules[name]
    importlib.invalidate_caches()


def _git(*arguments: str, check: bool = True) -> subprocess.CompletedProcess[bytes]:
    # Disable prompts: the job runs unattended.
    environment = os.environ | {"GIT_TERMINAL_PROMPT": "0"}
    command = ("git",) + STALLED + arguments  # noqa: RUF005
    try:
        return subprocess.run(
            command,
            capture_output=True,
            check=check,
            env=environment,
            timeout=SECONDS_FOR_GIT,
        )
    except subprocess.TimeoutExpired as error:
        raise Unavailable(
            f"git {arguments[0]} has not ended after {SECONDS_FOR_GIT} s",
            remedy="check the network and the server of the repository, then rerun",
        ) from error
    except FileNotFoundError as error:
        raise Unavailable(
            "git is not installed, and model code needs it", remedy="install git"
        ) from error
