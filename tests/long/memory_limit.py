"""A hard limit on the memory of a command and of all processes that it starts."""

import os
import shutil
import signal
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest


@contextmanager
def memory_limit(size: int) -> Iterator[list[str]]:
    """Yield the words that run the command after them within ``size`` bytes, swap included.

    Use a control group of version 1, or systemd. Fail if neither is available.
    """
    parent = own_group()
    if not os.access(parent, os.W_OK):
        if shutil.which("systemd-run") is None:
            pytest.fail(f"{parent} is not writable, and systemd-run is not installed")
        scope = ["systemd-run", "--user", "--scope", "--quiet"]
        yield [*scope, f"--property=MemoryMax={size}", "--property=MemorySwapMax=0"]
        return
    group = Path(tempfile.mkdtemp(prefix="limit-", dir=parent))
    try:
        (group / "memory.limit_in_bytes").write_text(str(size))
        with suppress(FileNotFoundError, PermissionError):  # a kernel that does not count swap
            (group / "memory.memsw.limit_in_bytes").write_text(str(size))
        yield ["sh", "-c", f'echo $$ > {group}/cgroup.procs && exec "$@"', "sh"]
    finally:
        remove(group)


def own_group() -> Path:
    """Return the folder of this process's control group of version 1."""
    lines = Path("/proc/self/cgroup").read_text().splitlines()
    paths = [path for _, names, path in (line.split(":", 2) for line in lines) if names == "memory"]
    return Path("/sys/fs/cgroup/memory", *(path.lstrip("/") for path in paths))


def remove(group: Path) -> None:
    """Remove a group. A process of a killed command may need a moment to end."""
    for _ in range(50):
        try:
            group.rmdir()
            return
        except OSError:
            for number in (group / "cgroup.procs").read_text().split():
                with suppress(ProcessLookupError):
                    os.kill(int(number), signal.SIGKILL)
            time.sleep(0.2)
    pytest.fail(f"processes in {group} do not end")
