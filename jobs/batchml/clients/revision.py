"""Which code runs, and what has changed in it since another revision."""

import os
import subprocess
from pathlib import Path

UNKNOWN = "unknown"
DIRTY = "-dirty"


def code_version(project: Path) -> str:
    """``$BATCHML_CODE_VERSION``, or the commit of the checkout, marked ``-dirty`` if it was changed since."""
    if given := os.environ.get("BATCHML_CODE_VERSION"):
        return given
    return _git(project, "describe", "--always", "--dirty", "--abbrev=12", "--exclude=*") or UNKNOWN


def changes(project: Path, then: str, now: str) -> list[str]:
    """One line for each thing that may make code ``now`` compute otherwise than ``then``; none if they are the same.

    Files by git, where the checkout is at hand and knows both revisions; otherwise only that they differ.
    """
    if then == now and not then.endswith(DIRTY) and then != UNKNOWN:
        return []
    lines = [f"code version {then} then, {now} now"]
    for name, version in (("then", then), ("now", now)):
        if version.endswith(DIRTY):
            lines.append(f"the code had changes {name} that no commit holds")
    commits = (then.removesuffix(DIRTY), now.removesuffix(DIRTY))
    files = _git(
        project, "diff", "--name-only", *commits, "--", "jobs", "conf", "requirements.lock"
    )
    return lines + [f"changed: {file}" for file in files.splitlines()]


def _git(project: Path, *arguments: str) -> str:
    """What git prints; nothing where there is no git, or it refuses."""
    try:
        found = subprocess.run(
            ["git", "-C", str(project), *arguments], capture_output=True, text=True, check=False
        )
    except FileNotFoundError:
        return ""
    return found.stdout.strip() if found.returncode == 0 else ""
