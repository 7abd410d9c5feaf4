"""Conversion of a source's columns to the declared ones: matched by name, cell by cell."""

import datetime as dt
import json
import math
from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pyspark.sql import SparkSession
from pyspark.sql import functions as F
from pyspark.sql import types as T

from batchml.config import Column
from batchml.config.patterns import WrongValue, date_pattern
from batchml.errors import BadData
from batchml.rows import cells
from batchml.rows.conform import Form, conform
from batchml.rows.matching import match

DECLARED = {
    "id": Column(type="long"),
    "fare": Column(type="double"),
    "note": Column(type="string", optional=True),
}


def struct(**types: T.DataType) -> T.StructType:
    return T.StructType([T.StructField(name, type_) for name, type_ in types.items()])


def test_all_column_problems_are_listed_at_once(spark):
    with pytest.raises(BadData) as caught:
        conform(struct(fare=T.ArrayType(T.DoubleType())), DECLARED, "a.parquet")
    assert caught.value.message == "a.parquet: the file does not have the declared columns"
    assert caught.value.details == (
        "column 'id' is missing (declared as long)",
        "column 'fare' is array<double>, which cannot be cast to double",
    )


def test_widening_is_a_lossless_difference(spark):
    found = conform(
        struct(id=T.IntegerType(), fare=T.FloatType(), note=T.NullType()), DECLARED, "a"
    )
    assert found.differences == (
        "id is int, cast to bigint",
        "fare is float, cast to double",
        "note is void, cast to string",
    )
    assert found.originals == {}, "every cell fits"


def test_optional_or_undeclared_columns_are_differences(spark):
    found = conform(
        struct(id=T.LongType(), fare=T.DoubleType(), extra=T.StringType()), DECLARED, "a"
    )
    assert found.differences == (
        "note is absent, read as null",
        "extra is not declared, kept as JSON in 'undeclared'",
    )
    assert found.undeclared == ("extra",)


def test_name_matching_ignores_case_or_spaces():
    found = match(["ID", " fare", "Note"], DECLARED, "a.csv")
    assert found.columns == {"id": "ID", "fare": " fare", "note": "Note"}
    assert found.differences == (
        "id is spelled 'ID'",
        "fare is spelled ' fare'",
        "note is spelled 'Note'",
    )


def test_renamed_column_is_mapped():
    declared = {"trip_km": Column.model_validate({"type": "double", "from": "trip km"})}
    assert match(["trip km", "x"], declared, "a").columns == {"trip_km": "trip km"}
    assert match(["x"], declared, "a").problems == (
        "column 'trip km' is missing (declared as double); there is x",
    )


def test_missing_column_suggests_the_nearest():
    assert match(["id", "fares", "tip"], DECLARED, "a").problems == (
        "column 'fare' is missing (declared as double); the nearest is 'fares'",
    )


@pytest.mark.parametrize(
    "names", [["id", "fare", "id"], ["id", "fare", "ID"], ["id", "fare", "x", " X"]]
)
def test_duplicate_column_name_is_refused(names: list[str]):
    with pytest.raises(BadData, match=r"a column occurs twice\n  '(id|x)' and ' ?(id|ID|X)'"):
        match(names, DECLARED, "a.csv")


