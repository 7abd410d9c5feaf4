"""The value of a converted cell, and the expressions that conversions share."""

from dataclasses import dataclass

from pyspark.sql import Column
from pyspark.sql import functions as F
from pyspark.sql.types import BinaryType, DataType, DecimalType, DoubleType, FloatType

GREATEST_DOUBLE = 1.7976931348623157e308
LONG_LIMIT = 2.0**63  # the least double above every long
NO_TIME = r"(?i)^([+-]?infinity|nat)$"

Fractional = FloatType | DoubleType


@dataclass(frozen=True)
class Cell:
    """The value of a cell as its declared type.

    Where ``received`` is not null, but the value is, the cell does not fit, unless it is
    ``absent``. Both are None for a type whose every value fits.
    """

    value: Column
    received: Column | None = None
    absent: Column | None = None

    def misfit(self, value: Column) -> Column | None:
        """Return the condition that the cell does not fit, or None if every cell fits.

        ``value`` is the column that contains the cell's value.
        """
        if self.received is None:
            return None
        # The value comes first: nothing else is computed for a cell that has one.
        misfit = value.isNull() & self.received.isNotNull()
        if self.absent is None:
            return misfit
        return misfit & ~self.absent


def is_no_number(cell: Column) -> Column:
    """Return the condition that a double is NaN or infinite."""
    # Spark orders NaN above every number.
    return ~cell.between(-GREATEST_DOUBLE, GREATEST_DOUBLE)


def midnight(time: Column) -> Column:
    """Return the date of a time at midnight, null of any other."""
    start_of_day = F.date_trunc("DAY", time).cast("timestamp_ntz")
    return F.when(start_of_day == time, time.cast("date"))


def wall_clock(instant: Column, zone: str) -> Column:
    """Return the time that a clock in ``zone`` shows at an instant."""
    utc = instant.cast("timestamp_ntz")
    if zone == "UTC":
        return utc
    return F.convert_timezone(F.lit("UTC"), F.lit(zone), utc)


def as_text(cell: Column, source: DataType) -> Column:
    """Return a cell as text: a whole number without a decimal point, whatever type it has."""
    text = cell.cast("string")
    if isinstance(source, Fractional):
        is_whole = (F.abs(cell) < LONG_LIMIT) & (cell == F.floor(cell))
        whole = F.when(is_whole, cell.try_cast("long"))
        return F.coalesce(whole.cast("string"), text)
    if isinstance(source, DecimalType) and source.scale > 0:
        return F.regexp_replace(text, r"\.?0+$", "")
    if isinstance(source, BinaryType):
        return F.when(F.is_valid_utf8(text), text).otherwise(F.base64(cell))
    return text
