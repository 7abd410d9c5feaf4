"""preflight: check driver, every executor, the lake and MLflow, and state a remedy per failure."""

import datetime as dt
import os
from collections.abc import Iterator

from py4j.protocol import Py4JJavaError
from pyspark.errors import PySparkException
from pyspark.sql import functions as F
from pyspark.sql.types import DateType, LongType, StructField, StructType

from batchml.clients import storage
from batchml.context import Run, Summary
from batchml.errors import PipelineError, Unavailable, without_secrets
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
SCHEMA = StructType([StructField("event_date", DateType()), StructField("n", LongType())])


def run(job: Run) -> Summary:
    """Run every check, also after a failure. Raise Unavailable with all failures and remedies."""
    findings: list[CheckResult] = []
    for name, check in (("executors", _executors), ("lake", _lake), ("mlflow", _mlflow)):
        with job.phase(name):
            try:
                findings += check(job)
            except PipelineError as error:
                findings.append(
                    CheckResult(
                        name, False, "; ".join((error.message, *error.details)), error.remedy
                    )
                )
    for finding in findings:
        result = "FAILED"
        if finding.ok:
            result = "ok"
        job.log("%-6s %-10s %s", result, finding.check, finding.observed)

    failed = [finding for finding in findings if not finding.ok]
    if failed:
        raise Unavailable(
            f"{len(failed)} of {len(findings)} checks failed",
            *(f"{finding.check}: {finding.observed}" for finding in failed),
            remedy="\n  ".join(
                dict.fromkeys(finding.remedy for finding in failed if finding.remedy)
            ),
        )
    details = PreflightDetails(**{finding.check: finding.observed for finding in findings})
    return Summary(details=details)


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
    lake = Lake(
        job.spark,
        job.places.lake,
        f"_preflight/{application}",
        {"job": "preflight", "run": application},
    )
    remedy = "give driver and executors the same volume at the same path, and the same user"
    try:
        lake.require_writable()
        rows = job.spark.range(ROWS, numPartitions=4).select(
            F.lit(DAY).alias("event_date"), F.col("id").alias("n")
        )
        version = lake.replace("rows", rows, SCHEMA, [DAY])
        read = lake.read("rows", DAY, DAY, version).count()
        found = f"{job.places.lake}: wrote {ROWS} rows, read {read} back"
        yield CheckResult("lake", read == ROWS, found, remedy)
    except (Py4JJavaError, PySparkException) as error:
        yield CheckResult("lake", False, f"{job.places.lake}: {str(error).splitlines()[0]}", remedy)
    finally:
        storage.delete(job.spark, storage.join(job.places.lake, "_preflight", application))


def _mlflow(job: Run) -> Iterator[CheckResult]:
    text = f"preflight {job.application}"
    answer = open_tracker("preflight", job.places).round_trip(text)
    server = without_secrets(job.places.tracking_uri)
    result = "changed"
    if answer == text:
        result = "as it was"
    yield CheckResult(
        "mlflow",
        answer == text,
        f"{server}: an artifact comes back {result}",
        "read the server's log, and check that its --artifacts-destination stores artifacts",
    )
