"""Columns of a file: the strictest type that loses no value, found by DuckDB, and statistics."""

import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import duckdb
import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from batchml.config.base import ColumnType

NUMBER = r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?"
LONG = r"[+-]?\d+"
CODE = r"[+-]?0\d+"  # as a number, a postcode loses its zero
DECIMAL_COMMA = r"[+-]?\d+,\d+"
CLOCK = r"([01]?\d|2[0-3]):[0-5]\d(:[0-5]\d(\.\d{1,9})?)?"
ISO = rf"\d{{4}}-\d{{1,2}}-\d{{1,2}}([T ]{CLOCK}(Z|[+-]\d{{2}}:\d{{2}})?)?"
ZONE = r"[T ].*(Z|[+-]\d\d:\d\d)$"
# DuckDB ignores the zone in a cast to TIMESTAMP.
TO_UTC = (
    f"CASE WHEN regexp_matches(v, '{ZONE}') THEN "
    "make_timestamp(epoch_us(CAST(v AS TIMESTAMPTZ))) ELSE CAST(v AS TIMESTAMP) END"
)
COMPACT = r"(19|20)\d{6}"
SINGLE_DIGIT = r"(^|\D)\d(\D|$)"
NAMES_A_DATE = re.compile(r"date|day|datum|(^|_)dt($|_)", re.IGNORECASE)
BOOLEAN_NOTE = "true or false, as text: a model takes numbers and texts"
CODE_NOTE = "as text: a number would lose leading zeros, or be too large"
COMMA_NOTE = "numbers with a decimal comma, which are text to Spark: write a point"

# The order decides between formats: month first with slashes, day first with dots and dashes.
DAYS = (
    "%Y/%m/%d",
    "%Y.%m.%d",
    "%m/%d/%Y",
    "%d/%m/%Y",
    "%m/%d/%y",
    "%d/%m/%y",
    "%d.%m.%Y",
    "%d.%m.%y",
    "%d-%m-%Y",
    "%m-%d-%Y",
    "%d-%m-%y",
    "%m-%d-%y",
    "%d-%b-%Y",
    "%d %b %Y",
    "%b %d, %Y",
    "%d-%b-%y",
)
TIMES = ("", " %H:%M", " %H:%M:%S", " %H:%M:%S.%f", " %I:%M %p", " %I:%M:%S %p")
FORMATS = tuple(f"{day}{time}" for day in DAYS for time in TIMES)
SAMPLE = 50  # texts that all formats are tried on
SPARK = {"Y": "yyyy", "y": "yy", "b": "MMM", "M": "mm", "S": "ss", "f": "SSSSSS", "p": "a"}
SPARK_PADDED = {"m": "M", "d": "d", "H": "H", "I": "h"}  # doubled if all numbers have two digits

FACTS = f"""
SELECT
    count(*) AS texts,
    bool_and(regexp_full_match(v, '{NUMBER}')) AS are_numbers,
    bool_and(regexp_full_match(v, '{LONG}')) AS are_whole,
    bool_or(regexp_full_match(v, '{CODE}')) AS has_code,
    bool_and(regexp_full_match(v, '{NUMBER}|{DECIMAL_COMMA}')) AS have_comma,
    bool_and(TRY_CAST(v AS BIGINT) IS NOT NULL) AS fit_long,
    bool_and(coalesce(isfinite(TRY_CAST(v AS DOUBLE)), false)) AS fit_double,
    bool_and(lower(v) IN ('true', 'false')) AS are_booleans,
    bool_and(regexp_full_match(v, '{ISO}') AND NOT starts_with(v, '0000')
        AND TRY_CAST(v AS TIMESTAMP) IS NOT NULL) AS are_iso,
    bool_and(regexp_full_match(v, '{COMPACT}')
        AND try_strptime(v, '%Y%m%d') IS NOT NULL) AS are_compact,
    bool_or(contains(v, ':')) AS have_clock,
    bool_or(regexp_matches(v, '{ZONE}')) AS have_zone,
    bool_or(regexp_matches(v, '{SINGLE_DIGIT}')) AS have_single_digit
FROM texts
"""


@dataclass(frozen=True)
class Column:
    """A column with the type to declare, and statistics of its values.

    ``given`` is its name in the file. ``values`` is an Arrow array, null where there is no value.
    ``pattern`` is Spark's, for dates that are not ISO 8601.
    """

    name: str
    given: str
    type: ColumnType
    values: Any
    pattern: str | None = None
    notes: tuple[str, ...] = ()

    @cached_property
    def missing(self) -> int:
        """Number of rows without a value."""
        return int(self.values.null_count)

    @cached_property
    def distinct(self) -> int:
        """Number of different values."""
        return int(pc.count_distinct(self.values, mode="only_valid").as_py())

    @cached_property
    def range(self) -> tuple[Any, Any]:
        """Smallest and largest value, None without any."""
        bounds = pc.min_max(self.values).as_py()
        return bounds["min"], bounds["max"]

    @cached_property
    def numbers(self) -> npt.NDArray[np.float64]:
        """Values of a number column, NaN where there is none."""
        doubles = pc.cast(self.values, pa.float64(), safe=False)
        return np.asarray(doubles.to_numpy(zero_copy_only=False), dtype=float)

    @cached_property
    def counts(self) -> dict[Any, int]:
        """Number of rows per value, the most common first."""
        known = self.values.drop_null()
        entries = pc.value_counts(known).to_pylist()
        entries.sort(key=lambda entry: (-entry["counts"], str(entry["values"])))
        return {entry["values"]: entry["counts"] for entry in entries}

    @property
    def rows(self) -> int:
        """Number of rows."""
        return len(self.values)

    @property
    def is_number(self) -> bool:
        """True for a numeric type."""
        return self.type in ("long", "double")

    @property
    def is_dated(self) -> bool:
        """True for dates and times."""
        return self.type in ("date", "timestamp_ntz")

    @property
    def is_unique(self) -> bool:
        """True if every row has a value, and no two have the same."""
        return not self.missing and self.distinct == self.rows

    @property
    def is_whole(self) -> bool:
        """True if all numbers are whole."""
        known = self.numbers[np.isfinite(self.numbers)]
        return known.size > 0 and bool(np.all(known == np.round(known)))

    def as_text(self) -> "Column":
        """Return the same column declared as text."""
        return replace(self, type="string", values=pc.cast(self.values, pa.string()))


