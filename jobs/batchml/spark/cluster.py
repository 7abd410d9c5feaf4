"""The Spark cluster as it is: what its master and its executors say of themselves."""

import os
import platform
import shutil
import socket
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyspark
import requests
from pyspark.sql import SparkSession

from batchml.errors import Unavailable
from batchml.spark.stack_checks import Facts

SECONDS_TO_REGISTER = 60
ROUNDS = 5


def alive_workers(page: str) -> set[str]:
    """Return the hosts of the live workers, from the master's page (``http://…:8080``)."""
    try:
        answer = requests.get(f"{page}/json/", timeout=10)
        answer.raise_for_status()
        return {worker["host"] for worker in answer.json()["workers"] if worker["state"] == "ALIVE"}
    except requests.RequestException as error:
        raise Unavailable(
            f"the Spark master's page {page} does not answer",
            str(error),
            remedy="is the master running, and is BATCHML_SPARK_MASTER_PAGE its address?",
        ) from error


def driver_facts(lake: str) -> Facts:
    """Return the facts about this process."""
    return Facts(**_look(lake)())


def registered_executors(spark: SparkSession, expected: int) -> list[str]:
    """Wait up to a minute for ``expected`` executors, and return the hosts of those present."""
    context = spark.sparkContext
    java: Any = context._jsc
    status: Any = java.sc().statusTracker()
    deadline = time.monotonic() + SECONDS_TO_REGISTER
    while len(infos := status.getExecutorInfos()) - 1 < expected and time.monotonic() < deadline:
        time.sleep(0.5)
    hosts = [str(info.host()) for info in infos]
    hosts.remove(str(context.getConf().get("spark.driver.host")))  # the driver is in the list
    return hosts


def executor_facts(spark: SparkSession, lake: str, count: int) -> list[Facts]:
    """Return the facts about every executor; in local mode about the driver."""
    context = spark.sparkContext
    look, found = _look(lake, seconds=0.2), {}
    for _ in range(ROUNDS):  # the scheduler promises nobody a task; a few rounds reach everyone
        slots = 4 * context.defaultParallelism
        for answer in context.parallelize(range(slots), slots).map(lambda _: look()).collect():
            found[answer["host"], answer["folder"]] = Facts(**answer)
        if len(found) >= count:
            break
    return list(found.values())


def _look(lake: str, seconds: float = 0.0) -> Callable[[], dict[str, Any]]:
    """Return the function that collects a process's facts.

    It is a closure, so that it can be sent to executors that do not have this package.
    """

    def look() -> dict[str, Any]:
        time.sleep(seconds)  # so that no executor takes all the tasks before the others are up
        home = next(
            parent for parent in Path(pyspark.__file__).parents if (parent / "jars").is_dir()
        )
        spills = os.environ.get("SPARK_LOCAL_DIRS", tempfile.gettempdir())
        folders = [
            folder for folder in (spills, lake) if Path(folder).is_dir()
        ]  # an object store has no end
        return {
            "host": socket.gethostname(),
            "folder": str(Path.cwd()),
            "python": platform.python_version(),
            "pyspark": pyspark.__version__,
            "jars": frozenset(
                f"{jar.name} ({jar.stat().st_size} bytes)" for jar in (home / "jars").iterdir()
            ),
            "user": os.getuid(),
            "epoch": time.time(),
            "free_bytes": min(shutil.disk_usage(folder).free for folder in folders),
        }

    return look
