"""What a person writes by hand in the YAML is judged when it is loaded."""

import pytest

from batchml.config.patterns import (
    WrongValue,
    date_pattern,
    dated,
    dated_path,
    file_address,
    has_short_year,
    has_zone,
    row_condition,
    single_path,
    text_encoding,
    time_zone,
)


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("rep_{YYYY}-{MM}-{dd}.csv", "no placeholder {YYYY}; did you mean {yyyy}?"),
        ("rep_{yyyy}-{mm}-{dd}.csv", "no placeholder {mm}; did you mean {MM}?"),
        ("rep_{yyyy}-{MM}-{DD}.csv", "no placeholder {DD}; did you mean {dd}?"),
        ("rep_{yyyyMMdd}.csv", "did you mean {yyyy}{MM}{dd}?"),
        ("rep_{yyyy-MM-dd}.csv", "did you mean {yyyy}-{MM}-{dd}?"),
        ("{year}/{month}.csv", "no placeholder {year}; did you mean {yyyy}?"),
        ("{yyyy}/{MM}/{dd}/{HH}.csv", "a file's period is a day at the finest"),
        ("rep_{date}.csv", "no placeholder {date}; did you mean {yyyy}-{MM}-{dd}?"),
        ("rep_{week}.csv", "no placeholder {week}; expected {yyyy}, {MM}, {dd}"),
        ("rep_{{ ds }}.csv", "no placeholder {{ ds }}; did you mean {yyyy}-{MM}-{dd}?"),
        ("rep_${YYYY}.csv", "${YYYY} is not a placeholder; did you mean {yyyy}?"),
        ("rep_$(date).csv", "$(date) is not a placeholder; did you mean {yyyy}-{MM}-{dd}?"),
        ("rep_<yyyy>.csv", "<yyyy> is not a placeholder; did you mean {yyyy}?"),
        ("rep_YYYY-MM-DD.csv", "YYYY-MM-DD in .* has no braces; did you mean {yyyy}-{MM}-{dd}?"),
        ("rep_yyyyMMdd.csv", "yyyyMMdd in .* has no braces; did you mean {yyyy}{MM}{dd}?"),
        ("rep_{MM}-{dd}.csv", "there is no {yyyy}: every year would have the same file"),
        ("rep_{yyyy.csv", "no placeholder {"),
        ("rep_%Y-%m-%d.csv", "%Y is not a placeholder; did you mean {yyyy}?"),
        ("rep_{yyyy}{MM}{dd}_*.csv", "'*' in .* is a wildcard, but a path names one file"),
        ("rep_{yyyy}-{dd}.csv", "{dd} is the day of a month, but there is no {MM}"),
        ("", "names no file"),
        ("{yyyy}/", "names no file"),
        ("/data/rep_{yyyy}.csv", "is not relative to the landing folder"),
        ("s3a://bucket/rep.csv", "is not relative to the landing folder"),
        ("~/rep.csv", "is not relative to the landing folder"),
        ("{yyyy}\\rep.csv", "folders are separated by /"),
    ],
)
def test_mistaken_path_is_refused(path: str, message: str):
    first, *rest = message.split(".*")
    with pytest.raises(WrongValue) as caught:
        dated_path(path)
    assert all(part in str(caught.value) for part in (first, *rest))


def test_valid_path_is_accepted():
    for path in (
        "a.csv",
        "{yyyy}/{MM}/{dd}/a b.csv",
        "a_{yyyy}.parquet",
        "%D0%B0.csv",
        "day={yyyy}-{MM}-{dd}/a$1.csv",
    ):
        assert dated_path(path) == path
    address = "${HOST:-http://127.0.0.1:8000}/rows?day={yyyy}-{MM}-{dd}&x=%20"
    assert dated(address) == address
    assert single_path("zones.csv") == "zones.csv"
    with pytest.raises(WrongValue, match="without placeholders"):
        single_path("zones_{yyyy}.csv")


