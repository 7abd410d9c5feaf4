"""Files in the landing folder, one per period, each read with its own schema and cast to the declared one."""

import datetime as dt
from collections.abc import Callable
from functools import reduce

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F
from pyspark.sql import types as T

from batchml import schemas, storage
from batchml.config import CsvSource
from batchml.config.sources import FileSource, days_between
from batchml.errors import BadData, NothingToDo, Unavailable
from batchml.sources.extract import Extract, Request, reading

Load = Callable[[str], DataFrame]
ROW = "source_row"
MALFORMED = "malformed line"  # a name that no column of a file has; null for a row that is well formed


def read_parquet(request: Request) -> Extract:
    """Rows of parquet files; a row's place is its index in the file."""

    def load(path: str) -> DataFrame:
        frame = request.spark.read.parquet(path)
        well_formed = F.lit(None).cast("string").alias(MALFORMED)
        return frame.select("*", F.col("_metadata.row_index").alias(ROW), well_formed)

    return _read_files(request, load)


def read_csv(request: Request) -> Extract:
    """Rows of CSV files, their fields in the declared order.

    A row's place is unique and stable, and is its index as long as the file is read in one piece (up to 128 MiB). A
    line that has more or fewer fields is kept, with its text.
    """
    source = request.pipeline.source
    assert isinstance(source, CsvSource), "SOURCES pairs this function with CsvSource"
    texts = [T.StructField(name, T.StringType()) for name in request.pipeline.columns]
    schema = T.StructType([*texts, T.StructField(MALFORMED, T.StringType())])
    options: dict[str, str | bool] = {
        "sep": source.delimiter,
        "header": source.header,
        "encoding": source.encoding,
        "enforceSchema": False,
        "mode": "PERMISSIVE",
        "columnNameOfCorruptRecord": MALFORMED,
        "columnPruning": False,  # a reader that skips fields does not see that there are too many
    }

    def load(path: str) -> DataFrame:
        frame = request.spark.read.schema(schema).options(**options).csv(path)
        meant = {name: _meant(name, source) for name in request.pipeline.columns}
        return frame.withColumns({**meant, ROW: F.monotonically_increasing_id()})

    return _read_files(request, load)


def _meant(name: str, source: CsvSource) -> Column:
    """A field's text without what stands for no value, and with dates and times as ISO 8601."""
    text = F.col(f"`{name}`")
    if source.nulls:
        text = F.when(~F.trim(text).isin(*source.nulls), text)
    if pattern := source.formats.get(name):
        # What does not fit the pattern stays as it is, to be found when the column is cast.
        text = F.coalesce(F.try_to_timestamp(F.trim(text), F.lit(pattern)).cast("timestamp_ntz").cast("string"), text)
    return text


def _read_files(request: Request, load: Load) -> Extract:
    source = request.pipeline.source
    present: list[tuple[dt.date, str]] = []
    missing: list[str] = []
    for first_day in _periods(source, request.start, request.end):
        path = storage.join(request.landing, source.path_on(first_day))
        if storage.exists(request.spark, path):
            present.append((first_day, path))
        else:
            missing.append(path)
    if not present and not storage.exists(request.spark, request.landing):
        raise Unavailable(
            f"the landing folder {request.landing} is not there",
            remedy="make or mount it, or set BATCHML_LANDING to the folder that holds the source files",
        )
    if not present:
        raise NothingToDo(
            f"no file yet for {request.start}..{request.end}: {', '.join(missing)}",
            remedy="put it there, or set BATCHML_LANDING to the folder that holds it; `make fetch` downloads months",
        )
    read = [_read_file(request, load, first_day, path) for first_day, path in present]
    frame = reduce(DataFrame.unionByName, [frame for frame, _ in read])
    wanted = F.col("event_date").between(F.lit(request.start), F.lit(request.end))
    differences = tuple(difference for _, found in read for difference in found)
    return Extract(frame.where(wanted), _covered(request, present), differences, tuple(missing))


