"""Read how much memory is left for the Python process of an executor."""

import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from pyspark import cloudpickle
from pyspark.sql import SparkSession

GROUPS = Path("sys/fs/cgroup")


@dataclass(frozen=True)
class Memory:
    """Bytes of a machine, or of a control group that has fewer: all, and those that are free."""

    total: int
    free: int


@dataclass(frozen=True)
class GroupFiles:
    """The names of a control group's files in one version of the interface."""

    limit: str
    usage: str


FIRST_VERSION = GroupFiles("memory.limit_in_bytes", "memory.usage_in_bytes")
SECOND_VERSION = GroupFiles("memory.max", "memory.current")


def least_memory(spark: SparkSession) -> Memory | None:
    """Return the memory of the executors' machine that has the least free memory.

    Return None if it is unknown. In local mode it is the driver's machine. An executor that gets no
    task does not respond.
    """
    context = spark.sparkContext
    tasks = context.defaultParallelism
    module = sys.modules[__name__]

    def look(_: int) -> tuple[int, int] | None:
        memory = read_memory(Path("/"))
        if memory is None:
            return None
        return memory.total, memory.free

    # Executors may lack this package. Its functions are sent to them, and plain values come back.
    cloudpickle.register_pickle_by_value(module)  # type: ignore[no-untyped-call]
    try:
        responses = context.parallelize(range(tasks), tasks).map(look).collect()
    finally:
        cloudpickle.unregister_pickle_by_value(module)  # type: ignore[no-untyped-call]

    memories: list[Memory] = []
    for response in responses:
        if response is not None:
            total, free = response
            memories.append(Memory(total, free))
    return min(memories, key=lambda memory: memory.free, default=None)


def read_memory(root: Path) -> Memory | None:
    """Return the memory of this machine, or of its control group with the fewest bytes.

    Return None if the kernel has no such files, as on macOS. ``root`` is the folder that has
    ``proc`` and ``sys``. Control groups of both versions are read.
    """
    try:
        machine = _machine(root)
    except (OSError, KeyError):
        return None
    memories = [machine]
    memories += _groups(root)
    total = min(memory.total for memory in memories)
    free = min(memory.free for memory in memories)
    return Memory(total, free)


def _machine(root: Path) -> Memory:
    """Return the memory of the machine.

    Raise OSError or KeyError if the kernel does not list it.
    """
    lines = (root / "proc/meminfo").read_text().splitlines()
    sizes = dict(line.split(":", 1) for line in lines)
    total = _bytes(sizes["MemTotal"])
    free = _bytes(sizes["MemAvailable"])
    return Memory(total, free)


def _bytes(size: str) -> int:
    """Return the bytes of a size such as ``16777216 kB``."""
    return int(size.removesuffix("kB")) * 1024


def _groups(root: Path) -> Iterator[Memory]:
    """Yield the memory of the control groups of this process."""
    try:
        lines = (root / "proc/self/cgroup").read_text().splitlines()
    except OSError:
        return
    for line in lines:
        _, controllers, path = line.split(":", 2)
        if controllers == "":
            yield from _limits(root / GROUPS, path, SECOND_VERSION)
        elif "memory" in controllers.split(","):
            yield from _limits(root / GROUPS / "memory", path, FIRST_VERSION)


def _limits(top: Path, path: str, files: GroupFiles) -> Iterator[Memory]:
    """Yield the memory of the group at ``path`` and of the groups around it, up to ``top``."""
    folder = top / path.lstrip("/")
    while True:
        memory = _limit(folder, files)
        if memory is not None:
            yield memory
        if folder in (top, folder.parent):
            return
        folder = folder.parent


def _limit(folder: Path, files: GroupFiles) -> Memory | None:
    """Return the memory of one group, or None if it is not limited.

    The folder may be missing: in a container its own group is at the top.
    """
    try:
        total = int((folder / files.limit).read_text())
        used = int((folder / files.usage).read_text()) - _cache(folder)
    except (OSError, ValueError):  # a missing file, or the text "max"
        return None
    return Memory(total, total - used)


def _cache(folder: Path) -> int:
    """Return the bytes of cached files, which the kernel frees on demand."""
    try:
        lines = (folder / "memory.stat").read_text().splitlines()
    except OSError:
        return 0
    sizes = dict(line.split() for line in lines)
    # In the first version only the totals include the inner groups.
    prefix = ""
    if "total_inactive_file" in sizes:
        prefix = "total_"
    inactive = int(sizes.get(f"{prefix}inactive_file", 0))
    active = int(sizes.get(f"{prefix}active_file", 0))
    return inactive + active
