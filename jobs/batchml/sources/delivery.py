"""What every source is asked for, and what it delivers: rows with their place, and a record of each delivery."""

import datetime as dt
import re
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import reduce
from itertools import pairwise

from py4j.protocol import Py4JJavaError
from pyspark.errors import PySparkException
from pyspark.sql import Column, DataFrame, Observation, SparkSession
from pyspark.sql import functions as F

from batchml.clients.stored_files import Fingerprint
from batchml.config import Pipeline
from batchml.config.sources import DatedSource, days_between
from batchml.errors import BadConfig, BadData, Unavailable
from batchml.rows import schemas
from batchml.rows.conform import Conformed, Form
from batchml.rows.dates import is_one_of
from batchml.rows.reasons import no_reasons

# Columns of a source's rows besides its own. The mark in front keeps them apart from any name of a publisher's.
ROW = "batchml: row"
MALFORMED = "batchml: malformed"  # the text of a row that is malformed, else null
OTHERS = "batchml: others"  # JSON of columns that the source leaves out otherwise; a source need not have it

# How Spark reports that the file itself is at fault, and not the way to it.
DAMAGE = (
    *("CANNOT_READ_FILE_FOOTER", "is not a Parquet file", "ParquetDecodingException", "MALFORMED_"),
    *(
        "EOFException",
        "ZipException",
        "CorruptedFile",
        "ParquetCryptoRuntimeException",
        "Can not read value at",
    ),
    # Of bytes that are wrong inside a file: its decompressors, the reader of its pages, and what reads past their end.
    *(
        "FAILED_TO_UNCOMPRESS",
        "DataFormatException",
        "ZstdIOException",
        "CRC failure",
        "incorrect header check",
    ),
    *(
        "invalid distance",
        "invalid stored block",
        "invalid code",
        "invalid block type",
        "invalid literal/length",
    ),
    *(
        "TProtocolException",
        "IndexOutOfBoundsException",
        "NegativeArraySizeException",
        "BufferUnderflowException",
    ),
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
# What PostgreSQL itself says about a statement, but for what another attempt may not meet.
QUERY_FAULT = "PSQLException: ERROR: "
PASSING = (
    "canceling statement",
    "deadlock detected",
    "could not serialize",
    "out of memory",
    "No space left",
)
WAY_FAULTS = ("FAILED_READ_FILE", "java.sql.SQL", "PSQLException")
# How it reports that a condition of the YAML has no answer for some row: by standard SQL that is an error, not null.
NO_ANSWER = (
    "[DIVIDE_BY_ZERO]",
    "[CAST_INVALID_INPUT]",
    "[ARITHMETIC_OVERFLOW]",
    "[NUMERIC_VALUE_OUT_OF_RANGE",
)


@dataclass(frozen=True)
class Request:
    """The rows of ``dates``, which are from ``start`` to ``end``, both inclusive."""

    spark: SparkSession
    pipeline: Pipeline
    landing: str
    start: dt.date
    end: dt.date
    clock: Callable[[], float]
    """Seconds that never go back: how long a source takes to respond is measured with it."""
    scratch: str = ""
    """A folder for temporary files that driver and executors share."""
    places: Mapping[str, dt.date] = field(default_factory=dict)
    """The date under which the leftovers of a snapshot are stored already, by the snapshot's name."""
    only: frozenset[dt.date] | None = None
    """The dates that are requested; None for all from ``start`` to ``end``."""
    now: Callable[[], float] = time.time

    @property
    def dates(self) -> list[dt.date]:
        """Return the requested dates, in order."""
        dates = days_between(self.start, self.end)
        return dates if self.only is None else [date for date in dates if date in self.only]


@dataclass(frozen=True)
class Delivery:
    """The rows of one period, in the columns of an Extract but for ``event_date``, which is null for leftovers.

    Leftovers are rows that belong to no date of the period. ``rows`` is how many rows there are, if the source knows it
    without reading them.
    """

    name: str
    frame: DataFrame
    rows: int | None = None
    fingerprint: Fingerprint | None = None
    differences: tuple[str, ...] = ()


@dataclass(frozen=True)
class RowsRead:
    """Rows of a delivery: with a date in its period, without one, and of the requested dates."""

    dated: int
    leftover: int
    requested: int


@dataclass(frozen=True)
class Received:
    """One delivery as it was received. ``place`` is the date under which its leftovers are stored."""

    name: str
    place: dt.date
    rows: int | None
    fingerprint: Fingerprint | None
    observation: Observation | None
    """Counts its rows while they are read; None if it has none, or all are of the one date."""
    query: DataFrame | None
    """Counts them again."""

    def rows_read(self) -> RowsRead | None:
        """Return how many rows were read. Wait for the first action on the extract."""
        return None if self.observation is None else RowsRead(**self.observation.get)

    def count_again(self) -> RowsRead | None:
        """Read the delivery once more, and count its rows.

        What Spark observes counts the rows of a task twice that ran twice, as after a lost executor.
        """
        return None if self.query is None else RowsRead(**self.query.collect()[0].asDict())


@dataclass(frozen=True)
class Extract:
    """All rows of the deliveries, in bronze's columns and those of a row's state.

    - the booleans ``in_period`` (False: a leftover) and ``fits`` (False: the row is malformed, and its text is in
      ``undeclared``),
    - ``misfits``, the reasons of cells that do not fit their columns.

    ``dates`` are those of the request that the source could answer for, with rows or without.
    ``differences`` lists where a schema departed from the declared one, ``missing`` the files that do not exist.
    """

    frame: DataFrame
    dates: frozenset[dt.date]
    differences: tuple[str, ...]
    missing: tuple[str, ...]
    deliveries: tuple[Received, ...]


def form_of(pipeline: Pipeline) -> Form:
    """Return how the pipeline's source writes its values."""
    source = pipeline.source
    return Form(getattr(source, "nulls", ()), getattr(source, "formats", {}), source.time_zone)


def to_extract_columns(
    raw: DataFrame, conformed: Conformed, source: DatedSource, first_day: dt.date, name: str
) -> DataFrame:
    """Return the columns of an Extract, of rows that have ``ROW`` and ``MALFORMED`` besides the source's own."""
    fits = F.col(f"`{MALFORMED}`").isNull()
    text = F.to_json(F.struct(F.col(f"`{MALFORMED}`").alias("malformed_line")))
    others = F.col(f"`{OTHERS}`") if OTHERS in raw.columns else F.lit(None).cast("string")
    frame = conformed.compute(raw).select(
        F.lit(name).alias("source_file"),
        F.col(f"`{ROW}`").cast("long").alias("source_row"),
        F.when(fits, _both(others, conformed.leftovers)).otherwise(text).alias(schemas.UNDECLARED),
        fits.alias("fits"),
        F.when(fits, conformed.reasons).otherwise(no_reasons()).alias("misfits"),
        *conformed.values,
    )
    date = event_date(source, first_day)
    return frame.withColumns({"event_date": date, "in_period": date.isNotNull()})


def _both(first: Column, second: Column) -> Column:
    """Return two JSON objects, each of which may be null, as one."""
    joined = F.concat(F.regexp_replace(first, r"\}$", ","), F.regexp_replace(second, r"^\{", ""))
    return F.coalesce(joined, first, second)


def event_date(source: DatedSource, first_day: dt.date) -> Column:
    """Return the date a row belongs to; null if it has none inside the period that begins on ``first_day``."""
    if source.event_time is None:
        return F.lit(first_day)
    day = F.to_date(source.event_time)
    match source.period:
        case "snapshot":
            return day
        case "day":
            return F.when(day == F.lit(first_day), day)
        case "month" | "year":
            return F.when(F.trunc(day, source.period) == F.lit(first_day), day)


def requested_periods(request: Request) -> list[dt.date]:
    """Return the first days of the periods that contain a date of the range.

    A snapshot is read again for every date it is stored for, unless its rows carry their own date.
    """
    source = request.pipeline.source
    if source.period == "snapshot" and source.event_time is not None:
        return [request.start]
    return list(dict.fromkeys(source.first_day(day) for day in request.dates))


def combine(
    request: Request, delivered: Mapping[dt.date, Delivery], missing: Sequence[str]
) -> Extract:
    """Return the rows of deliveries, which are given by the first day of their period."""
    received: list[Received] = []
    frames: list[DataFrame] = []
    for first_day, delivery in delivered.items():
        place = _place(request, delivery.name, first_day)
        frame, observation, query = delivery.frame, None, None
        # Spark would not even look at a frame that is empty, and never report its counts.
        if request.pipeline.source.event_time is not None and delivery.rows != 0:
            observation = Observation()
            requested = is_one_of(request.dates)
            counts = (
                F.count_if("in_period").alias("dated"),
                F.count_if(~F.col("in_period")).alias("leftover"),
                F.count_if(F.col("in_period") & requested).alias("requested"),
            )
            query = frame.select(*counts)
            frame = frame.observe(observation, *counts)
        frames.append(frame.withColumn("event_date", F.coalesce("event_date", F.lit(place))))
        received.append(
            Received(delivery.name, place, delivery.rows, delivery.fingerprint, observation, query)
        )
    differences = [
        difference for delivery in delivered.values() for difference in delivery.differences
    ]
    return Extract(
        reduce(DataFrame.unionByName, frames),
        _covered(request, delivered),
        tuple(dict.fromkeys(differences)),
        tuple(missing),
        tuple(received),
    )


def _place(request: Request, name: str, first_day: dt.date) -> dt.date:
    source = request.pipeline.source
    if source.period == "snapshot" and source.event_time is not None:
        return request.places.get(name, first_day)
    return first_day


def _covered(request: Request, delivered: Iterable[dt.date]) -> frozenset[dt.date]:
    """Return the dates of the request that the source could answer for."""
    source = request.pipeline.source
    days = request.dates
    if source.period == "snapshot" and source.event_time is not None:
        return frozenset(days)
    return frozenset(day for day in days if source.first_day(day) in delivered)


@contextmanager
def reading(what: str) -> Iterator[None]:
    """Translate Spark's errors around the moment it really reads ``what``.

    A fault of the file becomes BadData, a fault on the way to it Unavailable, and a check that cannot be computed
    BadConfig.
    """
    try:
        yield
    except (Py4JJavaError, PySparkException) as error:
        lines = [line.strip() for line in str(error).splitlines()]
        raise_for_file(what, lines, error)
        if failures := [
            line for line in _about((QUERY_FAULT,), lines) if not _about(PASSING, [line])
        ]:
            raise BadConfig(
                f"{what}: the query of the source has no answer for some row",
                failures[0].partition(QUERY_FAULT)[2],
                remedy="correct source.query, or the rows in the database",
            ) from error
        if failures := _about(WAY_FAULTS, lines):
            raise Unavailable(f"{what} could not be read", failures[0], *_causes(lines)) from error
        if failures := _about(NO_ANSWER, lines):
            raise BadConfig(
                f"{what}: a check cannot be computed of every row",
                *(below for line, below in pairwise(lines) if line.startswith("== SQL")),
                failures[0],
                remedy="write it with try_divide(a, b) or try_cast(a AS INT): a row without an answer is quarantined",
            ) from error
        raise


def raise_for_file(what: str, lines: list[str], error: Exception) -> None:
    """Raise BadData if Spark's lines about a failure are about the file itself."""
    if doubled := _about(("[COLUMN_ALREADY_EXISTS]",), lines):
        name = re.search(r"`(.*?)`", doubled[0])
        raise BadData(
            f"{what}: a column is there twice",
            f"{name[1]!r}, in spellings that differ in case only" if name else doubled[0],
            remedy="names differ in more than case: correct the file",
        ) from error
    if faults := _about(DAMAGE, lines):
        first = next(iter(_about(WAY_FAULTS, lines)), faults[0])
        raise BadData(
            f"{what} cannot be read",
            first,
            *_causes(lines),
            remedy="the file is damaged: deliver it again",
        ) from error
    if faults := _about(OUT_OF_RANGE, lines):
        raise BadData(
            f"{what}: a time is out of range",
            faults[0],
            remedy="correct the file: write null for a time without end",
        ) from error
    if faults := _about(TYPES, lines):
        raise BadData(
            f"{what}: a column has a type that cannot be read",
            faults[0],
            remedy=OTHER_TYPE,
        ) from error


def _about(faults: tuple[str, ...], lines: list[str]) -> list[str]:
    return [line for line in lines if any(fault in line for fault in faults)]


def _causes(lines: list[str]) -> list[str]:
    """Return the root of a Java stack trace, which is the last one named."""
    return [line for line in lines if line.startswith("Caused by:")][-1:]