def _covered(request: Request, present: list[tuple[dt.date, str]]) -> frozenset[dt.date]:
    """The dates of the request whose file is there."""
    source, found = request.pipeline.source, {first_day for first_day, _ in present}
    days = days_between(request.start, request.end)
    if source.period == "snapshot" and source.event_time is not None:
        return frozenset(days)
    return frozenset(day for day in days if source.first_day(day) in found)


def _periods(source: FileSource, start: dt.date, end: dt.date) -> list[dt.date]:
    """The first days of the periods that hold a date of the range. A snapshot is read anew for every date it is held
    for, unless its rows carry their own date."""
    if source.period == "snapshot" and source.event_time is not None:
        return [start]
    return list(dict.fromkeys(source.first_day(day) for day in days_between(start, end)))


def _read_file(request: Request, load: Load, first_day: dt.date, path: str) -> tuple[DataFrame, list[str]]:
    file_name = path.rsplit("/", 1)[-1]
    with reading(path):
        raw = load(path)
        found = T.StructType([field for field in raw.schema.fields if field.name not in (ROW, MALFORMED)])
        is_text = request.pipeline.source.kind == "csv"
        conformed = schemas.conform(found, request.pipeline.columns, path, is_text=is_text)
        _require_lossless(raw, conformed, request, path)
    dated = _dated(request.pipeline.source, first_day)
    fits = F.col(MALFORMED).isNull()
    text = F.to_json(F.struct(F.col(MALFORMED).alias("malformed_line")))
    undeclared = F.when(fits, schemas.undeclared_as_json(conformed.undeclared)).otherwise(text)
    frame = raw.select(
        F.lit(file_name).alias("source_file"),
        F.col(ROW).cast("long"),
        undeclared.alias(schemas.UNDECLARED),
        fits.alias("fits"),
        *(column.alias(name) for name, column in conformed.columns.items()),
    ).withColumns(dated)
    return frame, [f"{file_name}: {difference}" for difference in conformed.differences]


def _dated(source: FileSource, first_day: dt.date) -> dict[str, Column]:
    """``event_date`` and ``in_period``: a row outside its file's period is filed under the period's first day."""
    if source.event_time is None:
        return {"event_date": F.lit(first_day), "in_period": F.lit(True)}
    day = F.to_date(source.event_time)
    if source.period == "snapshot":
        return {"event_date": F.coalesce(day, F.lit(first_day)), "in_period": day.isNotNull()}
    unit = {"day": "DAY", "month": "MONTH", "year": "YEAR"}[source.period]
    inside = F.coalesce(
        F.trunc(day, unit) == F.lit(first_day) if unit != "DAY" else day == F.lit(first_day), F.lit(False)
    )
    return {"event_date": F.when(inside, day).otherwise(F.lit(first_day)), "in_period": inside}


def _require_lossless(raw: DataFrame, conformed: schemas.Conformed, request: Request, path: str) -> None:
    """Counts the values that a cast would change. Only files whose types need such a cast are looked through."""
    if not conformed.lossy:
        return
    counts = [F.count_if(condition).alias(name) for name, condition in conformed.lossy.items()]
    examples = [
        F.any_value(F.when(condition, F.col(f"`{name}`").cast("string")), True).alias(f"{name}__example")
        for name, condition in conformed.lossy.items()
    ]
    row = raw.where(F.col(MALFORMED).isNull()).agg(*counts, *examples).head()
    assert row is not None, "an aggregate without keys has one row"
    types = {field.name: field.dataType.simpleString() for field in raw.schema}
    losses = [
        f"column {name!r} is {types[name]} and declared {request.pipeline.columns[name].type}: "
        f"{row[name]} values would be lost, for example {row[f'{name}__example']!r}"
        for name in conformed.lossy
        if row[name]
    ]
    if losses:
        raise BadData(
            f"{path}: cannot be cast to the declared columns without loss",
            *losses,
            remedy="correct the file, or declare the column with the type it really has",
        )
