"""Translate Spark errors about a source: its data, its access or the configuration is at fault."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import pairwise

from py4j.protocol import Py4JJavaError
from pyspark.errors import PySparkException

from batchml.errors import BadConfig, BadData, Unavailable

# Spark reports with these words that the file itself is damaged.
DAMAGE = (
    "CANNOT_READ_FILE_FOOTER",
    "is not a Parquet file",
    "ParquetDecodingException",
    "MALFORMED_",
    "EOFException",
    "ZipException",
    "CorruptedFile",
    "ParquetCryptoRuntimeException",
    "Can not read value at",
    # Wrong bytes inside a file: errors of decompressors, of the reader of pages, and of reads past
    # the end.
    "FAILED_TO_UNCOMPRESS",
    "DataFormatException",
    "ZstdIOException",
    "CRC failure",
    "incorrect header check",
    "invalid distance",
    "invalid stored block",
    "invalid code",
    "invalid block type",
    "invalid literal/length",
    "TProtocolException",
    "IndexOutOfBoundsException",
    "NegativeArraySizeException",
    "BufferUnderflowException",
)
# The file cannot be opened at all, so that nothing is known of its content.
OUT_OF_REACH = (
    "Permission denied",
    "AccessControlException",
    "AccessDeniedException",
    "FileNotFoundException",
    "NoSuchFileException",
    "ConnectException",
    "SocketTimeoutException",
    "UnknownHostException",
    "SdkClientException",
    "Input/output error",
    "Stale file handle",
)
OUT_OF_RANGE = ("java.lang.ArithmeticException: long overflow",)
TYPES = (
    "PARQUET_TYPE_ILLEGAL",
    "PARQUET_TYPE_NOT_",
    "UNSUPPORTED_TIME_TYPE",
    "DECIMAL_PRECISION_EXCEEDS",
    "PARQUET_",
)
OTHER_TYPE = (
    "the file is sound; write the column with another type, such as text, a number or a timestamp"
)
# PostgreSQL reports an error of a statement like this. Another attempt may succeed after those of
# PASSING.
QUERY_FAULT = "PSQLException: ERROR: "
PASSING = (
    "canceling statement",
    "deadlock detected",
    "could not serialize",
    "out of memory",
    "No space left",
)
DATABASE_FAULTS = ("java.sql.SQL", "PSQLException")
UNREADABLE_FILE = ("FAILED_READ_FILE",)
# Spark reports with these words that a condition of the YAML cannot be computed for some row. By
# standard SQL that is an error, not null.
NOT_COMPUTABLE = (
    "[DIVIDE_BY_ZERO]",
    "[CAST_INVALID_INPUT]",
    "[ARITHMETIC_OVERFLOW]",
    "[NUMERIC_VALUE_OUT_OF_RANGE",
)


@contextmanager
def reading(what: str) -> Iterator[None]:
    """Translate Spark's errors around the moment it really reads ``what``.

    A fault of the file becomes BadData, of the access to it Unavailable, and a check that cannot be
    computed BadConfig.
    """
    try:
        yield
    except (Py4JJavaError, PySparkException) as error:
        lines = [line.strip() for line in str(error).splitlines()]
        # First, because a lost connection also ends in an EOFException, as a damaged file does.
        _raise_for_database(what, lines, error)
        raise_for_file(what, lines, error)
        faults = _about(UNREADABLE_FILE, lines)
        if faults:
            raise _out_of_reach(what, faults[0], lines) from error
        _raise_for_check(what, lines, error)
        raise


def _raise_for_database(what: str, lines: list[str], error: Exception) -> None:
    """Raise BadConfig if PostgreSQL rejects the query, Unavailable for any other of its errors."""
    faults = _about((QUERY_FAULT,), lines)
    lasting = [line for line in faults if not _about(PASSING, [line])]
    if lasting:
        raise BadConfig(
            f"{what}: the query of the source cannot be computed for some row",
            lasting[0].partition(QUERY_FAULT)[2],
            remedy="correct source.query, or the rows in the database",
        ) from error
    others = _about(DATABASE_FAULTS, lines)
    if others:
        raise Unavailable(
            f"{what} could not be read from its database",
            others[0],
            *_causes(lines),
            remedy="check that the database is up and can be reached, then run this job again; if "
            "the statement was cancelled, raise source.seconds",
        ) from error


def _out_of_reach(what: str, fault: str, lines: list[str]) -> Unavailable:
    return Unavailable(
        f"{what} could not be opened",
        fault,
        *_causes(lines),
        remedy="check that the file can be reached and may be read, then run this job again",
    )


def _raise_for_check(what: str, lines: list[str], error: Exception) -> None:
    """Raise BadConfig if a condition cannot be computed."""
    faults = _about(NOT_COMPUTABLE, lines)
    if faults:
        expressions = [below for line, below in pairwise(lines) if line.startswith("== SQL")]
        raise BadConfig(
            f"{what}: a check cannot be computed for every row",
            *expressions,
            faults[0],
            remedy="write it with try_divide(a, b) or try_cast(a AS INT): they return null, and a "
            "row for which a check is null fails it",
        ) from error


def raise_for_file(what: str, lines: list[str], error: Exception) -> None:
    """Raise BadData if Spark's lines about an error are about the file itself.

    Raise Unavailable if they say that the file could not be opened.
    """
    doubled = _about(("[COLUMN_ALREADY_EXISTS]",), lines)
    if doubled:
        raise BadData(
            f"{what}: a column occurs twice",
            _doubled_name(doubled[0]),
            remedy="correct the file: names must differ in more than case",
        ) from error

    damages = _about(DAMAGE, lines)
    obstacles = _about(OUT_OF_REACH, lines)
    if damages and obstacles:
        raise _out_of_reach(what, obstacles[0], lines) from error
    if damages:
        first = next(iter(_about(UNREADABLE_FILE, lines)), damages[0])
        raise BadData(
            f"{what} cannot be read",
            first,
            *_causes(lines),
            remedy="the file is damaged: deliver it again",
        ) from error

    times = _about(OUT_OF_RANGE, lines)
    if times:
        raise BadData(
            f"{what}: a time is out of range",
            times[0],
            remedy="correct the file: write null for a time without end",
        ) from error

    types = _about(TYPES, lines)
    if types:
        raise BadData(
            f"{what}: a column has a type that cannot be read",
            types[0],
            remedy=OTHER_TYPE,
        ) from error


def _doubled_name(line: str) -> str:
    name = re.search(r"`(.*?)`", line)
    if name is None:
        return line
    return f"{name[1]!r}, in spellings that differ in case only"


def _about(faults: tuple[str, ...], lines: list[str]) -> list[str]:
    return [line for line in lines if any(fault in line for fault in faults)]


def _causes(lines: list[str]) -> list[str]:
    """Return the root of a Java stack trace, which is the last one named."""
    causes = [line for line in lines if line.startswith("Caused by:")]
    return causes[-1:]
