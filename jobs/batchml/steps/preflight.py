"""preflight: check driver, every executor, the lake and MLflow, and state a remedy per failure."""

import datetime as dt
import os
from collections.abc import Callable, Iterator, Sequence

from py4j.protocol import Py4JJavaError
from pyspark.errors import PySparkException
from pyspark.sql import functions as F
from pyspark.sql.types import DateType, LongType, StructField, StructType

from batchml.clients import storage
from batchml.context import Run, Summary
from batchml.errors import PipelineError, Unavailable, first_line, without_secrets
from batchml.job_line import PreflightDetails
from batchml.lake.tables import Lake
from batchml.spark import cluster
from batchml.spark.stack_checks import (
    CheckResult,
    check_clocks,
    check_disks,
    check_executors,
    check_software,
)
from batchml.tracking import open_tracker

ROWS = 1000
DAY = dt.date(2000, 1, 1)
Check = Callable[[Run], Iterator[CheckResult]]
SCHEMA = StructType(
    [
        StructField("event_date", DateType()),
        StructField("n", LongType()),
    ]
)


def run(job: Run) -> Summary:
    """Run every check, also after a failure. Raise Unavailable with all failures and remedies."""
    findings: list[CheckResult] = []
    for name, check in CHECKS.items():
        with job.phase(name):
            findings += _findings(job, name, check)
    for finding in findings:
        result = "FAILED"
        if finding.ok:
            result = "ok"
        job.log("%-6s %-10s %s", result, finding.check, finding.observed)

    failed = [finding for finding in findings if not finding.ok]
    if failed:
        raise _failure(failed, len(findings))
    details = PreflightDetails(**{finding.check: finding.observed for finding in findings})
    return Summary(details=details)


def _findings(job: Run, name: str, check: Check) -> list[CheckResult]:
    """Return the findings of ``check``, those before an error and the error itself."""
    findings: list[CheckResult] = []
    try:
        for finding in check(job):
            findings.append(finding)
    except PipelineError as error:
        reason = "; ".join((error.message, *error.details))
        findings.append(CheckResult(name, False, reason, error.remedy))
    return findings


def _failure(failed: Sequence[CheckResult], checks: int) -> Unavailable:
    """Return the error about the ``failed`` findings of ``checks`` ones, each remedy once."""
    reasons = [f"{finding.check}: {finding.observed}" for finding in failed]
    remedies = dict.fromkeys(finding.remedy for finding in failed if finding.remedy)
    return Unavailable(
        f"{len(failed)} of {checks} checks failed",
        *reasons,
        remedy="\n  ".join(remedies),
    )


def _executors(job: Run) -> Iterator[CheckResult]:
    page = os.environ.get("BATCHML_SPARK_MASTER_PAGE")
    alive: set[str] = set()
    if page:
        alive = cluster.alive_workers(page)
    registered = cluster.registered_executors(job.spark, expected=len(alive))
    lake = job.places.lake
    before = cluster.driver_info(lake)
    executors = cluster.executor_infos(job.spark, lake, len(registered))
    after = cluster.driver_info(lake)
    yield check_executors(alive, registered, len(executors))
    yield from check_software(after, executors)
    yield check_clocks(executors, before.epoch, after.epoch)
    yield check_disks([after, *executors])


def _lake(job: Run) -> Iterator[CheckResult]:
    """Check a table that executors write and the driver commits, read back by both."""
    application = job.application
    folder = f"_preflight/{application}"
    commit = {"job": "preflight", "run": application}
    lake = Lake(job.spark, job.places.lake, folder, commit)
    remedy = "give driver and executors the same volume at the same path, and the same user"
    # Outside of `try`: if this fails, there is nothing to delete.
    lake.require_writable()
    try:
        numbers = job.spark.range(ROWS, numPartitions=4)
        day = F.lit(DAY).alias("event_date")
        rows = numbers.select(day, F.col("id").alias("n"))
        version = lake.replace("rows", rows, SCHEMA, [DAY])
        read = lake.read("rows", DAY, DAY, version).count()
        report = f"{job.places.lake}: wrote {ROWS} rows, read {read} back"
        yield CheckResult("lake", read == ROWS, report, remedy)
    except (Py4JJavaError, PySparkException) as error:
        report = f"{job.places.lake}: {first_line(error)}"
        yield CheckResult("lake", False, report, remedy)
    finally:
        path = storage.join(job.places.lake, "_preflight", application)
        storage.delete(job.spark, path)


def _mlflow(job: Run) -> Iterator[CheckResult]:
    text = f"preflight {job.application}"
    returned = open_tracker("preflight", job.places).round_trip(text)
    server = without_secrets(job.places.tracking_uri)
    is_unchanged = returned == text
    result = "changed"
    if is_unchanged:
        result = "unchanged"
    yield CheckResult(
        "mlflow",
        is_unchanged,
        f"{server}: an artifact comes back {result}",
        "read the server's log, and check that its --artifacts-destination stores artifacts",
    )


CHECKS: dict[str, Check] = {"executors": _executors, "lake": _lake, "mlflow": _mlflow}
