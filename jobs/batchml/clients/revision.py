"""Identify the running code, and list its changes since another revision."""

import os
import subprocess
from pathlib import Path

UNKNOWN = "unknown"
DIRTY = "-dirty"


def code_version(project: Path) -> str:
    """Return ``$BATCHML_CODE_VERSION``, or the commit of the checkout.

    The commit is marked ``-dirty`` if the checkout has changes.
    """
    version = os.environ.get("BATCHML_CODE_VERSION")
    if version:
        return version
    return _git(project, "describe", "--always", "--dirty", "--abbrev=12", "--exclude=*") or UNKNOWN


def changes(project: Path, then: str, now: str) -> list[str]:
    """Return one line per difference between the code versions ``then`` and ``now``.

    The changed files are listed if the checkout exists and knows both revisions.
    """
    if then == now and not then.endswith(DIRTY) and then != UNKNOWN:
        return []
    lines = [f"code version {then} then, {now} now"]
    for name, version in (("then", then), ("now", now)):
        if version.endswith(DIRTY):
            lines.append(f"the code had changes {name} that are not in any commit")
    commits = (then.removesuffix(DIRTY), now.removesuffix(DIRTY))
    files = _git(
        project, "diff", "--name-only", *commits, "--", "jobs", "conf", "requirements.lock"
    )
    return lines + [f"changed: {file}" for file in files.splitlines()]


def _git(project: Path, *arguments: str) -> str:
    """Return the output of git, or an empty text if it is not installed or fails."""
    try:
        completed = subprocess.run(
            ["git", "-C", str(project), *arguments],
            capture_output=True,
            text=True,
            check=False,
        )
    except FileNotFoundError:
        return ""
    if completed.returncode != 0:
        return ""
    return completed.stdout.strip()
