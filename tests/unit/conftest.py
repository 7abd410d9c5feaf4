"""Guard: a unit test starts no process and no Spark session, and opens no connection."""

import socket
import subprocess
import sys
from typing import NoReturn

import pytest

FORBIDDEN = (
    (subprocess.Popen, "__init__"),
    (socket.socket, "connect"),
    (socket.socket, "connect_ex"),
    (socket.socket, "listen"),
)


def refuse(*_: object, **__: object) -> NoReturn:
    pytest.fail("a unit test starts a process or opens a connection: move it to another folder")


@pytest.fixture(autouse=True)
def isolated(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fail a test that starts a process or a Spark session, listens or connects.

    A Spark session needs a JVM, which is a process, or an existing one.
    """
    for owner, name in FORBIDDEN:
        monkeypatch.setattr(owner, name, refuse)
    if "pyspark" in sys.modules:
        monkeypatch.setattr("pyspark.SparkContext.__init__", refuse)
        monkeypatch.setattr("pyspark.sql.SparkSession.Builder.getOrCreate", refuse)
