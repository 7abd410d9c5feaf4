"""Read the state of the Spark cluster from its master's page and from its executors."""

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
from batchml.spark.stack_checks import ProcessInfo

SECONDS_TO_REGISTER = 60
ROUNDS = 5


def alive_workers(page: str) -> set[str]:
    """Return the hosts of the live workers, from the master's page (``http://…:8080``)."""
    try:
        response = requests.get(f"{page}/json/", timeout=10)
        response.raise_for_status()
        workers = response.json()["workers"]
    except requests.RequestException as error:
        raise Unavailable(
            f"the Spark master's page {page} does not respond",
            str(error),
            remedy="check that the master runs and that BATCHML_SPARK_MASTER_PAGE is its address",
        ) from error
    return {worker["host"] for worker in workers if worker["state"] == "ALIVE"}


def driver_info(lake: str) -> ProcessInfo:
    """Return the facts about this process."""
    look = _look(lake)
    return ProcessInfo(**look())


def registered_executors(spark: SparkSession, expected: int) -> list[str]:
    """Wait up to a minute for ``expected`` executors, and return the hosts of those present."""
    context = spark.sparkContext
    java: Any = context._jsc
    status: Any = java.sc().statusTracker()
    deadline = time.monotonic() + SECONDS_TO_REGISTER
    infos = status.getExecutorInfos()
    # The driver is in the list.
    while len(infos) - 1 < expected and time.monotonic() < deadline:
        time.sleep(0.5)
        infos = status.getExecutorInfos()

    hosts = [str(info.host()) for info in infos]
    driver = str(context.getConf().get("spark.driver.host"))
    hosts.remove(driver)
    return hosts


def executor_infos(spark: SparkSession, lake: str, count: int) -> list[ProcessInfo]:
    """Return the facts about every executor; in local mode about the driver."""
    context = spark.sparkContext
    look = _look(lake, seconds=0.2)
    by_process: dict[tuple[str, str], ProcessInfo] = {}
    # Spark does not promise a task to every executor. A few rounds reach them all.
    for _ in range(ROUNDS):
        slots = 4 * context.defaultParallelism
        tasks = context.parallelize(range(slots), slots)
        for facts in tasks.map(lambda _: look()).collect():
            process = ProcessInfo(**facts)
            by_process[process.host, process.folder] = process
        if len(by_process) >= count:
            break
    return list(by_process.values())


def _look(lake: str, seconds: float = 0.0) -> Callable[[], dict[str, Any]]:
    """Return the function that collects the facts about a process.

    It is a closure, so that it can be sent to executors that do not have this package.
    """

    def look() -> dict[str, Any]:
        # Wait, so that no executor takes all the tasks before the others have started.
        time.sleep(seconds)
        candidates = (parent / "jars" for parent in Path(pyspark.__file__).parents)
        jars = next(folder for folder in candidates if folder.is_dir())
        jar_names = [f"{jar.name} ({jar.stat().st_size} bytes)" for jar in jars.iterdir()]

        spills = os.environ.get("SPARK_LOCAL_DIRS", tempfile.gettempdir())
        # A lake in an object store is not a folder, and its space is not limited.
        folders = [folder for folder in (spills, lake) if Path(folder).is_dir()]
        free_bytes = [shutil.disk_usage(folder).free for folder in folders]
        return {
            "host": socket.gethostname(),
            "folder": str(Path.cwd()),
            "python": platform.python_version(),
            "pyspark": pyspark.__version__,
            "jars": frozenset(jar_names),
            "user": os.getuid(),
            "epoch": time.time(),
            "free_bytes": min(free_bytes),
        }

    return look
