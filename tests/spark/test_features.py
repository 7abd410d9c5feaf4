import datetime as dt

from chispa import assert_df_equality

from batchml.config.features import DayOfWeek, DurationMinutes, HourOfDay
from batchml.features import with_features

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


def test_no_session_time_zone_moves_a_wall_clock_time(spark):
    rows = spark.createDataFrame([(dt.datetime(2021, 3, 14, 2, 30),)], "begin timestamp_ntz")
    before = spark.conf.get("spark.sql.session.timeZone")
    try:
        spark.conf.set("spark.sql.session.timeZone", "America/New_York")  # where 02:30 does not exist on that day
        assert with_features(rows, STEPS[1:2]).head()["hour"] == 2
    finally:
        spark.conf.set("spark.sql.session.timeZone", before)
