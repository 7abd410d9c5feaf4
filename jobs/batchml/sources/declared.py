"""From the columns a source has to those that are declared, with each row's place and whether it is well formed."""

import datetime as dt

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F
from pyspark.sql import types as T

from batchml.config.sources import TextForm
from batchml.errors import BadData
from batchml.rows import schemas
from batchml.sources.extract import Request, reading
from batchml.sources.periods import Delivery, dated

ROW = "source_row"
# Names that no column of a source has.
MALFORMED = "malformed line"  # its text; null for a row that is well formed
OTHERS = "other columns"  # what is not declared, as JSON


def as_declared(raw: DataFrame, request: Request, first_day: dt.date, where: str) -> Delivery:
    """``raw``, which has ``ROW`` and ``MALFORMED`` beside the source's own columns, as a delivery.

    Raises BadData where a column is missing or a cast would change values: types belong to the source as a whole.
    """
    name = where.rsplit("/", 1)[-1]
    with reading(where):
        found = T.StructType([field for field in raw.schema.fields if field.name not in (ROW, MALFORMED)])
        is_text = isinstance(request.pipeline.source, TextForm)
        conformed = schemas.conform(found, request.pipeline.columns, where, is_text=is_text)
        _require_lossless(raw, conformed, request, where)
    raw = raw.withColumn(OTHERS, schemas.undeclared_as_json(conformed.undeclared))
    frame = placed(raw, conformed, request, first_day, name)
    return Delivery(frame, tuple(f"{name}: {difference}" for difference in conformed.differences))


def placed(raw: DataFrame, conformed: schemas.Conformed, request: Request, first_day: dt.date, name: str) -> DataFrame:
    """The columns of an Extract, of rows that have ``ROW``, ``MALFORMED`` and ``OTHERS`` beside their own.

    Of a row that is malformed, its text stands in ``undeclared``.
    """
    fits = F.col(MALFORMED).isNull()
    text = F.to_json(F.struct(F.col(MALFORMED).alias("malformed_line")))
    return raw.select(
        F.lit(name).alias("source_file"),
        F.col(ROW).cast("long"),
        F.when(fits, F.col(OTHERS)).otherwise(text).alias(schemas.UNDECLARED),
        fits.alias("fits"),
        *(column.alias(name) for name, column in conformed.columns.items()),
    ).withColumns(dated(request.pipeline.source, first_day))


def meant(text: Column, name: str, form: TextForm) -> Column:
    """A field's text without what stands for no value, and with dates and times as ISO 8601."""
    if form.nulls:
        text = F.when(~F.trim(text).isin(*form.nulls), text)
    if pattern := form.formats.get(name):
        # What does not fit the pattern stays as it is, to be found when the column is cast.
        text = F.coalesce(F.try_to_timestamp(F.trim(text), F.lit(pattern)).cast("timestamp_ntz").cast("string"), text)
    return text


def _require_lossless(raw: DataFrame, conformed: schemas.Conformed, request: Request, where: str) -> None:
    """Counts the values that a cast would change. Only sources whose types need such a cast are looked through."""
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
            f"{where}: cannot be cast to the declared columns without loss",
            *losses,
            remedy="correct the file, or declare the column with the type it really has",
        )