@pytest.mark.parametrize(
    ("address", "message"),
    [
        ("files.org/a_{yyyy}.csv", "does not begin with http:// or https://"),
        ("ftp://files.org/a.csv", "does not begin with http:// or https://"),
        ("https://files.org/a.csv?key=${KEY}", "takes no environment variables"),
        ("https://files.org/a_%Y.csv", "%Y is not a placeholder; did you mean {yyyy}?"),
        ("https://files.org/a_{YYYY}.csv", "no placeholder {YYYY}; did you mean {yyyy}?"),
    ],
)
def test_mistaken_file_address_is_refused(address: str, message: str):
    with pytest.raises(WrongValue) as caught:
        file_address(address)
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("pattern", "message"),
    [
        ("dd/mm/yyyy", "mm is minutes; the month is MM"),
        ("yyyymmdd", "mm is minutes; the month is MM"),
        ("DD/MM/YYYY", "DD is the day of a year; the day of a month is dd"),
        ("dd/MM/YYYY", "Y is the year of a week"),
        ("%d/%m/%Y", "a pattern of Python or C"),
        ("MM/dd", "has no year"),
        ("dd.yyyy", "there is a day, but no month"),
        ("dd.MM.yyyy HH:MM", "MM is the month; minutes are mm"),
        ("dd.MM.yyyy hh:mm", "needs a"),
        ("dd.MM.yyyy HH:mm a", "the hour is hh"),
        ("dd.MM.yyyy HH:mm:SS", "seconds are ss"),
        ("EEE, d MMM yyyy", "cannot be read by Spark"),
        ("tt.MM.jjjj", "t has no meaning"),
        ("ddd.MM.yyyy", "Spark does not take d 3 times"),
        ("yyyy-MM-dd'T", "quotes and brackets must close"),
        ("yyyy-MM-dd ]HH[", "quotes and brackets must close"),
        ("dd.MM.yyyy kk:mm a", "the hour is hh"),
    ],
)
def test_mistaken_date_pattern_is_refused(pattern: str, message: str):
    with pytest.raises(WrongValue, match=message):
        date_pattern(pattern)


@pytest.mark.parametrize(
    "pattern",
    [
        *(
            "M/d/yy",
            "d/M/yy H:mm",
            "yyyyMMdd",
            "yyyy-DDD",
            "dd-MMM-yyyy",
            "M/d/yyyy h:mm a",
            "yyyy-MM",
        ),
        *(
            "yyyy-MM-dd'T'HH:mm:ss[.SSS]XXX",
            "dd.MM.yyyy 'um' HH 'Uhr'",
            "yyyyMMddHHmmssSSS",
            "yyyy-MM-dd HH:mm:ss VV",
        ),
    ],
)
def test_readable_date_pattern_is_accepted(pattern: str):
    assert date_pattern(pattern) == pattern


def test_quoted_zone_is_ignored():
    assert has_zone("yyyy-MM-dd'T'HH:mm:ssXXX")
    assert not has_zone("yyyy-MM-dd'Z'")


def test_quoted_short_year_is_ignored():
    assert [
        has_short_year(text) for text in ("d/M/yy", "yyMMdd", "yyyy-MM-dd", "d/M/y", "yyyy 'yy'")
    ] == [
        *(True, True),
        *(False, False, False),
    ]


def test_encodings_are_those_of_python():
    for name in (
        "UTF-8",
        "utf-8-sig",
        "UTF-16",
        "windows-1252",
        "cp1252",
        "GBK",
        "Shift_JIS",
        "latin1",
    ):
        assert text_encoding(name) == name
    for name in ("ansi", "rot13", "base64", "hex", "utf8mb4", "utf-8\0", "mbcs"):
        with pytest.raises(WrongValue, match="is not a text encoding; expected"):
            text_encoding(name)


def test_time_zones_are_those_of_the_iana():
    assert time_zone("America/New_York") == "America/New_York"
    for name in ("Mars/Base", "../etc/passwd", "", "Factory", "posixrules", "right/UTC", "GMT+2"):
        with pytest.raises(WrongValue, match="is not a time zone"):
            time_zone(name)


@pytest.mark.parametrize(
    "expect",
    [
        "count(*) > 1000",
        "max(miles) < 5",
        "SUM (miles) > 0",
        "count(*) OVER (PARTITION BY note) = 1",
        "rank() over () < 2",
        "a > (SELECT max(b) FROM c)",
        "a IN ( select 1)",
        "exists(SELECT 1)",
    ],
)
def test_check_over_several_rows_is_refused(expect: str):
    with pytest.raises(WrongValue, match="a check is a condition on one row"):
        row_condition(expect)


@pytest.mark.parametrize(
    "expect",
    [
        "least(a, b) > 0",
        "note != 'count(x)'",
        "`sum(x)` > 1",
        "exists(list, x -> x > 1)",
        "account(1) > 0",
        "a IN (selected, b)",
        "note LIKE ANY ('a%', 'b%')",
        "a > 0 or b",
    ],
)
def test_check_on_one_row_is_accepted(expect: str):
    assert row_condition(expect) == expect
