"""Recognise failures of the Spark cluster, which a rerun may cure, among the errors of a job."""

import re
from collections.abc import Iterator
from dataclasses import dataclass

from py4j.protocol import Py4JNetworkError

from batchml.errors import Unavailable

LONGEST_REASON = 300  # characters of Spark's own words in a message


@dataclass(frozen=True)
class Fault:
    """A kind of failure: the words Spark uses for it, and the message a user reads instead."""

    pattern: re.Pattern[str]
    message: str
    remedy: str


# The first match wins: a loss explains more than the cancellation that follows it. Exit codes of an
# executor are 3 from -XX:+ExitOnOutOfMemoryError, 52 from Spark, and 137 after SIGKILL.
FAULTS = (
    Fault(
        re.compile(
            r"ExecutorLostFailure \(executor \S+ exited.*exited with code (?:3|52)\b", re.DOTALL
        ),
        "executors ran out of memory",
        "raise spark.executor.memory, for example --executor-memory 2g, or run fewer dates at once",
    ),
    Fault(
        re.compile(r"ExecutorLostFailure \(executor \S+ exited.*exited with code 137\b", re.DOTALL),
        "executors were killed",
        "rerun; if it happens again, the memory of the worker's machine or container ran out: "
        "raise it (SPARK_WORKER_LIMIT in .env), or lower spark.executor.memory",
    ),
    Fault(
        re.compile(r"Not enough memory to build and broadcast"),
        "the driver's JVM ran out of memory",
        "raise spark.driver.memory, for example --driver-memory 4g",
    ),
    Fault(
        re.compile(r"java\.lang\.OutOfMemoryError|SparkOutOfMemoryError|Cannot allocate memory"),
        "Spark ran out of memory",
        "raise spark.executor.memory (in local mode spark.driver.memory), or run fewer dates at "
        "once",
    ),
    Fault(
        re.compile(r"No space left on device"),
        "a disk is full",
        "free space where the lake and Spark's local folders are (SPARK_LOCAL_DIRS), then rerun",
    ),
    Fault(
        re.compile(r"Python worker exited unexpectedly"),
        "a Python process of an executor ended unexpectedly",
        "rerun; if it happens again, its machine ran out of memory: lower spark.executor.memory, "
        "which leaves more for Python, or use a larger machine",
    ),
    Fault(
        re.compile(r"requires more slots than the total number of slots|BARRIER_STAGE_\w*SLOTS"),
        "the cluster has fewer free cores than the training needs at once",
        "start more workers, or lower spark.cores.max, then rerun",
    ),
    Fault(
        re.compile(
            r"ExecutorLostFailure \(executor \S+ exited|shuffle\.(?:Metadata)?FetchFailedException"
        ),
        "executors were lost",
        "check that the Spark master and its workers run, then rerun",
    ),
    Fault(
        re.compile(
            r"All masters are unresponsive|Master removed our application|"
            r"Application has been killed|stopped while waiting for backend|"
            r"SparkContext was shut ?down|on a stopped SparkContext"
        ),
        "the Spark master does not respond, or ended this application",
        "check that the Spark master runs, that --master names it, and that the job has its secret "
        "(_SPARK_AUTH_SECRET), then rerun",
    ),
    Fault(
        re.compile(r"failed barrier (?:Result|ShuffleMap)?Stage"),
        "a task of the distributed training was lost",
        "check that the Spark workers run, then rerun",
    ),
)
# The places where Spark quotes an error of Python code, which may contain any word.
QUOTED = re.compile(r"PythonException|Traceback \(most recent call last\)|\[[A-Z_]+\.?[A-Z_]*\] ")
# Tasks of one training communicate: the loss of one ends the others.
LOST_PEER = re.compile(
    r"XGBoostError.*(?:Connection (?:refused|reset|closed)|[Ss]ocket|[Tt]imed? ?out|"
    r"Failed to connect|peer)",
    re.DOTALL,
)
# The openings of Spark's own reasons, the most precise first.
REASONS = (
    re.compile(r"\bReason: .*"),
    re.compile(r"Master removed our application.*|All masters are unresponsive.*"),
    re.compile(r"[Mm]ost recent failure(?: reason)?: .*"),
)


def cluster_fault(error: BaseException) -> Unavailable | None:
    """Return the failure of the cluster behind ``error``, or None if the cluster did not fail."""
    for link in chain_of(error):
        if isinstance(link, Py4JNetworkError):
            return Unavailable(
                "the driver's JVM has ended",
                remedy="rerun; if it happens again, raise spark.driver.memory (--driver-memory 4g)",
            )
        text = words_of_spark(str(link))
        for fault in FAULTS:
            if fault.pattern.search(text):
                return Unavailable(fault.message, *reason_of(text), remedy=fault.remedy)
    return None


def words_of_spark(text: str) -> str:
    """Return ``text`` up to where it quotes Python code or a value, which may contain any word.

    A barrier stage that fails because of Python code does not count as a failure of the cluster,
    unless XGBoost lost another task of the same training.
    """
    quoted = QUOTED.search(text)
    if quoted is None or LOST_PEER.search(text, quoted.start()):
        return text
    return text[: quoted.start()].replace("failed barrier", "")


def chain_of(error: BaseException) -> Iterator[BaseException]:
    """Yield ``error`` and the errors it was raised from."""
    link: BaseException | None = error
    while link is not None:
        yield link
        context = link.__context__
        if link.__suppress_context__:
            context = None
        link = link.__cause__ or context


def reason_of(text: str) -> list[str]:
    """Return Spark's own reason as one line, or nothing if it states none."""
    for pattern in REASONS:
        reason = pattern.search(text)
        if reason is not None:
            return [reason[0].strip()[:LONGEST_REASON]]
    return []


def headline(error: BaseException) -> str:
    """Return the type and the first line of ``error``, without the Java trace that follows."""
    java = getattr(error, "java_exception", None)
    if java is None:
        text = f"{type(error).__name__}: {error}"
    else:
        text = str(java.toString())
    lines = text.splitlines()
    return lines[0] if lines else ""