TIME = dt.datetime(2021, 1, 5, 10, 30)
DAY = dt.date(2021, 1, 5)
MISFIT = object()
# Texts, and what each is as a type.
TEXTS = {
    "long": {
        **{
            "2": 2,
            " 2 ": 2,
            "-7": -7,
            "+7": 7,
            "2.0": 2,
            "2.": 2,
            "2.000000000000000000000": 2,
            "1e+16": 10**16,
        },
        **{
            "1.5E1": 15,
            "9223372036854775807": 2**63 - 1,
            "9.223372036854775e18": 9223372036854775000,
        },
        **{
            "": None,
            "  ": None,
            "NaN": None,
            "inf": None,
            "2.5": MISFIT,
            "1e30": MISFIT,
            "9223372036854775808": MISFIT,
        },
        **{
            "n.v.": MISFIT,
            "1,000": MISFIT,
            "0x10": MISFIT,
            "2L": MISFIT,
            "1.5e0": MISFIT,
            "1e-1": MISFIT,
        },
    },
    "int": {"2147483647.0": 2**31 - 1, "2147483648": MISFIT, "3e9": MISFIT, "3e2": 300},
    "double": {
        **{
            "1.5": 1.5,
            " 1.5": 1.5,
            ".5": 0.5,
            "5.": 5.0,
            "1e3": 1000.0,
            "-2": -2.0,
            "0.1": 0.1,
            "1E-400": 0.0,
        },
        **{
            "3.333333333333333333": 10 / 3,
            "NaN": None,
            "nan": None,
            "Infinity": None,
            "-inf": None,
            "": None,
        },
        **{
            "1e400": MISFIT,
            "1d": MISFIT,
            "1f": MISFIT,
            "0x1p3": MISFIT,
            "1,5": MISFIT,
            "far": MISFIT,
        },
    },
    "boolean": {
        "true": True,
        "F": False,
        "1": True,
        "0.0": False,
        "yes": True,
        "": None,
        "2": MISFIT,
        "maybe": MISFIT,
    },
    "date": {
        **{
            "2021-01-05": DAY,
            "2021-1-5": DAY,
            "2021-01-05 00:00:00": DAY,
            "2021-01-05T00:00:00Z": DAY,
        },
        **{
            "2021": MISFIT,
            "2021-01": MISFIT,
            "2021-01-05Tgarbage": MISFIT,
            "2021-01-05 10:00:00": MISFIT,
            "": None,
        },
        **{
            "2021-02-30": MISFIT,
            "05.01.2021": MISFIT,
            "infinity": None,
            "NaT": None,
            "12021-01-05": MISFIT,
        },
        **{"0000-00-00": MISFIT, "0000-01-01": MISFIT, "0001-01-01": dt.date(1, 1, 1)},
    },
    "timestamp_ntz": {
        **{
            "2021-01-05 10:30:00": TIME,
            "2021-01-05T10:30": TIME,
            "2021-01-05 10:30:00.000000000": TIME,
        },
        **{
            "2021-01-05": dt.datetime(2021, 1, 5),
            "2021-01-05T10:30:00Z": TIME,
            "2021-01-05 10:30:00 UTC": TIME,
        },
        **{
            "2021-01-05T12:30:00+02:00": TIME,
            "2021-01-05 05:30:00-05": TIME,
            "2021-01-05T16:00:00+0530": TIME,
        },
        **{"2021-01-05 11:30:00 Europe/Berlin": TIME, "2021-01-04T23:30:00-11:00": TIME},
        **{
            "2021": MISFIT,
            "10:30": MISFIT,
            "2021-01-05Tgarbage": MISFIT,
            "2021-01-05 10:30:00 Mars/Base": MISFIT,
        },
        **{"2021-01-05 25:00:00": MISFIT, "2021-01-05 10:30:00 soon": MISFIT, "-infinity": None},
    },
    "string": {"74": "74", "74.0": "74.0", " a ": " a ", "": ""},
}


def converted(
    spark: SparkSession,
    source: T.DataType,
    values: list[object],
    declared: Column,
    form: Form | None = None,
):
    """Return each value as the declared type, or MISFIT for null with the text of the cell."""
    frame = spark.createDataFrame(
        [(number, value) for number, value in enumerate(values)],
        struct(n=T.IntegerType(), x=source),
    )
    found = conform(frame.select("x").schema, {"x": declared}, "a", form or Form())
    rows = found.compute(frame).select(
        "n",
        *found.values,
        found.reasons.alias("why"),
        found.leftovers.alias("json"),
    )
    outcome = []
    for row in rows.orderBy("n").collect():
        if row["why"]:
            assert row["why"] == [f"x_fits_{declared.type}"]
            assert row["x"] is None
            assert "x" in json.loads(row["json"])
        outcome.append(MISFIT if row["why"] else row["x"])
    return outcome


@pytest.mark.parametrize("type_", TEXTS)
def test_text_is_converted_or_quarantined(spark, type_: str):
    texts = TEXTS[type_]
    found = converted(spark, T.StringType(), list(texts), Column(type=type_))
    assert dict(zip(texts, found, strict=True)) == texts


def test_original_text_of_misfit_is_kept(spark):
    frame = spark.createDataFrame([("n.v.", "a"), ("1", "b")], "id string, other string")
    found = conform(frame.schema, {"id": Column(type="long")}, "a")
    kept = [row[0] for row in found.compute(frame).select(found.leftovers).collect()]
    assert kept == ['{"other":"a","id":"n.v."}', '{"other":"b"}']


