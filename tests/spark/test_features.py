import datetime as dt

import pytest
from chispa import assert_df_equality

from batchml.config.features import Bands, DayOfWeek, DurationMinutes, HourOfDay, Lookup, Recode
from batchml.rows.features import with_features

STEPS = [
    DurationMinutes(kind="duration_minutes", start="begin", end="finish", to="minutes"),
    HourOfDay(kind="hour_of_day", of="begin", to="hour"),
    DayOfWeek(kind="day_of_week", of="begin", to="weekday"),
]


def test_features_of_wall_clock_times(spark):
    monday, sunday = dt.datetime(2021, 2, 1, 23, 30), dt.datetime(2021, 2, 7, 0, 0)
    rows = spark.createDataFrame(
        [
            (monday, monday + dt.timedelta(minutes=45, seconds=30)),
            (sunday, sunday - dt.timedelta(minutes=1)),
            (None, sunday),
        ],
        "begin timestamp_ntz, finish timestamp_ntz",
    )
    expected = spark.createDataFrame(
        [(45.5, 23, 0), (-1.0, 0, 6), (None, None, None)], "minutes double, hour int, weekday int"
    )
    found = with_features(rows, STEPS).select("minutes", "hour", "weekday")
    assert_df_equality(found, expected, ignore_nullable=True)


def test_session_time_zone_changes_no_time(spark):
    rows = spark.createDataFrame([(dt.datetime(2021, 3, 14, 2, 30),)], "begin timestamp_ntz")
    before = spark.conf.get("spark.sql.session.timeZone")
    try:
        spark.conf.set(
            "spark.sql.session.timeZone", "America/New_York"
        )  # where 02:30 does not exist on that day
        assert with_features(rows, STEPS[1:2]).head()["hour"] == 2
    finally:
        spark.conf.set("spark.sql.session.timeZone", before)


def test_bands_are_half_open(spark):
    rows = spark.createDataFrame([(5,), (6,), (9,), (10,), (None,)], "hour int")
    bands = Bands(kind="bands", of="hour", edges=(6, 10), to="band")
    expected = spark.createDataFrame(
        [("<6",), ("[6, 10)",), ("[6, 10)",), (">=10",), (None,)], "band string"
    )
    assert_df_equality(with_features(rows, [bands]).select("band"), expected)


def test_lookup_matches_numbers_with_text(spark):
    rows = spark.createDataFrame([(74, 1.0), (75, 2.0), (None, 3.0)], "zone long, miles double")
    table = spark.createDataFrame(
        [("74", "Manhattan", "12"), ("9", "Queens", "x")], "key string, b string, n string"
    )
    steps = [
        Lookup(kind="lookup", table="zones", of="zone", take="b", to="borough"),
        Lookup(kind="lookup", table="zones", of="zone", take="n", to="people", type="int"),
    ]
    expected = spark.createDataFrame(
        [(74, 1.0, "Manhattan", 12), (75, 2.0, None, None), (None, 3.0, None, None)],
        "zone long, miles double, borough string, people int",
    )
    found = with_features(rows, steps, {"zones": table})
    assert_df_equality(found, expected, ignore_row_order=True)
    without = with_features(rows, steps, {"zones": None})
    assert_df_equality(
        without.select("borough", "people"),
        expected.limit(0)
        .union(expected)
        .selectExpr("cast(null as string) borough", "cast(null as int) people"),
    )


@pytest.mark.parametrize("keys", [("1", "2"), ("1.0", "2.0")])
def test_keys_match_whole_doubles(spark, keys: tuple[str, str]):
    rows = spark.createDataFrame([(1.0,), (2.0,), (2.5,), (None,)], "payment double")
    table = spark.createDataFrame([(keys[0], "card"), (keys[1], "cash")], "key string, b string")
    steps = [
        Recode(
            kind="recode",
            of="payment",
            values=dict(zip(keys, "xy", strict=True)),
            other="z",
            to="code",
        ),
        Lookup(kind="lookup", table="kinds", of="payment", take="b", to="name"),
    ]
    found = with_features(rows, steps, {"kinds": table}).orderBy("payment").select("code", "name")
    expected = [(None, None), ("x", "card"), ("y", "cash"), ("z", None)]
    assert [tuple(row) for row in found.collect()] == expected
