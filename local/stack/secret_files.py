"""Generated secrets of the local stack, each in a file that only its owner can read."""

import json
import os
import secrets
from pathlib import Path

ADMIN = "admin"  # the only user of the local Airflow
PRIVATE = 0o077  # the umask under which the local stack keeps its files


def secret_of(path: Path) -> str:
    """Return the secret in ``path``. Generate one if the file does not exist."""
    if not path.is_file():
        _write(path, secrets.token_urlsafe(24))
    return path.read_text(encoding="utf-8")


def airflow_password(path: Path) -> str:
    """Return the password of Airflow's local user. Generate one if needed.

    ``path`` is the file that Airflow's log-in reads.
    """
    if not path.is_file():
        _write(path, json.dumps({ADMIN: secrets.token_urlsafe(24)}))
    return str(json.loads(path.read_text(encoding="utf-8"))[ADMIN])


def _write(path: Path, text: str) -> None:
    """Write ``text`` as a whole: a killed start must not leave an empty secret."""
    partial = path.with_name(f"{path.name}.part")
    partial.unlink(missing_ok=True)
    handle = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(handle, "w", encoding="utf-8") as file:
        file.write(text)
    partial.replace(path)