CASTS = [
    (
        T.DoubleType(),
        "long",
        {1.0: 1, 2.5: MISFIT, 1e300: MISFIT, 2.0**63: MISFIT, math.inf: None, None: None},
    ),
    (
        T.DoubleType(),
        "string",
        {74.0: "74", 74.5: "74.5", -3.0: "-3", 4111111111111111.0: "4111111111111111"},
    ),
    (T.DoubleType(), "string", {math.inf: None, 1e300: "1.0E300", -0.0: "0"}),
    (T.DoubleType(), "double", {0.5: 0.5, math.inf: None, -math.inf: None, None: None}),
    (T.DoubleType(), "boolean", {1.0: True, 0.0: False, 2.0: MISFIT}),
    (T.FloatType(), "double", {0.5: 0.5}),
    (T.LongType(), "int", {7: 7, 2**31: MISFIT}),
    (T.LongType(), "double", {7: 7.0, 2**53 + 1: MISFIT}),
    (T.LongType(), "string", {74: "74"}),
    (T.LongType(), "boolean", {1: True, 2: MISFIT}),
    (T.BooleanType(), "long", {True: 1, False: 0}),
    (T.BooleanType(), "string", {True: "true"}),
    (
        T.DecimalType(38, 18),
        "double",
        {Decimal("3.333333333333333333"): 10 / 3, Decimal("0.1"): 0.1},
    ),
    (T.DecimalType(10, 2), "long", {Decimal("2.00"): 2, Decimal("2.50"): MISFIT}),
    (
        T.DecimalType(10, 2),
        "string",
        {Decimal("74.00"): "74", Decimal("74.50"): "74.5", Decimal("100.00"): "100"},
    ),
    (T.DecimalType(38, 18), "string", {Decimal("1e-10"): "0.0000000001", Decimal(0): "0"}),
    (T.DecimalType(20, 0), "long", {Decimal(2**64 - 1): MISFIT, Decimal(2**63 - 1): 2**63 - 1}),
    (T.DateType(), "timestamp_ntz", {DAY: dt.datetime(2021, 1, 5)}),
    (T.TimestampNTZType(), "date", {dt.datetime(2021, 1, 5): DAY, TIME: MISFIT}),
    (T.TimestampNTZType(), "string", {TIME: "2021-01-05 10:30:00"}),
    (T.BinaryType(), "string", {b"caf\xc3\xa9": "café", b"caf\xe9": MISFIT}),
    (T.NullType(), "long", {None: None}),
]


@pytest.mark.parametrize(("source", "declared", "values"), CASTS)
def test_typed_value_is_converted_or_quarantined(
    spark, source: T.DataType, declared: str, values: dict[object, object]
):
    assert converted(spark, source, list(values), Column(type=declared)) == list(values.values())


@pytest.mark.parametrize(
    ("source", "declared"),
    [
        (T.LongType(), "timestamp_ntz"),
        (T.LongType(), "date"),
        (T.DateType(), "long"),
        (T.BooleanType(), "date"),
        (T.TimestampType(), "double"),
        (T.ArrayType(T.LongType()), "string"),
        (T.BinaryType(), "long"),
    ],
)
def test_incompatible_types_are_refused(spark, source: T.DataType, declared: str):
    with pytest.raises(BadData, match=f"column 'x' is .*, which cannot be cast to {declared}"):
        conform(struct(x=source), {"x": Column(type=declared)}, "a")


def test_instants_become_local_time(spark):
    form = Form(zone="America/New_York")
    texts = ["2021-01-05T10:30:00Z", "2021-07-05T12:30:00+02:00", "2021-01-05 10:30:00"]
    local = [dt.datetime(2021, 1, 5, 5, 30), dt.datetime(2021, 7, 5, 6, 30), TIME]
    assert converted(spark, T.StringType(), texts, Column(type="timestamp_ntz"), form) == local
    frame = spark.createDataFrame([("2021-01-05T10:30:00Z",)], "x string").select(
        F.col("x").cast("timestamp")
    )
    found = conform(frame.schema, {"x": Column(type="timestamp_ntz")}, "a", form)
    assert found.compute(frame).select(*found.values).collect()[0][0] == local[0]
    assert found.differences == ("x is an instant, read as wall-clock time of America/New_York",)


