"""Open and close the Spark session of a job.

Most settings come from ``conf/spark`` and the submit command.
"""

from contextlib import suppress
from typing import Any

from py4j.protocol import Py4JError
from pyspark.sql import SparkSession

from batchml.job_specs import Spark

SETTINGS: dict[Spark, dict[str, bool | float | int | str | None]] = {
    "none": {},
    "no executors": {
        "spark.dynamicAllocation.enabled": "true",
        "spark.executor.cores": "1",
    },
    "full": {},
    "every worker": {"spark.cores.max": "1000000"},
}
# Classes and packages that PySpark requests from Java with every column, frame and model. Each
# request is a round trip, and for a name without a dot Java first searches all of Spark's jars.
FREQUENT_NAMES = (
    "java",
    "org",
    "functions",
    "PythonSQLUtils",
    "PythonUtils",
    "org.apache.spark.sql.functions",
    "org.apache.spark.sql.classic.SparkSession",
)


def open_session(name: str, needs: Spark) -> SparkSession:
    """Start the session of a job.

    ``name`` is shown in the Spark UI, ``needs`` are the executors of the job. The session's time
    zone is UTC, so that a file's zoned timestamps mean the same on every machine. Wall-clock
    columns are TIMESTAMP_NTZ, which has no zone.
    """
    builder = SparkSession.builder.appName(name)
    builder = builder.config("spark.sql.session.timeZone", "UTC")
    builder = builder.config(map=SETTINGS[needs])
    spark = builder.getOrCreate()
    remember_names(spark)
    return spark


def close_session(spark: SparkSession) -> None:
    """Stop the session.

    A JVM that has ended already must not hide the error that ended the job.
    """
    with suppress(Py4JError, ConnectionError):
        spark.stop()


def remember_names(spark: SparkSession) -> None:
    """Store the JVM's frequent classes and packages as attributes, where PySpark looks them up."""
    jvm: Any = spark.sparkContext._jvm
    for name in FREQUENT_NAMES:
        loaded = getattr(jvm, name)
        setattr(jvm, name, loaded)
