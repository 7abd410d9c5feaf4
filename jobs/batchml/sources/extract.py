"""What every source is asked and what it gives back."""

import datetime as dt
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import pairwise

from py4j.protocol import Py4JJavaError
from pyspark.errors import PySparkException
from pyspark.sql import DataFrame, SparkSession

from batchml.config import Pipeline
from batchml.errors import BadConfig, BadData, Unavailable

# How Spark says that it is the file, and not the way to it, that is at fault.
FILE_FAULTS = (
    *("CANNOT_READ_FILE_FOOTER", "PARQUET_", "Illegal Parquet type", "ParquetDecodingException"),
    *("MALFORMED_", "CSV header"),
)
WAY_FAULTS = ("FAILED_READ_FILE", "java.sql.SQL", "PSQLException")
# How it says that a condition of the YAML has no answer for some row: by standard SQL that is an error, not null.
NO_ANSWER = ("[DIVIDE_BY_ZERO]", "[CAST_INVALID_INPUT]", "[ARITHMETIC_OVERFLOW]", "[NUMERIC_VALUE_OUT_OF_RANGE")


@dataclass(frozen=True)
class Request:
    """The rows of ``start`` to ``end``, both inclusive."""

    spark: SparkSession
    pipeline: Pipeline
    landing: str
    start: dt.date
    end: dt.date
    clock: Callable[[], float]
    """Seconds that never go back: what a source's answer may take is counted with it."""


@dataclass(frozen=True)
class Extract:
    """The rows as received, in bronze's columns plus the booleans ``in_period`` and ``fits``: whether the row was of
    the declared form at all (if not, its text stands in ``undeclared``).

    ``dates`` are those of the request that the source could answer for, with rows or without.
    ``differences`` lists where a file's schema departed from the declared one, ``missing`` the files not there.
    """

    frame: DataFrame
    dates: frozenset[dt.date]
    differences: tuple[str, ...]
    missing: tuple[str, ...]


@contextmanager
def reading(what: str) -> Iterator[None]:
    """Around the moment Spark really reads: a fault of the file becomes BadData that names ``what``, a fault on the way
    to it Unavailable, and a check that cannot be computed BadConfig."""
    try:
        yield
    except (Py4JJavaError, PySparkException) as error:
        lines = [line.strip() for line in str(error).splitlines()]
        if faults := _telling_of(FILE_FAULTS, lines):
            remedy = "the file is damaged or of another format: deliver it again"
            raise BadData(f"{what} cannot be read", faults[0], remedy=remedy) from error
        if failures := _telling_of(WAY_FAULTS, lines):
            raise Unavailable(f"{what} could not be read", failures[0], *_causes(lines)) from error
        if failures := _telling_of(NO_ANSWER, lines):
            raise BadConfig(
                f"{what}: a check cannot be computed of every row",
                *(below for line, below in pairwise(lines) if line.startswith("== SQL")),
                failures[0],
                remedy="write it with try_divide(a, b) or try_cast(a AS INT): without an answer the row is kept apart",
            ) from error
        raise


def _telling_of(faults: tuple[str, ...], lines: list[str]) -> list[str]:
    return [line for line in lines if any(fault in line for fault in faults)]


def _causes(lines: list[str]) -> list[str]:
    """The root of a Java stack trace, which is the last one named."""
    return [line for line in lines if line.startswith("Caused by:")][-1:]
