import pytest
from chispa import assert_df_equality

from batchml.config import Check, conf_folder, load_pipeline
from batchml.errors import BadConfig
from batchml.rows.checks import MALFORMED, OUTSIDE_PERIOD, judge, passes, require_sound
from batchml.rows.schemas import bronze

CHECKS = [
    Check(name="fare_is_not_negative", expect="fare >= 0"),
    Check(name="distance_is_known", expect="miles IS NOT NULL", on_fail="warn"),
]


def test_a_row_bears_the_name_of_every_check_it_fails(spark):
    rows = spark.createDataFrame(
        [
            (1, 5.0, 2.0, True, True),
            (2, -5.0, None, True, True),
            (3, 5.0, None, False, True),
            (4, None, 1.0, True, False),
        ],
        "id int, fare double, miles double, in_period boolean, fits boolean",
    )
    expected = spark.createDataFrame(
        [
            (1, [], []),
            (2, ["fare_is_not_negative"], ["distance_is_known"]),
            (3, [OUTSIDE_PERIOD], ["distance_is_known"]),
            (4, [MALFORMED, "fare_is_not_negative"], []),  # a fact that is null is not known to hold
        ],
        "id int, reasons array<string>, warnings array<string>",
    )
    assert_df_equality(judge(rows, CHECKS).select("id", "reasons", "warnings"), expected, ignore_nullable=True)


def test_a_condition_that_makes_no_sense_is_named(spark):
    settings = [
        "checks=[{name: a, expect: trip_distnce > 0}, {name: b, expect: fare_amount +}, {name: c, expect: fare_amount}]"
    ]
    pipeline = load_pipeline("taxi", conf_folder(), settings)
    with pytest.raises(BadConfig) as caught:
        require_sound(pipeline.checks, spark.createDataFrame([], bronze(pipeline)), "taxi")
    assert caught.value.message == "conf/pipelines/taxi.yaml: a check is not a condition on the columns"
    unknown, unfinished, no_fact = caught.value.details
    assert "a expects 'trip_distnce > 0'" in unknown
    assert "trip_distance" in unknown  # Spark's own suggestion
    assert "b expects 'fare_amount +'" in unfinished
    assert no_fact == "checks: c expects 'fare_amount': it is double, not true or false"


def test_only_a_row_without_reasons_passes(spark):
    rows = spark.createDataFrame(
        [(1, 5.0, None, True, True), (2, -5.0, 1.0, True, True)],
        "id int, fare double, miles double, in_period boolean, fits boolean",
    )
    assert [row["id"] for row in judge(rows, CHECKS).where(passes()).collect()] == [1]


def test_a_pipeline_may_have_no_checks(spark):
    rows = spark.createDataFrame([(1, True, True)], "id int, in_period boolean, fits boolean")
    assert judge(rows, []).where(passes()).count() == 1
