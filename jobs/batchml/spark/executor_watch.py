"""End a job that waits for executors which do not come: Spark itself waits for ever."""

import logging
import os
import re
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import requests
from py4j.protocol import Py4JError
from pyspark.sql import SparkSession

from batchml.errors import BadConfig, Unavailable

TIMEOUT = "spark.batchml.executors.timeout"
DEFAULT_TIMEOUT = "300s"
SECONDS_BETWEEN_LOOKS = 2.0
GIB = 1024  # MiB, in which the master counts


class ExecutorWatch:
    """Counts how long there has been work for executors and no executor.

    ``has_work`` and ``executors`` describe the application now, ``give_up`` ends its jobs.
    """

    def __init__(
        self,
        timeout: float,
        has_work: Callable[[], bool],
        executors: Callable[[], int],
        give_up: Callable[[], None],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.timeout = timeout
        self.gave_up = False
        self._has_work = has_work
        self._executors = executors
        self._give_up = give_up
        self._clock = clock
        self._alone_since: float | None = None

    def look(self) -> None:
        """Note whether work waits without executors, and give up after ``timeout`` seconds of it."""
        if not self._has_work() or self._executors() > 0:
            self._alone_since = None
            return

        if self._alone_since is None:
            self._alone_since = self._clock()
        if self._clock() - self._alone_since >= self.timeout:
            self.gave_up = True
            self._give_up()


@contextmanager
def watched_executors(spark: SparkSession) -> Iterator[None]:
    """Watch the executors of ``spark`` during a block.

    Raises Unavailable, with what the cluster offers, when there were none for as long as the setting
    spark.batchml.executors.timeout says while there was work for them. In local mode the driver
    works itself, and there is nothing to watch.
    """
    context = spark.sparkContext
    if re.match(r"local(\[|$)", str(context.master)):
        yield
        return

    watch = watch_of(spark)
    ended = threading.Event()
    thread = threading.Thread(target=_look_until, args=(ended, watch), daemon=True)
    thread.start()
    try:
        yield
    except Exception as error:
        if not watch.gave_up:
            raise
        raise no_executors(spark, watch.timeout) from error
    finally:
        ended.set()
        thread.join(SECONDS_BETWEEN_LOOKS)


def watch_of(spark: SparkSession) -> ExecutorWatch:
    """Return the watch over the application of ``spark``."""
    context = spark.sparkContext
    java: Any = context._jsc
    jvm: Any = context._jvm
    tracker = java.sc().statusTracker()
    return ExecutorWatch(
        timeout=seconds_of(jvm, str(context.getConf().get(TIMEOUT, DEFAULT_TIMEOUT))),
        has_work=lambda: len(tracker.getActiveJobIds()) > 0,
        executors=lambda: len(tracker.getExecutorInfos()) - 1,  # the driver is in the list
        give_up=context.cancelAllJobs,
    )


def seconds_of(jvm: Any, text: str) -> float:
    """Return the seconds of a Spark duration such as ``300s``. Raise BadConfig if it is none."""
    try:
        return float(jvm.org.apache.spark.network.util.JavaUtils.timeStringAsMs(text)) / 1000
    except Py4JError as error:
        raise BadConfig(
            f"{TIMEOUT} is {text!r}, not a duration", remedy=f"set it to {DEFAULT_TIMEOUT}, or 5m"
        ) from error


def _look_until(ended: threading.Event, watch: ExecutorWatch) -> None:
    while not ended.wait(SECONDS_BETWEEN_LOOKS):
        try:
            watch.look()
        except (
            Py4JError
        ):  # the application is ending, and its job reports why; or the next look succeeds
            logging.getLogger("batchml").debug("the executors cannot be counted", exc_info=True)


def no_executors(spark: SparkSession, seconds: float) -> Unavailable:
    """Return the error of a job that had no executors for ``seconds``."""
    conf = spark.sparkContext.getConf()
    requested = ", ".join(
        f"{key}={conf.get(key)}"
        for key in ("spark.cores.max", "spark.executor.cores", "spark.executor.memory")
        if conf.contains(key)
    )
    return Unavailable(
        f"no executor for {seconds:g} s: the cluster did not start one for this job, or lost them all",
        f"requested: {requested}",
        *offers(os.environ.get("BATCHML_SPARK_MASTER_PAGE", "")),
        remedy="start workers with enough free cores and memory, end jobs that hold them, or request "
        "less; if the driver runs on another machine than the master, set SPARK_LOCAL_IP to an "
        f"address the workers reach; {TIMEOUT} sets how long a job waits",
    )


def offers(page: str) -> list[str]:
    """Return one line on what the cluster has free, from the master's page; nothing without one."""
    if not page:
        return []
    try:
        response = requests.get(f"{page}/json/", timeout=10)
        response.raise_for_status()
        workers = [each for each in response.json()["workers"] if each["state"] == "ALIVE"]
    except (requests.RequestException, ValueError, KeyError) as error:
        return [f"the master's page {page} does not respond: {type(error).__name__}"]

    free, cores, free_memory, memory = (
        sum(worker[key] for worker in workers)
        for key in ("coresfree", "cores", "memoryfree", "memory")
    )
    return [
        f"the cluster offers: {len(workers)} workers, {free} of {cores} cores and "
        f"{free_memory / GIB:.1f} of {memory / GIB:.1f} GiB free"
    ]
