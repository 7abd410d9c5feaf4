"""A hard limit on the memory of a command and of all processes that it starts."""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest


@contextmanager
def memory_limit(size: int) -> Iterator[list[str]]:
    """Yield the words that run the command after them within ``size`` bytes, swap included.

    Take a control group, of version 1 or by systemd. Without one nothing can be shown, and that is
    a failure.
    """
    group = _own_group() / f"limit-{os.getpid()}"
    try:
        group.mkdir()
    except OSError:
        if shutil.which("systemd-run") is None:
            pytest.fail(f"{group.parent} is not writable, and there is no systemd-run")
        scope = ["systemd-run", "--user", "--scope", "--quiet"]
        yield [*scope, f"--property=MemoryMax={size}", "--property=MemorySwapMax=0"]
        return
    try:
        (group / "memory.limit_in_bytes").write_text(str(size))
        (group / "memory.memsw.limit_in_bytes").write_text(str(size))
        yield ["sh", "-c", f'echo $$ > {group}/cgroup.procs && exec "$@"', "sh"]
    finally:
        group.rmdir()


def _own_group() -> Path:
    lines = Path("/proc/self/cgroup").read_text().splitlines()
    paths = [path for _, names, path in (line.split(":", 2) for line in lines) if names == "memory"]
    return Path("/sys/fs/cgroup/memory", *(path.lstrip("/") for path in paths))
