"""What every source is asked and what it gives back."""

import datetime as dt
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from py4j.protocol import Py4JJavaError
from pyspark.errors import PySparkException
from pyspark.sql import DataFrame, SparkSession

from batchml.config import Pipeline
from batchml.errors import BadData

# How Spark says that it is the file, and not itself, that is at fault.
FILE_FAULTS = ("FAILED_READ_FILE", "MALFORMED_", "CSV header does not conform", "Illegal Parquet type", "PARQUET_")


@dataclass(frozen=True)
class Request:
    """The rows of ``start`` to ``end``, both inclusive."""

    spark: SparkSession
    pipeline: Pipeline
    landing: str
    start: dt.date
    end: dt.date


@dataclass(frozen=True)
class Extract:
    """The rows as received, in bronze's columns plus the boolean ``in_period``.

    ``differences`` lists where a file's schema departed from the declared one, ``missing`` the files not there.
    """

    frame: DataFrame
    differences: tuple[str, ...]
    missing: tuple[str, ...]


@contextmanager
def reading(what: str) -> Iterator[None]:
    """Around the moment Spark really reads: a fault of the file becomes BadData that names ``what``."""
    try:
        yield
    except (Py4JJavaError, PySparkException) as error:
        lines = [line.strip() for line in str(error).splitlines()]
        faults = [line for line in lines if any(fault in line for fault in FILE_FAULTS)]
        if not faults:
            raise
        raise BadData(
            f"{what} cannot be read",
            faults[0],
            remedy="the file is damaged or of another format: deliver it again",
        ) from error
