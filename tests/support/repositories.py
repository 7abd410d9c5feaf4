"""A git repository of model code, made by the git that is at hand."""

import os
import subprocess
from pathlib import Path

LINEAR = """\
from pyspark.ml.regression import LinearRegression

from models.settings import SHRINKAGE


def build(**params):
    return LinearRegression(regParam=SHRINKAGE, **params)


def model():
    return "not an estimator"


def fails():
    raise ZeroDivisionError("as it is")
"""
WHO = {f"GIT_{who}_{what}": "t" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")}


def git(folder: Path, *arguments: str) -> str:
    done = subprocess.run(
        ["git", "-C", str(folder), *arguments],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, **WHO},
    )
    return done.stdout.strip()


def commit(repository: Path, files: dict[str, str]) -> str:
    """Commit on main, and return the commit's name."""
    if not repository.is_dir():
        repository.mkdir(parents=True)
        git(repository, "init", "--quiet", "--initial-branch", "main")
    for name, text in files.items():
        path = repository / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    git(repository, "add", "--all")
    git(repository, "commit", "--quiet", "--message", "models")
    return git(repository, "rev-parse", "HEAD")


def two_commits(repository: Path) -> tuple[str, str]:
    """Linear models: one that fits, and one that shrinks every coefficient to almost nothing."""
    first = commit(
        repository,
        {
            "models/__init__.py": "",
            "models/linear.py": LINEAR,
            "models/settings.py": "SHRINKAGE = 0.0\n",
        },
    )
    return first, commit(repository, {"models/settings.py": "SHRINKAGE = 1e6\n"})
