"""Define requests to a source and their result: rows with dates, and a record per delivery."""

import datetime as dt
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from functools import reduce

from pyspark.sql import Column, DataFrame, Observation, SparkSession
from pyspark.sql import functions as F

from batchml.clients.stored_files import Fingerprint
from batchml.config import Pipeline
from batchml.config.sources import DatedSource, days_between
from batchml.rows import schemas
from batchml.rows.columns import column
from batchml.rows.conform import Conformed, Form
from batchml.rows.dates import is_one_of
from batchml.rows.reasons import no_reasons

# Columns that a source adds to those of the publisher. No publisher uses this prefix.
ROW = "batchml: row"
MALFORMED = "batchml: malformed"  # the text of a row that is malformed, else null
OTHERS = "batchml: others"  # optional: JSON of columns that the source leaves out otherwise


@dataclass(frozen=True)
class Request:
    """The rows of ``dates``, which are from ``start`` to ``end``, both inclusive."""

    spark: SparkSession
    pipeline: Pipeline
    landing: str
    start: dt.date
    end: dt.date
    clock: Callable[[], float]
    """Seconds that never go back, to measure the response time of a source."""
    scratch: str = ""
    """A folder for temporary files that driver and executors share."""
    places: Mapping[str, dt.date] = field(default_factory=dict)
    """The date under which a snapshot's leftovers are already stored, by the snapshot's name."""
    only: frozenset[dt.date] | None = None
    """The dates that are requested; None for all from ``start`` to ``end``."""
    now: Callable[[], float] = time.time

    @property
    def dates(self) -> list[dt.date]:
        """Return the requested dates, in order."""
        dates = days_between(self.start, self.end)
        if self.only is None:
            return dates
        return [date for date in dates if date in self.only]


@dataclass(frozen=True)
class Delivery:
    """The rows of one period, in the columns of an Extract.

    ``event_date`` is null for leftovers: rows that do not belong to a date of the period. ``rows``
    is the number of rows, if the source knows it without reading them.
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
    """One delivery as it was received.

    ``place`` is the date under which its leftovers are stored.
    """

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
        if self.observation is None:
            return None
        return RowsRead(**self.observation.get)

    def count_again(self) -> RowsRead | None:
        """Read the delivery again, and count its rows.

        An observation counts the rows of a task twice if it ran twice, as after a lost executor.
        """
        if self.query is None:
            return None
        counts = self.query.collect()[0]
        return RowsRead(**counts.asDict())


@dataclass(frozen=True)
class Extract:
    """All rows of the deliveries, in bronze's columns and those of a row's state.

    - the booleans ``in_period`` (False: a leftover) and ``fits`` (False: the row is malformed, and
      its text is in ``undeclared``),
    - ``misfits``, the reasons of cells that do not fit their columns.

    ``dates`` are the requested dates that are in a delivery, with rows or without. ``differences``
    lists where a schema departed from the declared one, ``missing`` the files that do not exist.
    """

    frame: DataFrame
    dates: frozenset[dt.date]
    differences: tuple[str, ...]
    missing: tuple[str, ...]
    deliveries: tuple[Received, ...]


def form_of(pipeline: Pipeline) -> Form:
    """Return how the pipeline's source writes its values."""
    source = pipeline.source
    return Form(
        nulls=getattr(source, "nulls", ()),
        formats=getattr(source, "formats", {}),
        zone=source.time_zone,
        is_text=source.kind != "parquet",
    )


def to_extract_columns(
    raw: DataFrame, conformed: Conformed, source: DatedSource, first_day: dt.date, name: str
) -> DataFrame:
    """Return the columns of an Extract.

    ``raw`` has ``ROW`` and ``MALFORMED`` in addition to the columns of the source.
    """
    malformed = column(MALFORMED)
    fits = malformed.isNull()
    text = F.to_json(F.struct(malformed.alias("malformed_line")))
    others = F.lit(None).cast("string")
    if OTHERS in raw.columns:
        others = column(OTHERS)
    leftovers = _both(others, conformed.leftovers)
    undeclared = F.when(fits, leftovers).otherwise(text)
    misfits = F.when(fits, conformed.reasons).otherwise(no_reasons())

    frame = conformed.compute(raw).select(
        F.lit(name).alias("source_file"),
        column(ROW).cast("long").alias("source_row"),
        undeclared.alias(schemas.UNDECLARED),
        fits.alias("fits"),
        misfits.alias("misfits"),
        *conformed.values,
    )
    date = event_date(source, first_day)
    return frame.withColumns({"event_date": date, "in_period": date.isNotNull()})


