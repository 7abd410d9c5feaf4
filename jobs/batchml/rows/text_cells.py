"""Convert the text of a cell to its declared type."""

from pyspark.sql import Column
from pyspark.sql import functions as F
from pyspark.sql.types import (
    BooleanType,
    DataType,
    DoubleType,
    IntegerType,
    LongType,
    StringType,
    TimestampNTZType,
)

from batchml.rows.cell_values import NO_TIME, Cell, is_no_number, midnight, wall_clock

NO_NUMBER = r"(?i)^[+-]?(nan|inf|infinity)$"
# Java's parser also takes 1d, 1f and 0x1p3 for numbers.
NOT_OF_A_NUMBER = "[^0-9eE.+-]"
EXPONENT = r"^[+-]?\d+(\.\d{1,18})?[eE]\+?\d{1,2}$"
# There was no year 0, though Spark and MySQL have one.
DATE = r"^(?!0000)\d{4}-\d{1,2}-\d{1,2}$"
# Spark's own cast also takes 2021, 2021-01 and 2021-01-05Tgarbage, and drops an offset.
CLOCK = r"\d{1,2}:\d{1,2}(:\d{1,2}(\.\d+)?)?"
ZONE = r" ?(Z|UTC|GMT|[+-]\d{2}(:?\d{2}(:?\d{2})?)?|[A-Z][A-Za-z_]+/[A-Za-z_+\-/0-9]+)"
TIME = rf"^(?!0000)\d{{4}}-\d{{1,2}}-\d{{1,2}}([T ]{CLOCK}({ZONE})?)?$"
INSTANT = r"[T ][\d:.]+ ?[A-Z+-]"


def from_text(cell: Column, target: DataType, zone: str) -> Cell:
    """Return a text as ``target``; an instant as wall-clock time of ``zone``."""
    if isinstance(target, StringType):
        return Cell(cell)
    text = F.trim(cell)
    is_empty = text == ""
    if isinstance(target, BooleanType):
        return Cell(_to_boolean(text), cell, is_empty)

    if isinstance(target, DoubleType | IntegerType | LongType):
        is_no_value = is_empty | text.rlike(NO_NUMBER)
        if isinstance(target, DoubleType):
            return Cell(_to_double(text), cell, is_no_value)
        return Cell(_to_integer(text, target), cell, is_no_value)

    is_no_value = is_empty | text.rlike(NO_TIME)
    time = _to_time(text, zone)
    if isinstance(target, TimestampNTZType):
        return Cell(time, cell, is_no_value)
    date = F.when(text.rlike(DATE), text.try_cast("date"))
    return Cell(date.otherwise(midnight(time)), cell, is_no_value)


def _to_boolean(text: Column) -> Column:
    # A column of 0 and 1 with a gap is written as 0.0 and 1.0.
    digit = F.regexp_replace(text, r"^([01])\.0*$", "$1")
    return digit.try_cast("boolean")


def _to_double(text: Column) -> Column:
    is_decimal = ~text.rlike(NOT_OF_A_NUMBER)
    number = F.when(is_decimal, text.try_cast("double"))
    return F.when(~is_no_number(number), number)


def _to_integer(text: Column, target: DataType) -> Column:
    # pandas writes whole numbers of a column with a gap as 2.0, and large ones as 1e+16.
    digits = F.regexp_replace(text, r"\.0*$", "")
    exact = F.when(text.rlike(EXPONENT), text.try_cast("decimal(38,18)"))
    whole = F.when(exact == F.floor(exact), exact.try_cast(target))
    return F.coalesce(digits.try_cast(target), whole)


def _to_time(text: Column, zone: str) -> Column:
    local = text.try_cast("timestamp_ntz")
    instant = wall_clock(text.try_cast("timestamp"), zone)
    time = F.when(text.rlike(INSTANT), instant).otherwise(local)
    return F.when(text.rlike(TIME), time)
