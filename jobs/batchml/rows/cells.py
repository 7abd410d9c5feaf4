"""Convert one cell of a source to its declared type: its value, and whether it does not fit.

NaN and infinity are null. A value that would be changed or lost does not fit: it is null too, and
its row is quarantined with the original text.
"""

from collections.abc import Callable
from decimal import Decimal
from types import UnionType

from pyspark.sql import Column
from pyspark.sql import functions as F
from pyspark.sql.types import (
    BinaryType,
    BooleanType,
    ByteType,
    CharType,
    DataType,
    DateType,
    DecimalType,
    DoubleType,
    FloatType,
    IntegerType,
    LongType,
    NullType,
    ShortType,
    StringType,
    TimestampNTZType,
    TimestampType,
    VarcharType,
)

from batchml.config import patterns
from batchml.config.base import ColumnType
from batchml.config.columns import Column as Declared
from batchml.rows.cell_values import (
    LONG_LIMIT,
    NO_TIME,
    Cell,
    Fractional,
    as_text,
    is_no_number,
    midnight,
    wall_clock,
)
from batchml.rows.text_cells import NO_NUMBER, from_text

SPARK_TYPES: dict[str, DataType] = {
    "string": StringType(),
    "int": IntegerType(),
    "long": LongType(),
    "double": DoubleType(),
    "boolean": BooleanType(),
    "date": DateType(),
    "timestamp_ntz": TimestampNTZType(),
}
MICROSECONDS = {
    "s": Decimal(1_000_000),
    "ms": Decimal(1_000),
    "us": Decimal(1),
    "ns": Decimal("0.001"),
}
LAST_SHORT_YEAR = 2068
COUNT = DecimalType(28, 9)  # a number of any of these units, with room for the product
# From 0001-01-01 to 9999-12-31: the range of a date of four digits, and of Python.
FIRST_MICROSECOND = -62_135_596_800_000_000
LAST_MICROSECOND = 253_402_300_799_999_999

Integer = ByteType | ShortType | IntegerType | LongType
Number = Integer | Fractional | DecimalType
Text = StringType | CharType | VarcharType
Time = DateType | TimestampNTZType

WIDER: dict[type[DataType], tuple[type[DataType], ...]] = {
    ByteType: (IntegerType, LongType, DoubleType),
    ShortType: (IntegerType, LongType, DoubleType),
    IntegerType: (IntegerType, LongType, DoubleType),
    LongType: (LongType,),
    FloatType: (DoubleType,),
    DoubleType: (DoubleType,),
    DecimalType: (DoubleType,),  # the nearest double
}
"""The types that every number of a type fits in."""


def convert(cell: Column, source: DataType, declared: ColumnType, zone: str = "UTC") -> Cell | None:
    """Return a cell of type ``source`` as the ``declared`` type.

    Return None if no value of the one is a value of the other. Instants become wall-clock time of
    ``zone``. The session's time zone is UTC.
    """
    target = SPARK_TYPES[declared]
    if isinstance(source, NullType):
        return Cell(F.lit(None).cast(target))
    if isinstance(source, TimestampType):
        return _from_time(wall_clock(cell, zone), TimestampNTZType(), target)
    if isinstance(source, Text):
        return from_text(cell, target, zone)
    for types, convert_type in CONVERSIONS:
        if isinstance(source, types):
            return convert_type(cell, source, target)
    return None


def convert_epoch(
    cell: Column, source: DataType, declared: Declared, zone: str = "UTC"
) -> Cell | None:
    """Return the time of a number of units since 1970 in UTC, as wall-clock time of ``zone``.

    The unit is ``declared.epoch``. A time needs no unit: it is converted as any other.
    """
    if isinstance(source, NullType | TimestampType | Time):
        return convert(cell, source, declared.type, zone)
    text = F.trim(cell)
    if isinstance(source, StringType):
        number = text.try_cast(COUNT)
        absent = text.isin("") | text.rlike(NO_NUMBER)
    elif isinstance(source, Fractional):
        number = cell.try_cast(COUNT)
        absent = is_no_number(cell)
    elif isinstance(source, Number):
        number = cell.try_cast(COUNT)
        absent = F.lit(False)
    else:
        return None

    assert declared.epoch is not None, "the column counts from 1970"
    instant = _instant(number, declared.epoch)
    target = SPARK_TYPES[declared.type]
    time = _from_time(wall_clock(instant, zone), TimestampNTZType(), target)
    assert time is not None, "an epoch is declared for dates and times only"
    return Cell(time.value, cell, absent)