def _both(first: Column, second: Column) -> Column:
    """Return two JSON objects, each of which may be null, as one."""
    opened = F.regexp_replace(first, r"\}$", ",")
    closed = F.regexp_replace(second, r"^\{", "")
    joined = F.concat(opened, closed)
    return F.coalesce(joined, first, second)


def event_date(source: DatedSource, first_day: dt.date) -> Column:
    """Return the date of a row; null if it is not in the period that begins on ``first_day``."""
    if source.event_time is None:
        return F.lit(first_day)
    day = F.to_date(source.event_time)
    match source.period:
        case "snapshot":
            return day
        case "day":
            return F.when(day == F.lit(first_day), day)
        case "month" | "year":
            start = F.trunc(day, source.period)
            return F.when(start == F.lit(first_day), day)


def requested_periods(request: Request) -> list[dt.date]:
    """Return the first days of the periods that contain a date of the range.

    A snapshot is read again for every date it is stored for, unless its rows have a date.
    """
    if _is_dated_snapshot(request):
        return [request.start]
    source = request.pipeline.source
    return list(dict.fromkeys(source.first_day(day) for day in request.dates))


def _is_dated_snapshot(request: Request) -> bool:
    """Return True if the source is a snapshot whose rows have a date."""
    source = request.pipeline.source
    return source.period == "snapshot" and source.event_time is not None


def combine(
    request: Request, delivered: Mapping[dt.date, Delivery], missing: Sequence[str]
) -> Extract:
    """Return the rows of deliveries. ``delivered`` has them by the first day of their period."""
    received: list[Received] = []
    frames: list[DataFrame] = []
    differences: dict[str, None] = {}
    for first_day, delivery in delivered.items():
        frame, record = _receive(request, delivery, first_day)
        frames.append(frame)
        received.append(record)
        differences |= dict.fromkeys(delivery.differences)
    return Extract(
        reduce(DataFrame.unionByName, frames),
        _covered(request, delivered),
        tuple(differences),
        tuple(missing),
        tuple(received),
    )


def _receive(
    request: Request, delivery: Delivery, first_day: dt.date
) -> tuple[DataFrame, Received]:
    """Return the rows of a delivery with their dates, and its record."""
    place = _place(request, delivery.name, first_day)
    frame = delivery.frame
    observation = None
    query = None
    # Spark would not even look at a frame that is empty, and never report its counts.
    if request.pipeline.source.event_time is not None and delivery.rows != 0:
        observation = Observation()
        counts = _counts(request)
        query = frame.select(*counts)
        frame = frame.observe(observation, *counts)
    dated = frame.withColumn("event_date", F.coalesce("event_date", F.lit(place)))
    record = Received(
        name=delivery.name,
        place=place,
        rows=delivery.rows,
        fingerprint=delivery.fingerprint,
        observation=observation,
        query=query,
    )
    return dated, record


def _counts(request: Request) -> list[Column]:
    """Return the columns of RowsRead."""
    in_period = F.col("in_period")
    is_requested = in_period & is_one_of(request.dates)
    return [
        F.count_if(in_period).alias("dated"),
        F.count_if(~in_period).alias("leftover"),
        F.count_if(is_requested).alias("requested"),
    ]


def _place(request: Request, name: str, first_day: dt.date) -> dt.date:
    if _is_dated_snapshot(request):
        return request.places.get(name, first_day)
    return first_day


def _covered(request: Request, delivered: Collection[dt.date]) -> frozenset[dt.date]:
    """Return the requested dates that are in a delivery."""
    if _is_dated_snapshot(request):
        return frozenset(request.dates)
    first_day = request.pipeline.source.first_day
    return frozenset(day for day in request.dates if first_day(day) in delivered)
