import math

import pytest
from pyspark.sql import types as T

from batchml.config import Column, conf_folder, load_pipeline
from batchml.errors import BadData
from batchml.rows.schemas import bronze, conform, features, predictions, select

DECLARED = {
    "id": Column(type="long"),
    "fare": Column(type="double"),
    "note": Column(type="string", optional=True),
}


def struct(**types: T.DataType) -> T.StructType:
    return T.StructType([T.StructField(name, type_) for name, type_ in types.items()])


def test_every_missing_or_impossible_column_is_listed_at_once():
    with pytest.raises(BadData) as caught:
        conform(struct(fare=T.ArrayType(T.DoubleType())), DECLARED, "a.parquet")
    assert caught.value.message == "a.parquet: the file does not have the declared columns"
    assert caught.value.details == (
        "column 'id' is missing (declared as long)",
        "column 'fare' is array<double>, which cannot be cast to double",
    )


def test_widening_is_a_difference_but_loses_nothing():
    found = conform(struct(id=T.IntegerType(), fare=T.FloatType(), note=T.NullType()), DECLARED, "a")
    assert found.differences == (
        "id is int, cast to bigint",
        "fare is float, cast to double",
        "note is void, cast to string",
    )
    assert found.lossy == {}


def test_an_absent_optional_column_and_an_undeclared_one_are_differences():
    found = conform(struct(id=T.LongType(), fare=T.DoubleType(), extra=T.StringType()), DECLARED, "a")
    assert found.differences == ("note is absent, read as null", "extra is not declared, kept as JSON in 'undeclared'")
    assert found.undeclared == ("extra",)


@pytest.mark.parametrize(
    ("source", "values", "lost"),
    [
        (T.DoubleType(), [1.0, 2.0, None], 0),
        (T.DoubleType(), [1.0, 2.5, 1e300], 2),
        (T.StringType(), ["1", " 2 ", None], 0),
        (T.StringType(), ["1", "two", "3.5"], 2),
        (T.BooleanType(), [True, False], 0),
    ],
)
def test_narrowing_counts_the_values_it_would_lose(spark, source, values, lost):
    frame = spark.createDataFrame([(value,) for value in values], struct(id=source))
    found = conform(frame.schema, {"id": Column(type="long")}, "a")
    assert frame.where(found.lossy["id"]).count() == lost


def test_a_whole_number_too_large_for_a_double_is_a_loss(spark):
    frame = spark.createDataFrame([(1,), (2**53 + 1,)], struct(fare=T.LongType()))
    found = conform(frame.schema, {"fare": Column(type="double")}, "a")
    assert frame.where(found.lossy["fare"]).count() == 1


def test_not_a_number_is_no_value(spark):
    frame = spark.createDataFrame([(math.nan,), (1.5,), (None,)], "miles double")
    found = conform(frame.schema, {"miles": Column(type="double")}, "trips.parquet")
    assert [row[0] for row in frame.select(found.columns["miles"]).collect()] == [None, 1.5, None]


def test_select_lists_every_discrepancy(spark):
    frame = spark.createDataFrame([(1, "x")], "id int, other string")
    with pytest.raises(BadData) as caught:
        select(frame, struct(id=T.LongType(), name=T.StringType()))
    assert caught.value.details == ("column 'name' is missing", "column 'id' is int, expected bigint")


def test_the_tables_of_a_pipeline():
    taxi, iris = (load_pipeline(name, conf_folder()) for name in ("taxi", "iris"))
    assert bronze(taxi).fieldNames()[:3] == ["event_date", "source_file", "source_row"]
    assert bronze(taxi).fieldNames()[-1] == "undeclared"
    assert features(taxi).simpleString() == (
        "struct<event_date:date,source_row:bigint,lpep_pickup_datetime:timestamp_ntz,"
        "lpep_dropoff_datetime:timestamp_ntz,PULocationID:bigint,DOLocationID:bigint,trip_distance:double,"
        "pickup_hour:int,pickup_weekday:int,trip_minutes:double,pickup_borough:string,pickup_band:string>"
    )
    assert predictions(iris).simpleString() == (
        "struct<event_date:date,source_row:bigint,prediction:string,label:string,model_version:bigint>"
    )
