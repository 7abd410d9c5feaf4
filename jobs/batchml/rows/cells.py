"""Convert one cell of a source to its declared type: its value, and whether it does not fit.

A value that is no value (NaN, infinity) is null. A value that would be changed or lost does not fit: it is null too,
and its row is quarantined with the original text.
"""

from dataclasses import dataclass
from decimal import Decimal

from pyspark.sql import Column
from pyspark.sql import functions as F
from pyspark.sql import types as T

from batchml.config import patterns
from batchml.config.base import ColumnType

SPARK_TYPES: dict[str, T.DataType] = {
    "string": T.StringType(),
    "int": T.IntegerType(),
    "long": T.LongType(),
    "double": T.DoubleType(),
    "boolean": T.BooleanType(),
    "date": T.DateType(),
    "timestamp_ntz": T.TimestampNTZType(),
}
GREATEST_DOUBLE = 1.7976931348623157e308
MICROSECONDS = {
    "s": Decimal(1_000_000),
    "ms": Decimal(1_000),
    "us": Decimal(1),
    "ns": Decimal("0.001"),
}
LAST_SHORT_YEAR = 2068
COUNTED = T.DecimalType(28, 9)  # a number of any of these units, with room for the product
# From 0001-01-01 to 9999-12-31: what a date of four digits, and Python, can hold.
FIRST_MICROSECOND, LAST_MICROSECOND = -62_135_596_800_000_000, 253_402_300_799_999_999

NO_NUMBER = r"(?i)^[+-]?(nan|inf|infinity)$"
NO_TIME = r"(?i)^([+-]?infinity|nat)$"
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

Integer = T.ByteType | T.ShortType | T.IntegerType | T.LongType
Number = Integer | T.FloatType | T.DoubleType | T.DecimalType
WIDER: dict[type[T.DataType], tuple[type[T.DataType], ...]] = {
    T.ByteType: (T.IntegerType, T.LongType, T.DoubleType),
    T.ShortType: (T.IntegerType, T.LongType, T.DoubleType),
    T.IntegerType: (T.IntegerType, T.LongType, T.DoubleType),
    T.LongType: (T.LongType,),
}


@dataclass(frozen=True)
class Cell:
    """The value of a cell as its declared type.

    Where ``received`` is not null, but the value is, the cell does not fit, unless it is ``absent``. None of both for
    a type whose every value fits.
    """

    value: Column
    received: Column | None = None
    absent: Column | None = None

    def misfit(self, value: Column) -> Column | None:
        """Return the condition that the cell does not fit, where ``value`` names its value; None if every one fits."""
        if self.received is None:
            return None
        # The value comes first: nothing else is computed for a cell that has one.
        misfit = value.isNull() & self.received.isNotNull()
        return misfit if self.absent is None else misfit & ~self.absent


def convert(  # noqa: PLR0911
    cell: Column, found: T.DataType, declared: ColumnType, zone: str = "UTC"
) -> Cell | None:
    """Return a cell of type ``found`` as the ``declared`` type, or None if no value of the one is one of the other.

    Instants become wall-clock time of ``zone``. The session's time zone is UTC.
    """
    target = SPARK_TYPES[declared]
    if isinstance(found, T.NullType):
        return Cell(F.lit(None).cast(target))
    if isinstance(found, T.TimestampType):
        cell, found = wall_clock(cell, zone), T.TimestampNTZType()
    if isinstance(found, T.StringType | T.CharType | T.VarcharType):
        return _from_text(cell, target, zone)
    if isinstance(found, T.BinaryType):
        return _from_binary(cell, target)
    if isinstance(found, Number):
        return _from_number(cell, found, target)
    if isinstance(found, T.BooleanType):
        return _from_boolean(cell, target)
    if isinstance(found, T.DateType | T.TimestampNTZType):
        return _from_time(cell, found, target)
    return None


