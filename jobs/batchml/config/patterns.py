"""Check patterns in a YAML: dated paths, dates, encodings and conditions on a row."""

import codecs
import re
import zoneinfo

from batchml.config.environment import VARIABLE

PLACEHOLDERS = ("{yyyy}", "{MM}", "{dd}")
# The names of a date's parts in other tools.
PARTS = {
    "{yyyy}": ("yyyy", "yy", "uuuu", "year", "y", "%Y", "%y"),
    "{MM}": ("mm", "m", "month", "mo", "%m"),
    "{dd}": ("dd", "d", "day", "%d"),
}
# Two hexadecimal digits behind a percent sign are a character of an address, such as %D0.
STRFTIME = re.compile(r"%(?![0-9A-Fa-f]{2})[-#]?[YymdHMSjBbFDeGUVT]")
BRACES = re.compile(r"\{\{[^{}]*\}\}|\{[^{}]*\}|[{}]")
SHELL = re.compile(r"\$\{[^{}]*\}|\$\([^()]*\)|\$[A-Za-z_]\w*|<\w+>")
BARE_YEAR = re.compile(r"(?i)yyyy[-_/.]?(mm)?[-_/.]?(dd)?")

# Letters of a date pattern that Spark can parse, with how many of each it takes.
LETTERS_OF_DATES = {"G": 4, "y": 6, "M": 4, "L": 4, "d": 2, "D": 3}
LETTERS_OF_TIMES = {"a": 1, "h": 2, "H": 2, "k": 2, "K": 2, "m": 2, "s": 2, "S": 9}
LETTERS_OF_ZONES = {"V": 2, "z": 4, "O": 4, "X": 5, "x": 5, "Z": 5}
MOST_LETTERS = LETTERS_OF_DATES | LETTERS_OF_TIMES | LETTERS_OF_ZONES
ONLY_LETTERS = {"V": (2,), "O": (1, 4)}
NOT_PARSED = {
    "Y": "Y is the year of a week; the year is y, as in yyyy",
    "u": "u is not known to Spark; the year is y, as in yyyy",
    "E": "E (the name of a weekday) cannot be read by Spark",
    "F": "F (the week of a month) cannot be read by Spark",
    "Q": "Q (the quarter) cannot be read by Spark",
    "q": "q (the quarter) cannot be read by Spark",
}
# Python's text encodings that no file has.
NOT_OF_FILES = ("undefined", "idna", "punycode")
# Files next to those of the zones, which Python reads and Java does not.
FILES_OF_ZONES = ("right/", "posix", "Factory", "localtime")
QUOTED = re.compile(r"'(?:[^']|'')*'")
LETTERS = re.compile(r"([A-Za-z])\1*")

# SQL functions of many rows. Those of one row are called least and greatest.
AGGREGATES = """
any any_value approx_count_distinct approx_percentile array_agg avg bit_and bit_or bit_xor bool_and
bool_or collect_list collect_set corr count count_if count_min_sketch covar_pop covar_samp every
first first_value grouping kurtosis last last_value listagg max max_by mean median min min_by mode
percentile percentile_approx percentile_cont percentile_disc regr_count skewness some std stddev
stddev_pop stddev_samp string_agg sum try_avg try_sum var_pop var_samp variance
"""
AGGREGATE = re.compile(rf"(?<![\w.`])({'|'.join(AGGREGATES.split())})\s*\(", re.IGNORECASE)
LIKE_ANY = re.compile(r"(?i)\b(i?like)\s+(any|some|all)\s*\(")
SEVERAL_ROWS = {
    "a subquery": re.compile(r"\(\s*(?:select|with|values|table|from)\b", re.IGNORECASE),
    "OVER": re.compile(r"\)\s*over\b", re.IGNORECASE),
    "an aggregate": AGGREGATE,
}
STRING_OR_NAME = re.compile(r"'(?:[^'\\]|\\.|'')*'|\"(?:[^\"\\]|\\.)*\"|`[^`]*`")


class WrongValue(ValueError):
    """A value that is probably a mistake. The text states why, and what to write instead."""


