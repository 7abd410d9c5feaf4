"""A column of a file: its type as the pipeline will declare it, and what its values are like."""

import datetime as dt
import re
from collections.abc import Callable, Collection
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from batchml.config.base import ColumnType
from batchml.new import dates
from batchml.new.csv_form import NUMBER

LONG = re.compile(r"[+-]?\d+")
CODE = re.compile(r"[+-]?0\d+")  # a number would lose the zero: a postcode, a number of an article
DECIMAL_COMMA = re.compile(r"[+-]?\d+,\d+")
LARGEST = 2**63
MICROSECONDS = pa.timestamp("us")
AS_TEXT = "true or false, as text: a model takes numbers and texts"
# The type to declare by that of a parquet column, and the Arrow type its values are looked at in.
KINDS: dict[ColumnType, tuple[Callable[[Any], bool], ...]] = {
    "string": (
        *(pa.types.is_boolean, pa.types.is_null, pa.types.is_time),
        *(pa.types.is_string, pa.types.is_large_string, pa.types.is_string_view),
    ),
    "long": (pa.types.is_integer, pa.types.is_duration),
    "double": (pa.types.is_floating, pa.types.is_decimal),
    "date": (pa.types.is_date,),
    "timestamp_ntz": (pa.types.is_timestamp,),
}
ARROW: dict[ColumnType, Any] = {
    **{"string": pa.string(), "long": pa.int64(), "double": pa.float64()},
    **{"date": MICROSECONDS, "timestamp_ntz": MICROSECONDS},
}


@dataclass(frozen=True)
class Column:
    """``given`` is its name in the file, ``values`` an Arrow array of its values, null where there is none."""

    name: str
    given: str
    type: ColumnType
    values: Any
    pattern: str | None = None
    notes: tuple[str, ...] = ()

    @cached_property
    def missing(self) -> int:
        """Rows without a value."""
        return int(self.values.null_count)

    @cached_property
    def distinct(self) -> int:
        """How many values differ."""
        return int(pc.count_distinct(self.values, mode="only_valid").as_py())

    @cached_property
    def range(self) -> tuple[Any, Any]:
        """The least and the greatest value; None where there is no value."""
        found = pc.min_max(self.values).as_py()
        return found["min"], found["max"]

    @cached_property
    def numbers(self) -> npt.NDArray[np.float64]:
        """The values of a number column, NaN where there is none."""
        return np.asarray(
            pc.cast(self.values, pa.float64(), safe=False).to_numpy(zero_copy_only=False),
            dtype=float,
        )

    @cached_property
    def counts(self) -> dict[Any, int]:
        """How many rows have each value, the most common first."""
        pairs = (
            (pair["values"], pair["counts"]) for pair in pc.value_counts(self.values).to_pylist()
        )
        return dict(
            sorted(
                ((value, n) for value, n in pairs if value is not None),
                key=lambda pair: (-pair[1], str(pair[0])),
            )
        )

    @property
    def rows(self) -> int:
        return len(self.values)

    @property
    def is_number(self) -> bool:
        return self.type in ("long", "double")

    @property
    def is_dated(self) -> bool:
        return self.type in ("date", "timestamp_ntz")

    @property
    def is_unique(self) -> bool:
        return not self.missing and self.distinct == self.rows

    @property
    def is_whole(self) -> bool:
        """Whether all numbers are whole ones."""
        known = self.numbers[np.isfinite(self.numbers)]
        return bool(known.size) and bool(np.all(known == np.round(known)))

    def as_text(self) -> "Column":
        """The same column declared as text."""
        return replace(self, type="string", values=pc.cast(self.values, pa.string()))


def from_text(name: str, given: str, raw: Any, nulls: Collection[str]) -> Column:
    """The column of the fields ``raw``, which mean no value where they are empty or one of ``nulls``."""
    trimmed = pc.utf8_trim(raw, characters=" ")
    absent = pc.is_in(trimmed, value_set=pa.array(["", *nulls], pa.string()))
    texts = pc.if_else(absent, None, trimmed)
    different = pc.unique(texts).drop_null().to_pylist()
    column = Column(name, given, "string", pc.if_else(absent, None, raw))
    if not different:
        return column
    if numbers := _numbers(different):
        if dated := dates.recognise_compact(name, different):
            return _dated(column, texts, dated)
        return replace(column, type=numbers[0], values=_replaced(texts, numbers[1], numbers[2]))
    if dated := dates.recognise(different):
        return _dated(column, texts, dated)
    return replace(column, notes=_notes_on(different))


def is_telling(texts: list[str]) -> bool:
    """Whether texts, all different, are numbers, dates or times throughout."""
    return bool(texts) and (_numbers(texts) is not None or dates.recognise(texts) is not None)


def from_arrow(name: str, given: str, array: Any) -> Column | None:
    """The column of a parquet file's ``array``; None for lists, structures and bytes, which no model takes."""
    kind = array.type
    if pa.types.is_dictionary(kind):
        return from_arrow(name, given, array.cast(kind.value_type))
    declared = next(
        (type_ for type_, tests in KINDS.items() if any(test(kind) for test in tests)), None
    )
    if declared is None:
        return None
    may_lose = pa.types.is_decimal(kind) or pa.types.is_uint64(kind)
    if may_lose and not _survives(array, ARROW[declared]):
        declared = "string"
    values = pc.cast(array, ARROW[declared], safe=False)
    if declared == "double":
        values = pc.if_else(pc.is_nan(values), None, values)
    has_zone = pa.types.is_timestamp(kind) and kind.tz
    notes = [AS_TEXT] if pa.types.is_boolean(kind) else ["in UTC"] if has_zone else []
    return Column(name, given, declared, values, notes=tuple(notes))


def _notes_on(texts: list[str]) -> tuple[str, ...]:
    """What is worth knowing of texts, all different."""
    if {text.lower() for text in texts} <= {"true", "false"}:
        return (AS_TEXT,)
    if all(LONG.fullmatch(text) for text in texts):
        return ("as text: a number would lose leading zeros, or be too large",)
    if all(DECIMAL_COMMA.fullmatch(text) or NUMBER.fullmatch(text) for text in texts):
        return ("numbers with a decimal comma, which are text to Spark: write a point",)
    return ()


def _numbers(texts: list[str]) -> tuple[ColumnType, dict[str, Any], Any] | None:
    """The type of number that all texts are, and the number of each."""
    if not all(NUMBER.fullmatch(text) for text in texts) or any(
        CODE.fullmatch(text) for text in texts
    ):
        return None
    if all(LONG.fullmatch(text) for text in texts):
        whole = {text: int(text) for text in texts}
        fits = all(-LARGEST <= number < LARGEST for number in whole.values())
        return ("long", whole, pa.int64()) if fits else None
    return ("double", {text: float(text) for text in texts}, pa.float64())


def _replaced(texts: Any, by_text: dict[str, Any], kind: Any) -> Any:
    return pa.array([by_text.get(text) for text in texts.to_pylist()], kind)


def _dated(column: Column, texts: Any, dated: dates.Dated) -> Column:
    moments: dict[str, dt.datetime] = dict(dated.moments)
    notes = (dated.note,) if dated.note else ()
    values = _replaced(texts, moments, MICROSECONDS)
    return replace(column, type=dated.type, values=values, pattern=dated.pattern, notes=notes)


def _survives(array: Any, kind: Any) -> bool:
    try:
        return bool(pc.cast(pc.cast(array, kind, safe=False), array.type, safe=False).equals(array))
    except pa.ArrowInvalid:
        return False