def convert_epoch(
    cell: Column, found: T.DataType, declared: ColumnType, unit: str, zone: str = "UTC"
) -> Cell | None:
    """Return the time of a number of ``unit`` since 1970 in UTC, as wall-clock time of ``zone``.

    A time needs no unit: it is converted as any other.
    """
    if isinstance(found, T.NullType | T.DateType | T.TimestampType | T.TimestampNTZType):
        return convert(cell, found, declared, zone)
    if isinstance(found, T.StringType):
        number = F.trim(cell).try_cast(COUNTED)
        absent = F.trim(cell).isin("") | F.trim(cell).rlike(NO_NUMBER)
    elif isinstance(found, Number):
        number = cell.try_cast(COUNTED)
        absent = (
            _is_no_number(cell) if isinstance(found, T.FloatType | T.DoubleType) else F.lit(False)
        )
    else:
        return None
    microseconds = F.floor(number * F.lit(MICROSECONDS[unit])).try_cast("long")
    instant = F.timestamp_micros(
        F.when(microseconds.between(FIRST_MICROSECOND, LAST_MICROSECOND), microseconds)
    )
    time = _from_time(wall_clock(instant, zone), T.TimestampNTZType(), SPARK_TYPES[declared])
    assert time is not None, "an epoch is declared for dates and times only"
    return _fitting(cell, time.value, absent)


def convert_formatted(cell: Column, declared: ColumnType, pattern: str, zone: str = "UTC") -> Cell:
    """Return a text as the date or time it is by ``pattern``, or else by ISO 8601."""
    text = F.trim(cell)
    parsed = F.try_to_timestamp(text, F.lit(pattern))
    time = wall_clock(parsed, zone if patterns.has_zone(pattern) else "UTC")
    if patterns.has_short_year(pattern):
        # Spark has no year before 2000 for two digits. POSIX, Python and pandas have 1969 to 2068.
        earlier = (time - F.expr("INTERVAL '100' YEAR")).cast("timestamp_ntz")
        time = F.when(F.year(time) > LAST_SHORT_YEAR, earlier).otherwise(time)
    other = _from_text(cell, SPARK_TYPES[declared], zone)
    own = time if declared == "timestamp_ntz" else _midnight(time)
    value = F.coalesce(own, other.value)
    return _fitting(cell, value, (text == "") | text.rlike(NO_TIME))


def wall_clock(instant: Column, zone: str) -> Column:
    """Return the time that a clock in ``zone`` shows at an instant."""
    utc = instant.cast("timestamp_ntz")
    return utc if zone == "UTC" else F.convert_timezone(F.lit("UTC"), F.lit(zone), utc)


def as_text(cell: Column, found: T.DataType) -> Column:
    """Return a cell as text: a whole number without a decimal point, whatever type it has."""
    text = cell.cast("string")
    if isinstance(found, T.FloatType | T.DoubleType):
        whole = F.when((F.abs(cell) < 2.0**63) & (cell == F.floor(cell)), cell.try_cast("long"))
        return F.coalesce(whole.cast("string"), text)
    if isinstance(found, T.DecimalType) and found.scale > 0:
        return F.regexp_replace(text, r"\.?0+$", "")
    if isinstance(found, T.BinaryType):
        return F.when(F.is_valid_utf8(text), text).otherwise(F.base64(cell))
    return text


def _fitting(cell: Column, value: Column, absent: Column | None = None) -> Cell:
    """Return ``value``, which is null for a cell that does not fit, and for one that is ``absent``."""
    return Cell(value, cell, absent)


def _is_no_number(cell: Column) -> Column:
    # Spark orders NaN above every number.
    return ~cell.between(-GREATEST_DOUBLE, GREATEST_DOUBLE)


