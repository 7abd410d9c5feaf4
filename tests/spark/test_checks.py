import pytest
from chispa import assert_df_equality
from pyspark.sql import functions as F

from batchml.config import Check, conf_folder, load_pipeline
from batchml.errors import BadConfig
from batchml.rows.checks import MALFORMED, OUTSIDE_PERIOD, apply_checks, passes, validate_checks
from batchml.rows.reasons import failing
from batchml.rows.schemas import bronze

CHECKS = [
    Check(name="fare_is_not_negative", expect="fare >= 0"),
    Check(name="distance_is_known", expect="miles IS NOT NULL", on_fail="warn"),
]


def test_failing_row_lists_every_failed_check(spark):
    rows = spark.createDataFrame(
        [
            (1, 5.0, 2.0, True, True, []),
            (2, -5.0, None, True, True, []),
            (3, 5.0, None, False, True, []),
            (4, None, 1.0, True, False, []),
            (5, None, 1.0, True, True, ["fare_fits_double"]),
        ],
        "id int, fare double, miles double, in_period boolean, fits boolean, misfits array<string>",
    )
    expected = spark.createDataFrame(
        [
            (1, [], []),
            (2, ["fare_is_not_negative"], ["distance_is_known"]),
            (3, [OUTSIDE_PERIOD], ["distance_is_known"]),
            (
                4,
                [MALFORMED, "fare_is_not_negative"],
                [],
            ),  # a fact that is null is not known to hold
            (5, ["fare_fits_double", "fare_is_not_negative"], []),
        ],
        "id int, reasons array<string>, warnings array<string>",
    )
    assert_df_equality(
        apply_checks(rows, CHECKS).select("id", "reasons", "warnings"),
        expected,
        ignore_nullable=True,
    )


def test_invalid_condition_is_named(spark):
    settings = [
        "checks=[{name: a, expect: trip_distnce > 0}, {name: b, expect: fare_amount +}, "
        "{name: c, expect: fare_amount}]"
    ]
    pipeline = load_pipeline("taxi", conf_folder(), settings)
    with pytest.raises(BadConfig) as caught:
        validate_checks(pipeline.checks, spark.createDataFrame([], bronze(pipeline)), "taxi")
    assert (
        caught.value.message
        == "conf/pipelines/taxi.yaml: a check is not a condition on the columns"
    )
    unknown, unfinished, no_fact = caught.value.details
    assert "a expects 'trip_distnce > 0'" in unknown
    assert "trip_distance" in unknown  # Spark's own suggestion
    assert "b expects 'fare_amount +'" in unfinished
    assert no_fact == "checks: c expects 'fare_amount': it is double, not true or false"


def test_row_with_reasons_does_not_pass(spark):
    rows = spark.createDataFrame(
        [(1, 5.0, None, True, True, []), (2, -5.0, 1.0, True, True, [])],
        "id int, fare double, miles double, in_period boolean, fits boolean, misfits array<string>",
    )
    assert [row["id"] for row in apply_checks(rows, CHECKS).where(passes()).collect()] == [1]


def test_rows_pass_without_checks(spark):
    rows = spark.createDataFrame(
        [(1, True, True, [])], "id int, in_period boolean, fits boolean, misfits array<string>"
    )
    assert apply_checks(rows, []).where(passes()).count() == 1


@pytest.mark.parametrize(
    "expect",
    [
        *("sum/**/(id) > 1", "hll_sketch_agg(id) IS NOT NULL"),
        *("explode(array(true))", "rank() > 1", "rand() > 0.5", "uuid() = '1'"),
        *("monotonically_increasing_id() > 0", "spark_partition_id() = 0"),
        *(
            "*",
            "id >",
            "((id)",
            "id > 0; id < 3",
            "1",
            "nobody > 0",
            "window(now(), '1 day') IS NULL",
        ),
    ],
)
def test_condition_on_more_than_a_row_is_refused(spark, expect: str):
    check = Check.model_construct(name="odd", expect=expect)
    with pytest.raises(BadConfig, match="a check is not a condition on the columns"):
        validate_checks([check], spark.range(3), "rides")


@pytest.mark.parametrize(
    "expect", ["id > 0", "id < 10 AND now() > DATE'2020-01-01'", "try_divide(1, id) > 0"]
)
def test_condition_on_one_row_is_valid(spark, expect: str):
    frame = spark.range(3).withColumn("place", F.monotonically_increasing_id())
    validate_checks([Check(name="even", expect=expect)], frame, "rides")


def test_wide_table_lists_failing_names(spark):
    conditions = {f"c{place}": F.col("id") == place for place in range(1_000)}
    rows = spark.range(2).select(failing(conditions).alias("reasons")).collect()
    assert [row["reasons"] for row in rows] == [["c0"], ["c1"]]
    assert spark.range(2_000, 2_001).select(failing(conditions)).collect()[0][0] == []
