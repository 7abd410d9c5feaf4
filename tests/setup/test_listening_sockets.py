"""The reader of /proc/net/tcp that the tests of the containers rely on."""

import socket
from pathlib import Path

import psutil

from tests.support.sockets import Socket, listening_sockets, parse_proc_net


def test_listening_sockets_have_their_addresses():
    with (
        socket.socket() as loopback,
        socket.socket(socket.AF_INET6) as everywhere,
        socket.socket() as silent,
    ):
        loopback.bind(("127.0.0.1", 0))
        everywhere.bind(("::", 0))
        silent.bind(("127.0.0.1", 0))
        loopback.listen()
        everywhere.listen()
        found = {
            each
            for name in ("tcp", "tcp6")
            for each in parse_proc_net(Path("/proc/net", name).read_text())
        }
        own = listening_sockets(
            lambda process: "me" if process.pid == psutil.Process().pid else None
        )["me"]
        one = Socket("127.0.0.1", loopback.getsockname()[1])
        all_addresses = Socket("::", everywhere.getsockname()[1])
        assert {one, all_addresses} <= found
        assert {one, all_addresses} <= own
        assert silent.getsockname()[1] not in {each.port for each in found}
    assert (one.is_loopback, all_addresses.is_loopback) == (True, False)
    assert Socket("::ffff:127.0.0.1", 1).is_loopback
