"""Read the memory that a Python process of an executor can get."""

import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from pyspark import cloudpickle
from pyspark.sql import SparkSession

GROUPS = Path("sys/fs/cgroup")
FIRST_VERSION = ("memory.limit_in_bytes", "memory.usage_in_bytes")
SECOND_VERSION = ("memory.max", "memory.current")


@dataclass(frozen=True)
class Memory:
    """Bytes of a machine, or of a control group that has fewer: all, and those that are free."""

    total: int
    free: int


def least_memory(spark: SparkSession) -> Memory | None:
    """Return the memory of the executors' machine with the least that is free; None if unknown.

    In local mode that is the driver's machine. Not every executor is sure to respond.
    """
    tasks = spark.sparkContext.defaultParallelism
    module = sys.modules[__name__]

    def look(_: int) -> tuple[int, int] | None:
        memory = read_memory(Path("/"))
        return (memory.total, memory.free) if memory else None

    # Executors need not have this package: its functions are sent to them, and plain values back.
    cloudpickle.register_pickle_by_value(module)  # type: ignore[no-untyped-call]
    try:
        found = spark.sparkContext.parallelize(range(tasks), tasks).map(look).collect()
    finally:
        cloudpickle.unregister_pickle_by_value(module)  # type: ignore[no-untyped-call]
    known = [Memory(*each) for each in found if each is not None]
    return min(known, key=lambda each: each.free, default=None)


def read_memory(root: Path) -> Memory | None:
    """Return the memory of this machine, or of its control group with the fewest bytes.

    None where the kernel has no such files, as on macOS. ``root`` is the folder that has ``proc``
    and ``sys``. Control groups of both versions are read.
    """
    try:
        lines = (root / "proc/meminfo").read_text().splitlines()
        sizes = dict(line.split(":", 1) for line in lines)
        total, free = (
            int(sizes[name].removesuffix("kB")) * 1024 for name in ("MemTotal", "MemAvailable")
        )
    except (OSError, KeyError):
        return None
    found = [Memory(total, free), *_groups(root)]
    return Memory(min(each.total for each in found), min(each.free for each in found))


def _groups(root: Path) -> Iterator[Memory]:
    try:
        lines = (root / "proc/self/cgroup").read_text().splitlines()
    except OSError:
        return
    for line in lines:
        _, controllers, path = line.split(":", 2)
        if controllers == "":
            yield from _limits(root / GROUPS, path, *SECOND_VERSION)
        elif "memory" in controllers.split(","):
            yield from _limits(root / GROUPS / "memory", path, *FIRST_VERSION)


def _limits(top: Path, path: str, limit: str, usage: str) -> Iterator[Memory]:
    inner = top / path.lstrip("/")
    # In a container its own group is at the top, where the path may not exist.
    for folder in (inner, *inner.parents):
        try:
            total = int((folder / limit).read_text())
            used = int((folder / usage).read_text()) - _cache(folder)
        except (OSError, ValueError):  # no file, or "max"
            pass
        else:
            yield Memory(total, total - used)
        if folder == top:
            return


def _cache(folder: Path) -> int:
    """Return the bytes of cached files, which the kernel gives back."""
    try:
        lines = (folder / "memory.stat").read_text().splitlines()
    except OSError:
        return 0
    sizes = dict(line.split() for line in lines)
    # In the first version only the totals have the groups inside.
    prefix = "total_" if "total_inactive_file" in sizes else ""
    return sum(int(sizes.get(f"{prefix}{part}_file", 0)) for part in ("inactive", "active"))