@pytest.mark.parametrize(
    ("unit", "number"),
    [
        ("s", 1609842600),
        ("ms", 1609842600_000),
        ("us", 1609842600_000_000),
        ("ns", 1609842600_000_000_999),
    ],
)
def test_declared_epoch_numbers_become_times(spark, unit: str, number: int):
    declared = Column(type="timestamp_ntz", epoch=unit)
    assert converted(spark, T.LongType(), [number, None, 2**63 - 1], declared)[:2] == [TIME, None]
    assert converted(spark, T.StringType(), [str(number), "", "soon"], declared) == [
        TIME,
        None,
        MISFIT,
    ]
    if unit != "ns":
        assert converted(spark, T.DoubleType(), [float(number), math.inf], declared) == [TIME, None]


def test_epoch_in_wrong_unit_is_misfit(spark):
    assert converted(
        spark, T.LongType(), [1609842600_000], Column(type="timestamp_ntz", epoch="s")
    ) == [MISFIT]
    assert converted(spark, T.LongType(), [-1], Column(type="timestamp_ntz", epoch="ms")) == [
        dt.datetime(1969, 12, 31, 23, 59, 59, 999000)
    ]


def test_epoch_column_may_contain_times(spark):
    declared = Column(type="timestamp_ntz", epoch="ms")
    assert converted(spark, T.TimestampNTZType(), [TIME, None], declared) == [TIME, None]
    assert converted(spark, T.NullType(), [None], declared) == [None]


def test_time_with_pattern_is_not_a_date(spark):
    form = Form(formats={"x": "d/M/yyyy H:mm"})
    texts = ["5/1/2021 0:00", "5/1/2021 10:30", "2021-01-05"]
    assert converted(spark, T.StringType(), texts, Column(type="date"), form) == [DAY, MISFIT, DAY]


def test_dates_match_pattern_or_iso(spark):
    form = Form(formats={"x": "d/M/yy H:mm"})
    texts = ["5/1/21 10:30", "2021-01-05 10:30:00", "31/2/21 10:30", "5/1/21 10:30x"]
    assert converted(spark, T.StringType(), texts, Column(type="timestamp_ntz"), form) == [
        TIME,
        TIME,
        MISFIT,
        MISFIT,
    ]
    zoned = Form(formats={"x": "d.M.yyyy H:mm XXX"}, zone="Asia/Tokyo")
    assert converted(
        spark, T.StringType(), ["5.1.2021 01:30 Z"], Column(type="timestamp_ntz"), zoned
    ) == [TIME]


def test_declared_null_texts_become_null(spark):
    assert converted(
        spark, T.StringType(), ["?", " ? ", "1"], Column(type="long"), Form(nulls=("?",))
    ) == [
        None,
        None,
        1,
    ]


def test_two_digit_years_begin_in_1969(spark):
    texts = ["15/01/96", "1/1/69", "31/12/68", "29/02/00", "29/02/96", "1996-01-15"]
    rows = spark.createDataFrame([(text,) for text in texts], "day string")
    cell = cells.convert_formatted(F.col("day"), "date", "d/M/yy")
    found = [row[0] for row in rows.select(cell.value.cast("string")).collect()]
    assert found == [
        "1996-01-15",
        "1969-01-01",
        "2068-12-31",
        "2000-02-29",
        "1996-02-29",
        "1996-01-15",
    ]


LETTERS = st.sampled_from(
    ["yyyy", "yy", "y", "M", "MM", "MMM", "L", "d", "dd", "D", "DDD", "G", "mm", "s"]
)
TIMES = st.sampled_from(
    ["H", "HH", "hh", "K", "k", "a", "ss", "SSS", "SSSSSS", "z", "zzzz", "VV", "O", "X"]
)
OTHERS = st.sampled_from(
    ["XXX", "x", "Z", "ZZZZZ", " ", "-", "/", ".", ":", "'T'", "''", "[", "]", ",", "年", ";"]
)
PATTERNS = st.lists(LETTERS | TIMES | OTHERS, min_size=1, max_size=9).map("".join)


def test_spark_reads_every_accepted_pattern(spark):
    accepted: set[str] = set()

    @settings(max_examples=3000, deadline=None, database=None, derandomize=True)
    @given(PATTERNS)
    def collect(pattern: str) -> None:
        try:
            accepted.add(date_pattern(pattern))
        except WrongValue:
            return

    collect()
    assert len(accepted) > 50
    text = spark.range(1).select(F.lit("x").alias("text"))
    times = [F.try_to_timestamp("text", F.lit(pattern)) for pattern in sorted(accepted)[:200]]
    assert {*text.select(F.array(*times).alias("times")).first()["times"]} == {None}
