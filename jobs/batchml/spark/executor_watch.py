"""End a job that waits for executors in vain: Spark itself would wait for ever."""

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
JAVA_UTILS = "org.apache.spark.network.util.JavaUtils"
SECONDS_BETWEEN_LOOKS = 2.0
GIB = 1024  # in MiB, the unit of the master's page
REQUESTED = ("spark.cores.max", "spark.executor.cores", "spark.executor.memory")
RESOURCES = ("coresfree", "cores", "memoryfree", "memory")


class ExecutorWatch:
    """A timer that runs while there is work for executors, but no executor.

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
        """Note if work waits without executors, and give up after ``timeout`` seconds of it."""
        is_waiting = self._has_work() and self._executors() <= 0
        if not is_waiting:
            self._alone_since = None
            return

        if self._alone_since is None:
            self._alone_since = self._clock()
        waited = self._clock() - self._alone_since
        if waited >= self.timeout:
            self.gave_up = True
            self._give_up()


@contextmanager
def watched_executors(spark: SparkSession) -> Iterator[None]:
    """Watch the executors of ``spark`` during a block.

    Raise Unavailable, with the cluster's free resources, if there was work but no executor for the
    time of the setting ``spark.batchml.executors.timeout``. In local mode the driver does the work,
    and there is nothing to watch.
    """
    context = spark.sparkContext
    is_local = re.match(r"local(\[|$)", str(context.master))
    if is_local:
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
    timeout = str(context.getConf().get(TIMEOUT, DEFAULT_TIMEOUT))
    return ExecutorWatch(
        timeout=seconds_of(jvm, timeout),
        has_work=lambda: len(tracker.getActiveJobIds()) > 0,
        # The driver is in the list.
        executors=lambda: len(tracker.getExecutorInfos()) - 1,
        give_up=context.cancelAllJobs,
    )


def seconds_of(jvm: Any, text: str) -> float:
    """Return the seconds of a Spark duration such as ``300s``.

    Raise BadConfig if ``text`` is not a duration.
    """
    try:
        milliseconds = getattr(jvm, JAVA_UTILS).timeStringAsMs(text)
    except Py4JError as error:
        raise BadConfig(
            f"{TIMEOUT} is {text!r}, not a duration",
            remedy=f"set it to {DEFAULT_TIMEOUT}, or 5m",
        ) from error
    return float(milliseconds) / 1000


def _look_until(ended: threading.Event, watch: ExecutorWatch) -> None:
    while not ended.wait(SECONDS_BETWEEN_LOOKS):
        try:
            watch.look()
        except Py4JError:
            # If the application is ending, its job reports why. If not, the next look succeeds.
            logging.getLogger("batchml").debug("the executors cannot be counted", exc_info=True)


def no_executors(spark: SparkSession, seconds: float) -> Unavailable:
    """Return the error of a job that had no executors for ``seconds``."""
    conf = spark.sparkContext.getConf()
    requested = [f"{key}={conf.get(key)}" for key in REQUESTED if conf.contains(key)]
    page = os.environ.get("BATCHML_SPARK_MASTER_PAGE", "")
    return Unavailable(
        f"no executor for {seconds:g} s: the cluster did not start one for this job, or lost them "
        "all",
        f"requested: {', '.join(requested)}",
        *offers(page),
        remedy="start workers with enough free cores and memory, end jobs that use them, or "
        "request less; if the driver runs on another machine than the master, set SPARK_LOCAL_IP "
        f"to an address the workers reach; {TIMEOUT} sets how long a job waits",
    )


def offers(page: str) -> list[str]:
    """Return one line about the cluster's free resources, from the master's page.

    Return nothing without a page.
    """
    if not page:
        return []
    try:
        response = requests.get(f"{page}/json/", timeout=10)
        response.raise_for_status()
        known = response.json()["workers"]
        workers = [worker for worker in known if worker["state"] == "ALIVE"]
    except (requests.RequestException, ValueError, KeyError) as error:
        return [f"the master's page {page} does not respond: {type(error).__name__}"]

    total = dict.fromkeys(RESOURCES, 0)
    for worker in workers:
        for resource in RESOURCES:
            total[resource] += worker[resource]
    cores = f"{total['coresfree']} of {total['cores']} cores"
    memory = f"{total['memoryfree'] / GIB:.1f} of {total['memory'] / GIB:.1f} GiB"
    return [f"the cluster offers: {len(workers)} workers, {cores} and {memory} free"]
