"""Locks, ports, signals, and the end of all processes of a stack."""

import fcntl
import os
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil

SECONDS_TO_STOP = 20
ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class StackError(Exception):
    """The stack did not start, or a part of it ended. The message names the log."""


def exit_on_signals() -> None:
    """Make SIGTERM and a closed terminal stop the stack as Ctrl-C does."""
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda received, _: sys.exit(128 + received))


def stop(honcho: subprocess.Popen[bytes], state: Path) -> None:
    """Stop honcho and all processes of this stack. Kill those that do not end by themselves."""
    # A second Ctrl-C must not leave half of the stack running.
    handlers = {number: signal.signal(number, signal.SIG_IGN) for number in ENDING}
    honcho.terminate()
    try:
        honcho.wait(SECONDS_TO_STOP)
    except subprocess.TimeoutExpired:
        honcho.kill()
        honcho.wait()

    # Find processes by their environment, because orphans have another parent.
    left = [process for process in psutil.process_iter() if _works_for(process, state)]
    _, alive = psutil.wait_procs(left, timeout=3)
    for process in alive:
        process.kill()
    psutil.wait_procs(alive, timeout=3)

    for number, handler in handlers.items():
        signal.signal(number, handler)


def _works_for(process: psutil.Process, state: Path) -> bool:
    """Return True for a process of the stack in ``state``."""
    try:
        return process.environ().get("BATCHML_STATE") == str(state)
    except (psutil.NoSuchProcess, psutil.AccessDenied):
        return False


@contextmanager
def lock(path: Path) -> Iterator[int]:
    """Hold the lock of a state folder, and yield its descriptor for honcho.

    A stack whose runner was killed still holds the lock through honcho.

    Raises:
        StackError: if another stack holds it.
    """
    with path.open("a+") as handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise StackError(
                f"another stack uses {path.parent}: stop it first "
                f"(`fuser {path}` lists its processes)"
            ) from error
        yield handle.fileno()


@contextmanager
def startup_lock() -> Iterator[None]:
    """Wait until no other stack of this user is starting.

    Two stacks that look for free ports at the same time would find the same ones.
    """
    path = Path(tempfile.gettempdir(), f"batchml-starting-{os.getuid()}.lock")
    with path.open("a+") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield


def free_port(usual: int) -> int:
    """Return ``usual``, or any free port if that is taken."""
    for port in (usual, 0):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return int(probe.getsockname()[1])
    raise StackError("all ports of 127.0.0.1 are in use")
