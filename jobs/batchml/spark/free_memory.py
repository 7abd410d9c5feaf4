"""Return the memory that a Python process of an executor can still get."""

from collections.abc import Callable, Iterator
from pathlib import Path

from pyspark.sql import SparkSession


def least_free_memory(spark: SparkSession) -> int:
    """Return the bytes that are free for a Python process, on the executor that has the fewest.

    In local mode that is the driver's machine. Not every executor is sure to respond.
    """
    tasks = spark.sparkContext.defaultParallelism
    look = free_memory_under(Path("/"))
    return int(spark.sparkContext.parallelize(range(tasks), tasks).map(lambda _: look()).min())


def free_memory_under(root: Path) -> Callable[[], int]:
    """Return a function that reads the free bytes of this machine, or of a control group with fewer.

    ``root`` is the folder that has ``proc`` and ``sys``. The function is a closure, so that it can
    be sent to executors that do not have this package. It reads control groups of both versions:
    memory that files take as a cache counts as free, since the kernel gives it back.
    """

    def look() -> int:
        lines = (root / "proc/meminfo").read_text().splitlines()
        available = next(line for line in lines if line.startswith("MemAvailable:"))
        found = [int(available.split()[1]) * 1024]
        for line in (root / "proc/self/cgroup").read_text().splitlines():
            _, controllers, path = line.split(":", 2)
            if controllers == "":
                group, names = root / "sys/fs/cgroup", ("memory.max", "memory.current")
            elif controllers == "memory":
                group = root / "sys/fs/cgroup/memory"
                names = ("memory.limit_in_bytes", "memory.usage_in_bytes")
            else:
                continue
            found += free_in_groups(group, path, names)
        return min(found)

    def free_in_groups(group: Path, path: str, names: tuple[str, str]) -> Iterator[int]:
        inner = group / path.lstrip("/")
        # In a container its own group is at the top, where the path may not exist.
        for folder in (inner, *inner.parents):
            limit = folder / names[0]
            if limit.is_file() and (most := limit.read_text().strip()) != "max":
                stat = dict(
                    line.split() for line in (folder / "memory.stat").read_text().splitlines()
                )
                cache = stat.get("total_inactive_file", stat.get("inactive_file", "0"))
                used = int((folder / names[1]).read_text()) - int(cache)
                yield int(most) - used
            if folder == group:
                return

    return look
