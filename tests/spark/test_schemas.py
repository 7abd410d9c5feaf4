import pytest
from pyspark.sql import types as T

from batchml.config import conf_folder, load_pipeline
from batchml.errors import BadData
from batchml.rows.schemas import bronze, features, predictions, select


def struct(**types: T.DataType) -> T.StructType:
    return T.StructType([T.StructField(name, type_) for name, type_ in types.items()])


def test_select_lists_every_discrepancy(spark):
    frame = spark.createDataFrame([(1, "x")], "id int, other string")
    with pytest.raises(BadData) as caught:
        select(frame, struct(id=T.LongType(), name=T.StringType()))
    assert caught.value.details == (
        "column 'name' is missing",
        "column 'id' is int, expected bigint",
    )


def test_tables_have_these_schemas():
    taxi, iris = (load_pipeline(name, conf_folder()) for name in ("taxi", "iris"))
    assert bronze(taxi).fieldNames()[:3] == ["event_date", "source_file", "source_row"]
    assert bronze(taxi).fieldNames()[-3:] == ["undeclared", "reasons", "warnings"]
    assert features(taxi).simpleString() == (
        "struct<event_date:date,source_row:bigint,lpep_pickup_datetime:timestamp_ntz,"
        "lpep_dropoff_datetime:timestamp_ntz,PULocationID:bigint,DOLocationID:bigint,trip_distance:double,"
        "pickup_hour:int,pickup_weekday:int,trip_minutes:double,pickup_borough:string,pickup_band:string>"
    )
    assert predictions(iris).simpleString() == (
        "struct<event_date:date,source_row:bigint,prediction:string,label:string,model_version:bigint,"
        "seen:boolean,trained_end:date>"
    )