def dated_path(path: str) -> str:
    """Return ``path``, the name of one file per period.

    Raise WrongValue for an unknown placeholder, a wildcard, or a path outside the landing folder.
    """
    if match := SHELL.search(path):
        raise WrongValue(f"{match[0]} is not a placeholder{_did_you_mean(match[0])}")
    if match := re.search(r"[*?\[\]]", path):
        raise WrongValue(f"{match[0]!r} in {path!r} is a wildcard, but a path names one file")
    _require_date_placeholders(path)
    if match := BARE_YEAR.search(BRACES.sub("", path)):
        raise WrongValue(f"{match[0]} in {path!r} has no braces{_did_you_mean(match[0])}")
    if "{MM}" in path and "{yyyy}" not in path:
        raise WrongValue(
            "{MM} is a month, but there is no {yyyy}: every year would have the same file"
        )
    _require_relative(path)
    return path


def dated(pattern: str) -> str:
    """Return ``pattern``, an address with environment variables and placeholders of a date.

    Raise WrongValue for any other placeholder.
    """
    _require_date_placeholders(VARIABLE.sub("", pattern))
    return pattern


def file_address(pattern: str) -> str:
    """Return ``pattern``, the address of a published file. It takes no environment variables.

    Raise WrongValue if it is not an address of the web, or for an unknown placeholder.
    """
    if not re.match(r"https?://[^/]", pattern):
        raise WrongValue(f"{pattern!r} does not begin with http:// or https://")
    if VARIABLE.search(pattern):
        raise WrongValue("an address that files are fetched from takes no environment variables")
    return dated(pattern)


def single_path(path: str) -> str:
    """Return ``path``, the name of one file for all dates.

    Raise WrongValue for a placeholder or a wildcard.
    """
    if match := re.search(r"[*?\[\]{}]", path):
        raise WrongValue(f"{match[0]!r} in {path!r}: the path names one file, without placeholders")
    _require_relative(path)
    return path


def _require_date_placeholders(pattern: str) -> None:
    if match := STRFTIME.search(pattern):
        raise WrongValue(f"{match[0]} is not a placeholder{_did_you_mean(match[0])}")
    for braces in BRACES.findall(pattern):
        if braces not in PLACEHOLDERS:
            raise WrongValue(f"no placeholder {braces}{_did_you_mean(braces)}")
    if "{dd}" in pattern and "{MM}" not in pattern:
        raise WrongValue("{dd} is the day of a month, but there is no {MM}")


def _require_relative(path: str) -> None:
    name = path.rsplit("/", 1)[-1].strip()
    if "://" in path or path.startswith(("/", "~")):
        raise WrongValue(f"{path!r} is not relative to the landing folder (BATCHML_LANDING)")
    if not name or name in (".", ".."):
        raise WrongValue(f"{path!r} names no file")
    if "\\" in path:
        raise WrongValue(f"{path!r} has a backslash: folders are separated by /")


def _did_you_mean(name: str) -> str:
    """Suggest the placeholders for the names of a date's parts in another tool."""
    text = name.strip("{}$()<> ")
    for placeholder, names in PARTS.items():
        if text in names or text.lower() in names:
            return f"; did you mean {placeholder}?"
    together = re.fullmatch(r"(?i)(y{4})([-_/.]?)(m{2})(?:([-_/.]?)(d{2}))?", text)
    if together:
        day = ""
        if together[5]:
            day = f"{together[4]}{{dd}}"
        return f"; did you mean {{yyyy}}{together[2]}{{MM}}{day}?"
    compact = text.lower().removeprefix("%").removesuffix("_nodash")
    if compact in ("ds", "f", "date"):
        return "; did you mean {yyyy}-{MM}-{dd}?"
    if re.fullmatch(r"(?i)h{1,2}|hour|%h", text):
        return "; a file's period is a day at the finest: {dd}"
    return f"; expected {', '.join(PLACEHOLDERS)}"


def date_pattern(pattern: str) -> str:
    """Return ``pattern``, by which Spark can read a date. Raise WrongValue for a likely mistake."""
    if "%" in pattern:
        raise WrongValue(
            f"{pattern!r} is a pattern of Python or C; Spark's is written like yyyy-MM-dd HH:mm:ss"
        )
    bare = QUOTED.sub(" ", pattern)
    has_reserved = re.search(r"['{}#]", bare) is not None
    if has_reserved or not _are_closed(bare):
        problem = "quotes and brackets must close, and {}# are reserved"
        raise WrongValue(f"{pattern!r} is not a date pattern: {problem}")
    runs = [match[0] for match in LETTERS.finditer(bare)]
    parts = [(run[0], len(run)) for run in runs]
    letters = {letter for letter, _ in parts}
    _require_readable(pattern, parts)
    _require_date(pattern, letters)
    _require_time(pattern, bare, letters)
    return pattern