def _instant(number: Column, unit: str) -> Column:
    """Return the instant a number of ``unit`` after 1970, null out of range."""
    factor = F.lit(MICROSECONDS[unit])
    microseconds = F.floor(number * factor).try_cast("long")
    is_in_range = microseconds.between(FIRST_MICROSECOND, LAST_MICROSECOND)
    return F.timestamp_micros(F.when(is_in_range, microseconds))


def convert_formatted(cell: Column, declared: ColumnType, pattern: str, zone: str = "UTC") -> Cell:
    """Return a text as the date or time it is by ``pattern``, or else by ISO 8601."""
    text = F.trim(cell)
    time = _by_pattern(text, pattern, zone)
    by_pattern = time
    if declared != "timestamp_ntz":
        by_pattern = midnight(time)
    by_standard = from_text(cell, SPARK_TYPES[declared], zone)
    value = F.coalesce(by_pattern, by_standard.value)
    absent = (text == "") | text.rlike(NO_TIME)
    return Cell(value, cell, absent)


def _by_pattern(text: Column, pattern: str, zone: str) -> Column:
    """Return the wall-clock time of a text by ``pattern``."""
    if not patterns.has_zone(pattern):
        zone = "UTC"
    instant = F.try_to_timestamp(text, F.lit(pattern))
    time = wall_clock(instant, zone)
    if not patterns.has_short_year(pattern):
        return time
    # Spark has no year before 2000 for two digits. POSIX, Python and pandas have 1969 to 2068.
    earlier = (time - F.expr("INTERVAL '100' YEAR")).cast("timestamp_ntz")
    is_late = F.year(time) > LAST_SHORT_YEAR
    return F.when(is_late, earlier).otherwise(time)


def _from_binary(cell: Column, source: DataType, target: DataType) -> Cell | None:
    # Older writers do not mark their texts as text.
    if not isinstance(target, StringType):
        return None
    text = cell.cast("string")
    return Cell(F.when(F.is_valid_utf8(text), text), cell)


def _from_number(cell: Column, source: DataType, target: DataType) -> Cell | None:
    if isinstance(source, Fractional):
        cell = F.when(~is_no_number(cell), cell)
    if isinstance(target, StringType):
        return Cell(as_text(cell, source))
    if isinstance(target, WIDER[type(source)]):
        return Cell(cell.cast(target))
    if isinstance(target, DoubleType):
        return Cell(_exact_double(cell), cell)
    if isinstance(target, IntegerType | LongType):
        return Cell(_exact_integer(cell, source, target), cell)
    if isinstance(target, BooleanType):
        is_true = F.when(cell == 1, True)
        return Cell(is_true.when(cell == 0, False), cell)
    return None


def _exact_double(cell: Column) -> Column:
    """Return a long as the equal double, or null if there is none."""
    near = cell.cast("double")
    is_same = (near < LONG_LIMIT) & (near.try_cast("long") == cell)
    return F.when(is_same, near)


def _exact_integer(cell: Column, source: DataType, target: DataType) -> Column:
    """Return a number as the equal integer, or null if there is none."""
    whole = cell.try_cast(target)
    is_same = whole == cell
    if isinstance(source, Fractional):
        # Spark casts this limit to the long before it, and takes the two for equal.
        is_same = is_same & (cell < LONG_LIMIT)
    return F.when(is_same, whole)


def _from_boolean(cell: Column, source: DataType, target: DataType) -> Cell | None:
    if isinstance(target, Time):
        return None
    return Cell(cell.cast(target))


def _from_time(cell: Column, source: DataType, target: DataType) -> Cell | None:
    if isinstance(target, StringType | TimestampNTZType):
        return Cell(cell.cast(target))
    if not isinstance(target, DateType):
        return None
    if isinstance(source, DateType):
        return Cell(cell)
    date = cell.cast("date")
    is_midnight = date.cast("timestamp_ntz") == cell
    return Cell(F.when(is_midnight, date), cell)


Conversion = Callable[[Column, DataType, DataType], Cell | None]
CONVERSIONS: tuple[tuple[type[DataType] | UnionType, Conversion], ...] = (
    (BinaryType, _from_binary),
    (Number, _from_number),
    (BooleanType, _from_boolean),
    (Time, _from_time),
)
"""The function that converts cells of a type, by type."""
