"""The Spark session of a job. Its settings come from ``conf/spark`` and the submit command, not from here."""

from contextlib import suppress
from typing import Any

from py4j.protocol import Py4JError
from pyspark.sql import SparkSession

from batchml.job_specs import Spark

SETTINGS: dict[Spark, dict[str, bool | float | int | str | None]] = {
    "none": {},
    "no executors": {"spark.dynamicAllocation.enabled": "true", "spark.executor.cores": "1"},
    "full": {},
    "every worker": {"spark.cores.max": "1000000"},
}
# Classes that PySpark asks Java for with every column and frame: a round trip each, and by a short name Java looks into
# every one of Spark's jars for a class of that name first.
ASKED_FOR = (
    "functions",
    "PythonUtils",
    "org.apache.spark.sql.functions",
    "org.apache.spark.sql.classic.SparkSession",
)


def open_session(name: str, needs: Spark) -> SparkSession:
    """Start the session of a job under the ``name`` that the Spark UI shows, with the executors that it ``needs``.

    The session's time zone is UTC so that a file's zoned timestamps mean the same on every machine. Wall-clock
    columns are TIMESTAMP_NTZ, which has no zone.
    """
    builder = SparkSession.builder.appName(name).config("spark.sql.session.timeZone", "UTC")
    spark = builder.config(map=SETTINGS[needs]).getOrCreate()
    remember_classes(spark)
    return spark


def close_session(spark: SparkSession) -> None:
    """Stop the session. A JVM that is gone already must not hide the error that ended the job."""
    with suppress(Py4JError, ConnectionError):
        spark.stop()


def remember_classes(spark: SparkSession) -> None:
    """Store the JVM classes named above as attributes, where PySpark looks them up."""
    jvm: Any = spark.sparkContext._jvm
    for name in ASKED_FOR:
        setattr(jvm, name, getattr(jvm, name))
