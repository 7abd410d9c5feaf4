"""The guard of the unit tests."""

import socket
import subprocess
import sys

import pytest
from pyspark.sql import SparkSession

REFUSED = "a unit test starts a process or opens a connection"


def test_started_process_fails():
    with pytest.raises(pytest.fail.Exception, match=REFUSED):
        subprocess.run([sys.executable, "--version"], check=False)


@pytest.mark.parametrize("call", ["connect", "connect_ex"])
def test_connection_fails(call: str):
    with socket.socket() as client, pytest.raises(pytest.fail.Exception, match=REFUSED):
        getattr(client, call)(("127.0.0.1", 9))


def test_listening_socket_fails():
    with socket.socket() as server, pytest.raises(pytest.fail.Exception, match=REFUSED):
        server.listen()


def test_spark_session_fails():
    with pytest.raises(pytest.fail.Exception, match=REFUSED):
        SparkSession.builder.getOrCreate()
