"""Recognise failures of the Spark cluster by the words that Spark 4.2 uses."""

import pytest
from py4j.protocol import Py4JNetworkError

from batchml.errors import BadData, Unavailable
from batchml.spark.executor_watch import ExecutorWatch
from batchml.spark.faults import cluster_fault, headline

TRACE = "\n\tat org.apache.spark.scheduler.DAGScheduler.abortStage(DAGScheduler.scala:2935)" * 40
BARRIER = (
    "An error occurred while calling z:org.apache.spark.api.python.PythonRDD.collectAndServe.\n"
    ": org.apache.spark.SparkException: Job aborted due to stage failure: Could not recover from a "
    "failed barrier ResultStage. Most recent failure reason: Stage failed because barrier task "
    "ResultTask(27, 0) finished unsuccessfully.\n"
)
LOST = "ExecutorLostFailure (executor 0 exited caused by one of the running tasks) Reason: "
PYTHON = "org.apache.spark.api.python.PythonException: Traceback (most recent call last):\n"


@pytest.mark.parametrize(
    ("text", "message", "reason"),
    [
        (
            BARRIER + LOST + "Command exited with code 52",
            "executors ran out of memory",
            "Reason: Command exited",
        ),
        (
            LOST + "Command exited with code 3",
            "executors ran out of memory",
            "Reason: Command exited with code 3",
        ),
        (
            LOST + "Command exited with code 137",
            "executors were killed",
            "Reason: Command exited with code 137",
        ),
        (
            BARRIER + LOST + "worker lost: Not receiving heartbeat",
            "executors were lost",
            "Reason: worker lost",
        ),
        (
            LOST + "Executor heartbeat timed out after 131 ms",
            "executors were lost",
            "Reason: Executor heartbeat",
        ),
        (
            BARRIER,
            "a task of the distributed training was lost",
            "Most recent failure reason: Stage failed",
        ),
        (
            BARRIER
            + PYTHON
            + "xgboost.core.XGBoostError: [03:40:50] collective/socket.h: Connection reset by peer",
            "a task of the distributed training was lost",
            "Most recent failure reason",
        ),
        (
            "org.apache.spark.SparkException: Exiting due to error from cluster scheduler: "
            "All masters are unresponsive! Giving up.",
            "the Spark master does not respond, or ended this application",
            "All masters are unresponsive! Giving up.",
        ),
        (
            "Job aborted due to stage failure: Master removed our application: FAILED",
            "the Spark master does not respond, or ended this application",
            "Master removed our application: FAILED",
        ),
        (
            "Job 3 cancelled because SparkContext was shut down",
            "the Spark master does not respond, or ended this application",
            "",
        ),
        ("java.lang.OutOfMemoryError: Java heap space", "Spark ran out of memory", ""),
        (
            "Not enough memory to build and broadcast the table",
            "the driver's JVM ran out of memory",
            "",
        ),
        ("java.io.IOException: No space left on device", "a disk is full", ""),
        (
            "Python worker exited unexpectedly (crashed)",
            "a Python process of an executor ended unexpectedly",
            "",
        ),
    ],
)
def test_cluster_fault_is_explained_without_trace(text: str, message: str, reason: str):
    fault = cluster_fault(RuntimeError(text + TRACE))
    assert isinstance(fault, Unavailable)
    assert fault.message == message
    assert "".join(fault.details).startswith(reason)
    assert "\n" not in "".join(fault.details)
    assert "DAGScheduler" not in str(fault)
    assert fault.remedy


def test_fault_behind_another_error_is_recognised():
    try:
        try:
            raise RuntimeError(LOST + "worker lost")
        except RuntimeError as error:
            raise ValueError("the model cannot be fitted") from error
    except ValueError as error:
        fault = cluster_fault(error)
    assert fault is not None
    assert fault.message == "executors were lost"


def test_suppressed_cause_is_ignored():
    try:
        try:
            raise RuntimeError(LOST + "worker lost")
        except RuntimeError:
            raise KeyError("column") from None
    except KeyError as error:
        assert cluster_fault(error) is None


def test_lost_jvm_is_recognised():
    fault = cluster_fault(Py4JNetworkError("Answer from Java side is empty"))
    assert fault is not None
    assert fault.message == "the driver's JVM has ended"


@pytest.mark.parametrize(
    "error",
    [
        RuntimeError(BARRIER + PYTHON + "ValueError: label must be in [0, 1]"),
        RuntimeError(BARRIER + PYTHON + "KeyError: 'tracker_id' in collective_model.py"),
        RuntimeError(BARRIER + PYTHON + "xgboost.core.XGBoostError: Check failed: max_depth > 0"),
        RuntimeError(PYTHON + "ValueError: status 'Worker lost' is not known"),
        RuntimeError(
            "[CAST_INVALID_INPUT] The value 'ExecutorLostFailure (executor 1 exited' cannot be cast"
        ),
        ValueError("a value is wrong"),
        ConnectionRefusedError("another server"),
        BadData("the file is damaged"),
    ],
)
def test_other_errors_are_not_cluster_faults(error: Exception):
    assert cluster_fault(error) is None


def test_headline_of_an_error_has_no_trace():
    assert headline(ValueError("one" + TRACE)) == "ValueError: one"


class Cluster:
    """An application whose executors and work a test sets, with a clock."""

    def __init__(self) -> None:
        self.has_work, self.executors, self.now, self.cancelled = True, 0, 0.0, 0

    def watch(self, timeout: float) -> ExecutorWatch:
        def cancel() -> None:
            self.cancelled += 1

        return ExecutorWatch(
            timeout, lambda: self.has_work, lambda: self.executors, cancel, lambda: self.now
        )


def test_work_without_executors_ends_after_timeout():
    cluster = Cluster()
    watch = cluster.watch(timeout=10)
    for cluster.now in (0, 5, 9.9):
        watch.look()
    assert (watch.gave_up, cluster.cancelled) == (False, 0)
    cluster.now = 10
    watch.look()
    assert (watch.gave_up, cluster.cancelled) == (True, 1)


@pytest.mark.parametrize("pause", ["has_work", "executors"])
def test_timeout_counts_only_while_work_waits(pause: str):
    cluster = Cluster()
    watch = cluster.watch(timeout=10)
    watch.look()
    cluster.now = 9
    cluster.has_work, cluster.executors = pause != "has_work", int(pause == "executors")
    watch.look()
    cluster.has_work, cluster.executors, cluster.now = True, 0, 11
    watch.look()
    assert not watch.gave_up
    cluster.now = 21
    watch.look()
    assert watch.gave_up