def _from_text(cell: Column, target: T.DataType, zone: str) -> Cell:
    if isinstance(target, T.StringType):
        return Cell(cell)
    text = F.trim(cell)
    if isinstance(target, T.DoubleType):
        number = F.when(~text.rlike(NOT_OF_A_NUMBER), text.try_cast("double"))
        value = F.when(~_is_no_number(number), number)
        return _fitting(cell, value, (text == "") | text.rlike(NO_NUMBER))
    if isinstance(target, T.IntegerType | T.LongType):
        # pandas writes whole numbers of a column with a gap as 2.0, and large ones as 1e+16.
        exact = F.when(text.rlike(EXPONENT), text.try_cast("decimal(38,18)"))
        whole = F.when(exact == F.floor(exact), exact.try_cast(target))
        value = F.coalesce(F.regexp_replace(text, r"\.0*$", "").try_cast(target), whole)
        return _fitting(cell, value, (text == "") | text.rlike(NO_NUMBER))
    if isinstance(target, T.BooleanType):
        value = F.regexp_replace(text, r"^([01])\.0*$", "$1").try_cast("boolean")
        return _fitting(cell, value, text == "")
    local = text.try_cast("timestamp_ntz")
    at_once = wall_clock(text.try_cast("timestamp"), zone)
    time = F.when(text.rlike(TIME), F.when(text.rlike(INSTANT), at_once).otherwise(local))
    absent = (text == "") | text.rlike(NO_TIME)
    if isinstance(target, T.TimestampNTZType):
        return _fitting(cell, time, absent)
    value = F.when(text.rlike(DATE), text.try_cast("date")).otherwise(_midnight(time))
    return _fitting(cell, value, absent)


def _midnight(time: Column) -> Column:
    """Return the date of a time at midnight, null of any other."""
    return F.when(F.date_trunc("DAY", time).cast("timestamp_ntz") == time, time.cast("date"))


def _from_binary(cell: Column, target: T.DataType) -> Cell | None:
    # Older writers do not mark their texts as text.
    if not isinstance(target, T.StringType):
        return None
    text = cell.cast("string")
    return _fitting(cell, F.when(F.is_valid_utf8(text), text))


def _from_number(cell: Column, found: T.DataType, target: T.DataType) -> Cell | None:  # noqa: PLR0911
    if isinstance(found, T.FloatType | T.DoubleType):
        cell = F.when(~_is_no_number(cell), cell)
    if isinstance(target, T.StringType):
        return Cell(as_text(cell, found))
    if isinstance(target, T.DoubleType) and not isinstance(found, T.LongType):
        return Cell(cell.cast("double"))  # of a decimal the nearest double
    if isinstance(target, WIDER.get(type(found), ())):
        return Cell(cell.cast(target))
    if isinstance(target, T.DoubleType):
        near = cell.cast("double")
        return _fitting(cell, F.when((near < 2.0**63) & (near.try_cast("long") == cell), near))
    if isinstance(target, T.IntegerType | T.LongType):
        whole = cell.try_cast(target)
        is_same = whole == cell
        if isinstance(found, T.FloatType | T.DoubleType):
            is_same &= (
                cell < 2.0**63
            )  # Spark casts it to the long before it, and takes the two for equal
        return _fitting(cell, F.when(is_same, whole))
    if isinstance(target, T.BooleanType):
        return _fitting(cell, F.when(cell == 1, True).when(cell == 0, False))
    return None


def _from_boolean(cell: Column, target: T.DataType) -> Cell | None:
    if isinstance(target, T.DateType | T.TimestampNTZType):
        return None
    return Cell(cell.cast(target))


def _from_time(cell: Column, found: T.DataType, target: T.DataType) -> Cell | None:
    if isinstance(target, T.StringType | T.TimestampNTZType):
        return Cell(cell.cast(target))
    if isinstance(target, T.DateType):
        if isinstance(found, T.DateType):
            return Cell(cell)
        day = cell.cast("date")
        return _fitting(cell, F.when(day.cast("timestamp_ntz") == cell, day))
    return None
