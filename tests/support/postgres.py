"""Fixture of a PostgreSQL server."""

import signal
import time
from collections.abc import Iterator

import pytest

import local.stack.postgres
from local.stack.processes import free_port, startup_lock

PASSWORD = "correct-horse"


@pytest.fixture(scope="session")
def postgres(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """Yield the variables that lead a database source to the PostgreSQL of this run."""
    with startup_lock():  # a stack that starts meanwhile would find the same port free
        port = free_port(5432)
        server = local.stack.postgres.start(
            tmp_path_factory.mktemp("postgres") / "data", port, PASSWORD
        )
        environ = {
            "BATCHML_SOURCES_DB": f"127.0.0.1:{port}/sources",
            "BATCHML_SOURCES_USER": local.stack.postgres.USER,
            "BATCHML_SOURCES_PASSWORD": PASSWORD,
        }
        while not local.stack.postgres.is_responding(environ):
            assert server.poll() is None
            time.sleep(0.1)
    yield environ
    server.send_signal(signal.SIGINT)
    server.wait(20)