def _are_closed(text: str) -> bool:
    """Return True if every bracket is opened before it is closed."""
    brackets = re.sub(r"[^\[\]]", "", text)
    while "[]" in brackets:
        brackets = brackets.replace("[]", "")
    return not brackets


def _require_readable(pattern: str, parts: list[tuple[str, int]]) -> None:
    letters = {letter for letter, _ in parts}
    has_day_or_month = not letters.isdisjoint("MLd")
    for letter, length in parts:
        if letter == "D" and (has_day_or_month or length == 2):
            raise WrongValue(
                f"{pattern!r}: {'D' * length} is the day of a year; the day of a month is dd"
            )
        if letter in NOT_PARSED:
            raise WrongValue(f"{pattern!r}: {NOT_PARSED[letter]}")
        if letter not in MOST_LETTERS:
            raise WrongValue(
                f"{pattern!r}: {letter} has no meaning in a date pattern; quote text: 'T'"
            )
        allowed = ONLY_LETTERS.get(letter, (length,))
        if length > MOST_LETTERS[letter] or length not in allowed:
            raise WrongValue(f"{pattern!r}: Spark does not take {letter} {length} times")


def _require_date(pattern: str, letters: set[str]) -> None:
    has_month = not letters.isdisjoint("ML")
    if "y" not in letters:
        raise WrongValue(f"{pattern!r} has no year (yyyy)")
    if has_month or "d" not in letters:
        return
    if "m" in letters:
        raise WrongValue(f"{pattern!r}: mm is minutes; the month is MM")
    raise WrongValue(f"{pattern!r}: there is a day, but no month (MM)")


def _require_time(pattern: str, bare: str, letters: set[str]) -> None:
    if re.search(r"[HhKk]\W*M", bare):
        raise WrongValue(f"{pattern!r}: MM is the month; minutes are mm")
    if "m" in letters and letters.isdisjoint("HhKk"):
        raise WrongValue(f"{pattern!r}: mm is minutes, but there is no hour; the month is MM")
    if not letters.isdisjoint("hK") and "a" not in letters:
        raise WrongValue(
            f"{pattern!r}: hh is an hour of 1 to 12 and needs a (AM or PM); the hour of a day is HH"
        )
    if not letters.isdisjoint("Hk") and "a" in letters:
        raise WrongValue(f"{pattern!r}: with a (AM or PM) the hour is hh")
    if "S" in letters and "s" not in letters:
        raise WrongValue(f"{pattern!r}: S is a fraction of a second; seconds are ss")


def has_zone(pattern: str) -> bool:
    """Return True if texts of the date pattern name their time zone or offset."""
    return bool(re.search(r"[VzOXxZ]", QUOTED.sub("", pattern)))


def has_short_year(pattern: str) -> bool:
    """Return True if texts of the date pattern have years of two digits."""
    return bool(re.search(r"(?<!y)yy(?!y)", QUOTED.sub("", pattern)))


def text_encoding(name: str) -> str:
    """Return ``name``, a text encoding that Python knows. Raise WrongValue for any other."""
    try:
        codec = codecs.lookup(name)
        is_text = codec._is_text_encoding and codec.name not in NOT_OF_FILES
    except (LookupError, ValueError):  # ValueError: a null character
        is_text = False
    if not is_text:
        raise WrongValue(
            f"{name!r} is not a text encoding; expected a name that Python knows, such as utf-8, "
            "utf-16, iso-8859-1, windows-1252, cp1250, gbk, shift_jis"
        )
    return name


def time_zone(name: str) -> str:
    """Return ``name``, an IANA time zone such as Europe/Berlin. Raise WrongValue for any other."""
    try:
        zoneinfo.ZoneInfo(name)
        is_known = not name.startswith(FILES_OF_ZONES)
    except (zoneinfo.ZoneInfoNotFoundError, ValueError, OSError):
        is_known = False
    if not is_known:
        raise WrongValue(
            f"{name!r} is not a time zone; expected a name such as UTC or Europe/Berlin"
        )
    return name


def row_condition(expect: str) -> str:
    """Return ``expect``, a condition on one row. Raise WrongValue if it looks at several rows."""
    bare = LIKE_ANY.sub("like (", STRING_OR_NAME.sub("''", expect))
    for form, pattern in SEVERAL_ROWS.items():
        if pattern.search(bare):
            raise WrongValue(
                f"{expect!r} looks at several rows ({form}), but a check is a condition on one "
                "row; the least and greatest value of a row are least() and greatest(), and "
                "training.min_rows is for the number of rows"
            )
    return expect
