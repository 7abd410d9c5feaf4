"""The Spark session of a job. Its settings come from ``conf/spark`` and the submit command, not from here."""

from collections.abc import Mapping

from pyspark.sql import SparkSession


def open_session(name: str, settings: Mapping[str, str]) -> SparkSession:
    """The session, by the name the Spark UI shows; ``settings`` are what one job needs otherwise than all others.

    The session's time zone is UTC so that a file's zoned timestamps mean the same on every machine; wall-clock
    columns are TIMESTAMP_NTZ and never see it.
    """
    builder = SparkSession.builder.appName(name).config("spark.sql.session.timeZone", "UTC")
    return builder.config(map=dict(settings)).getOrCreate()