@dataclass(frozen=True)
class TextType:
    """The type of texts, and the SQL that converts the text ``v`` to it."""

    type: ColumnType = "string"
    sql: str = "v"
    pattern: str | None = None
    notes: tuple[str, ...] = ()


def find_type(
    connection: duckdb.DuckDBPyConnection, name: str, place: str, nulls: Collection[str]
) -> TextType:
    """Return the type of the column ``place`` of the table ``fields``, without ``nulls``."""
    connection.execute(
        f"CREATE OR REPLACE TEMP TABLE texts AS SELECT DISTINCT trim({place}) AS v FROM fields "
        f"WHERE trim({place}) <> '' AND NOT list_contains(?, trim({place}))",
        [list(nulls)],
    )
    (facts,) = connection.sql(FACTS).to_arrow_table().to_pylist()
    if not facts["texts"]:
        return TextType()
    if facts["are_numbers"] and not facts["has_code"]:
        return _number(name, facts)
    if facts["are_iso"]:
        return _iso(facts)
    return _formatted(connection, facts) or TextType(notes=_notes(facts))


def _number(name: str, facts: dict[str, bool]) -> TextType:
    if facts["are_compact"] and NAMES_A_DATE.search(name):
        return TextType("date", "strptime(v, '%Y%m%d')", "yyyyMMdd")
    if facts["are_whole"] and facts["fit_long"]:
        return TextType("long", "CAST(v AS BIGINT)")
    if facts["fit_double"] and not facts["are_whole"]:
        return TextType("double", "CAST(v AS DOUBLE)")
    return TextType(notes=(CODE_NOTE,))


def _iso(facts: dict[str, bool]) -> TextType:
    if not facts["have_clock"]:
        return TextType("date", "CAST(v AS TIMESTAMP)")
    notes: tuple[str, ...] = ()
    if facts["have_zone"]:
        notes = ("times with a zone are converted to UTC: set source.time_zone for another",)
    return TextType("timestamp_ntz", TO_UTC, notes=notes)


def _formatted(connection: duckdb.DuckDBPyConnection, facts: dict[str, bool]) -> TextType | None:
    """Return the first date format that fits all texts, and name the others that do."""
    candidates = _fitting(connection, FORMATS, f"(FROM texts LIMIT {SAMPLE})")
    fitting = _fitting(connection, candidates, "texts")
    if not fitting:
        return None

    chosen, *others = fitting
    notes: tuple[str, ...] = ()
    if others:
        patterns = [_spark_pattern(other, is_padded=False) for other in others]
        notes = (f"could also be {' or '.join(patterns)}: look at it",)
    declared: ColumnType = "date"
    if " %H" in chosen or " %I" in chosen:
        declared = "timestamp_ntz"
    pattern = _spark_pattern(chosen, is_padded=not facts["have_single_digit"])
    return TextType(declared, f"strptime(v, '{chosen}')", pattern, notes)


def _fitting(
    connection: duckdb.DuckDBPyConnection, formats: Sequence[str], source: str
) -> list[str]:
    """Return the formats by which every text is a date. DuckDB reads 24 as a year of ``%Y``."""
    if not formats:
        return []
    tests = [
        f"bool_and(coalesce(year(try_strptime(v, '{form}')) >= 1000, false))" for form in formats
    ]
    (row,) = connection.sql(f"SELECT {', '.join(tests)} FROM {source}").fetchall()
    return [form for form, fits in zip(formats, row, strict=True) if fits]


def _spark_pattern(form: str, *, is_padded: bool) -> str:
    def letters(match: re.Match[str]) -> str:
        letter = match[1]
        if letter in SPARK:
            return SPARK[letter]
        return SPARK_PADDED[letter] * (1 + is_padded)

    return re.sub(r"%(\w)", letters, form)


def _notes(facts: dict[str, bool]) -> tuple[str, ...]:
    """Return a note on texts that resemble another type."""
    if facts["are_booleans"]:
        return (BOOLEAN_NOTE,)
    if facts["are_whole"]:
        return (CODE_NOTE,)
    if facts["have_comma"]:
        return (COMMA_NOTE,)
    return ()
