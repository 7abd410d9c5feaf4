"""Listening sockets, of the processes of this machine and of containers."""

import ipaddress
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import psutil

LISTEN = "0A"  # the state's number in /proc/net/tcp


@dataclass(frozen=True)
class Socket:
    """One listening TCP socket."""

    address: str
    port: int

    @property
    def is_loopback(self) -> bool:
        """Return True if only processes of the same host reach it."""
        address = ipaddress.ip_address(self.address)
        mapped = getattr(address, "ipv4_mapped", None)
        return (mapped or address).is_loopback


def listening_sockets(name_of: Callable[[psutil.Process], str | None]) -> dict[str, set[Socket]]:
    """Return the sockets of the running processes that ``name_of`` names, by that name."""
    sockets = defaultdict(set)
    for connection in psutil.net_connections("tcp"):
        if connection.status != psutil.CONN_LISTEN or connection.pid is None:
            continue
        try:
            name = name_of(psutil.Process(connection.pid))
        except (psutil.NoSuchProcess, psutil.AccessDenied):
            continue
        if name is not None:
            sockets[name].add(Socket(connection.laddr.ip, connection.laddr.port))
    return dict(sockets)


def parse_proc_net(text: str) -> Iterator[Socket]:
    """Yield the listening sockets of a /proc/net/tcp or /proc/net/tcp6."""
    for line in text.splitlines()[1:]:
        _, local, _, state, *_ = line.split()
        if state == LISTEN:
            host, _, port = local.partition(":")
            # Words of four bytes, each in the byte order of the machine.
            packed = b"".join(
                bytes.fromhex(host[at : at + 8])[::-1] for at in range(0, len(host), 8)
            )
            yield Socket(str(ipaddress.ip_address(packed)), int(port, 16))
