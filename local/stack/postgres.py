"""PostgreSQL on loopback, from the wheel `pgserver`, for sources of kind jdbc.

`python -m local.stack.postgres` is a process of ``local/stack/Procfile``.
"""

import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import psycopg2

from local.stack.processes import StackError

USER = "sources"
SETTINGS = (
    "listen_addresses=127.0.0.1",
    "unix_socket_directories=",
    "max_connections=50",
)
UNPRIVILEGED = 65534  # nobody: PostgreSQL refuses to run as root


def start(data: Path, port: int, password: str) -> "subprocess.Popen[bytes]":
    """Start the server on the folder ``data``, created if missing, with superuser ``USER``."""
    binaries = programs()
    account: dict[str, Any] = {}
    if os.geteuid() == 0:
        account = {"user": UNPRIVILEGED, "group": UNPRIVILEGED, "extra_groups": []}

    data.mkdir(parents=True, exist_ok=True)
    if account:
        os.chown(data, UNPRIVILEGED, UNPRIVILEGED)
        folders = [binaries]
        folders += data.parents
        folders += binaries.parents
        for folder in folders:
            # The user may traverse these folders, but not list them.
            folder.chmod(folder.stat().st_mode | 0o001)
    if not (data / "PG_VERSION").is_file():
        _initialise(binaries, data, password, account)

    command = [str(binaries / "postgres"), "-D", str(data), "-p", str(port)]
    for setting in SETTINGS:
        command += ["-c", setting]
    return subprocess.Popen(command, cwd="/", **account)


def _initialise(binaries: Path, data: Path, password: str, account: Mapping[str, Any]) -> None:
    """Create the database cluster in ``data``, as the user of ``account``."""
    with tempfile.NamedTemporaryFile("w", suffix=".password") as file:
        file.write(password)
        file.flush()
        if account:
            os.chown(file.name, UNPRIVILEGED, UNPRIVILEGED)
        command = [str(binaries / "initdb"), "--pgdata", str(data), "--username", USER]
        command += ["--encoding", "UTF8", "--auth", "scram-sha-256", "--pwfile", file.name]
        command += ["--no-sync", "--no-locale"]
        subprocess.run(command, stdout=subprocess.DEVNULL, check=True, cwd="/", **account)


def programs() -> Path:
    """Return the folder of PostgreSQL's programs.

    Raises:
        StackError: if the wheel is not available for this machine or Python.
    """
    # Importing the package would create folders and warn.
    package = find_spec("pgserver")
    if package is None or package.origin is None:
        raise StackError(
            "the wheel of PostgreSQL (pgserver) is not available for this machine or Python: "
            "use the containers (make up), or set BATCHML_SOURCES_DB, _USER and _PASSWORD to "
            "another server and run the jobs manually"
        )
    return Path(package.origin).parent / "pginstall" / "bin"


def is_responding(environ: Mapping[str, str]) -> bool:
    """Return True if ``USER`` can log in to the server that ``BATCHML_SOURCES_DB`` names."""
    host, _, port = environ["BATCHML_SOURCES_DB"].partition("/")[0].partition(":")
    account = {"user": USER, "password": environ["BATCHML_SOURCES_PASSWORD"]}
    try:
        psycopg2.connect(dbname="postgres", host=host, port=port, **account).close()
    except psycopg2.OperationalError:
        return False
    return True


def main() -> int:
    """Run the server until a signal ends it, and return its exit code."""
    state = Path(os.environ["BATCHML_STATE"])
    port = int(os.environ["POSTGRES_PORT"])
    server = start(state / "postgres", port, os.environ["BATCHML_SOURCES_PASSWORD"])
    for number in (signal.SIGTERM, signal.SIGINT):
        # SIGINT stops the server at once. On SIGTERM it would wait for its clients.
        signal.signal(number, lambda *_: server.send_signal(signal.SIGINT))
    return server.wait()


if __name__ == "__main__":
    sys.exit(main())
