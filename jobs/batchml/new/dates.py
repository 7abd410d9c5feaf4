"""Dates and times as text: how they are written, as Spark and as Python say it."""

import datetime as dt
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

ISO = re.compile(
    r"(\d{4})-(\d{1,2})-(\d{1,2})(?:[T ](\d{1,2}):(\d{2})(?::(\d{2})(?:\.(\d{1,9}))?)?(Z|[+-]\d{2}:\d{2})?)?"
)
# In the order they are tried: with slashes the month is taken to stand first, with dots and dashes the day.
DAYS = (
    *(
        "%Y/%m/%d",
        "%Y.%m.%d",
        "%m/%d/%Y",
        "%d/%m/%Y",
        "%m/%d/%y",
        "%d/%m/%y",
        "%d.%m.%Y",
        "%d.%m.%y",
    ),
    *(
        "%d-%m-%Y",
        "%m-%d-%Y",
        "%d-%m-%y",
        "%m-%d-%y",
        "%d-%b-%Y",
        "%d %b %Y",
        "%b %d, %Y",
        "%d-%b-%y",
    ),
)
TIMES = ("", " %H:%M", " %H:%M:%S", " %H:%M:%S.%f", " %I:%M %p", " %I:%M:%S %p")
SPARK = {"Y": "yyyy", "y": "yy", "b": "MMM", "M": "mm", "S": "ss", "f": "SSSSSS", "p": "a"}
PADDED = {
    "m": "M",
    "d": "d",
    "H": "H",
    "I": "h",
}  # letters that stand twice where every number has two digits
LONE_DIGIT = re.compile(r"(?<!\d)\d(?!\d)")
COMPACT = re.compile(r"(19|20)\d{6}")
TELLS_A_DATE = re.compile(r"date|day|datum|(^|_)dt($|_)", re.IGNORECASE)
LONGEST = 32

Parse = Callable[[str], dt.datetime]


@dataclass(frozen=True)
class Dated:
    """How the dates or times of a column are written. ``pattern`` is Spark's, None for ISO 8601."""

    type: Literal["date", "timestamp_ntz"]
    pattern: str | None
    moments: Mapping[str, dt.datetime]
    note: str = ""


def recognise(texts: Sequence[str]) -> Dated | None:
    """How ``texts``, all different, are dates or times; None if they are not, or not all in one way."""
    if not texts or len(texts[0]) > LONGEST or not texts[0][-1:].isalnum():
        return None
    if ISO.fullmatch(texts[0]):
        return _iso(texts)
    formats = [day + time for day in DAYS for time in TIMES]
    fitting = [
        form for form in formats if _parsed(texts[:50], _by(form)) and _parsed(texts, _by(form))
    ]
    if not fitting:
        return None
    form = fitting[0]
    pattern = _in_spark(form, is_padded=not any(LONE_DIGIT.search(text) for text in texts))
    others = [_in_spark(other, is_padded=False) for other in fitting[1:]]
    note = f"could also be {' or '.join(others)}: look at it" if others else ""
    return Dated(
        "timestamp_ntz" if " %H" in form or " %I" in form else "date",
        pattern,
        _parsed(texts, _by(form)),
        note,
    )


def recognise_compact(name: str, texts: Sequence[str]) -> Dated | None:
    """Dates like 20210131, which only the column's name tells from numbers."""
    if not TELLS_A_DATE.search(name) or not all(COMPACT.fullmatch(text) for text in texts):
        return None
    moments = _parsed(texts, _by("%Y%m%d"))
    return Dated("date", "yyyyMMdd", moments) if moments else None


def _iso(texts: Sequence[str]) -> Dated | None:
    zones: set[str] = set()
    timed = False

    def moment(text: str) -> dt.datetime:
        nonlocal timed
        found = ISO.fullmatch(text)
        if found is None:
            raise ValueError(text)
        year, month, day, hour, minute, second, fraction, zone = found.groups()
        timed = timed or hour is not None
        zones.update([zone] if zone else [])
        microsecond = int((fraction or "0").ljust(6, "0")[:6])
        return dt.datetime(
            int(year),
            int(month),
            int(day),
            int(hour or 0),
            int(minute or 0),
            int(second or 0),
            microsecond,
        )

    moments = _parsed(texts, moment)
    note = f"the zone ({', '.join(sorted(zones))}) is not applied: wall-clock time" if zones else ""
    return Dated("timestamp_ntz" if timed else "date", None, moments, note) if moments else None


def _parsed(texts: Sequence[str], parse: Parse) -> dict[str, dt.datetime]:
    """The moments by text; empty unless all texts have one."""
    try:
        return {text: parse(text) for text in texts}
    except ValueError:
        return {}


def _by(form: str) -> Parse:
    return lambda text: dt.datetime.strptime(text, form)


def _in_spark(form: str, *, is_padded: bool) -> str:
    def letters(found: re.Match[str]) -> str:
        letter = found[1]
        return SPARK.get(letter) or PADDED[letter] * (2 if is_padded else 1)

    return re.sub(r"%(\w)", letters, form)
