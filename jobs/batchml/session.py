"""The Spark session of a job. Its settings come from ``conf/spark`` and the submit command, not from here."""

from pyspark.sql import SparkSession

# What one job needs otherwise than all others.
SETTINGS = {
    "preflight": {"spark.cores.max": "1000000"},  # all cores, so that every worker gives an executor
}
# Spark starts executors only once there is work for them.
IDLE = {"spark.dynamicAllocation.enabled": "true", "spark.executor.cores": "1"}


def open_session(job: str, name: str, *, idle: bool = False) -> SparkSession:
    """The session of a job, by the name the Spark UI shows; ``idle`` if it has no work for executors.

    The session's time zone is UTC so that a file's zoned timestamps mean the same on every machine; wall-clock
    columns are TIMESTAMP_NTZ and never see it.
    """
    builder = SparkSession.builder.appName(name).config("spark.sql.session.timeZone", "UTC")
    return builder.config(map={**SETTINGS.get(job, {}), **(IDLE if idle else {})}).getOrCreate()
