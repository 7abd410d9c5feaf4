"""Read and write a month's rows with Spark alone, for comparison with the pipeline's jobs.

    spark-submit benchmarks/bare_spark.py ingest LAKE MONTH.parquet
    spark-submit benchmarks/bare_spark.py features LAKE
    spark-submit benchmarks/bare_spark.py score LAKE MODEL START END

The same rows are written as many times as by ``ingest`` and ``build_features``, without any logic.
``score`` reads features, applies a model as Spark stores it, and writes the predictions.
"""

import sys
from collections.abc import Sequence

from pyspark.ml import PipelineModel
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

FIRST = "2021-01-01"
LAST = "2021-01-31"


def main(part: str, lake: str, arguments: Sequence[str]) -> None:
    """Write bronze and silver (``ingest``), features or predictions (``score``)."""
    spark = SparkSession.builder.appName(f"bare {part}").getOrCreate()

    def write(rows: DataFrame, table: str) -> None:
        writer = rows.write.format("delta").mode("overwrite").partitionBy("event_date")
        writer.save(f"{lake}/{table}")

    def read(table: str) -> DataFrame:
        return spark.read.format("delta").load(f"{lake}/{table}")

    if part == "ingest":
        (month,) = arguments
        date = F.to_date("lpep_pickup_datetime")
        rows = spark.read.parquet(month).withColumn("event_date", date)
        in_month = F.col("event_date").between(FIRST, LAST)
        write(rows.where(in_month), "bronze")
        write(read("bronze"), "silver")
    elif part == "features":
        write(read("silver"), "features")
    else:
        model, start, end = arguments
        is_scored = F.col("event_date").between(start, end)
        rows = read("features").where(is_scored)
        scored = PipelineModel.load(model).transform(rows)
        write(scored.select("event_date", "prediction"), "bare_predictions")
    spark.stop()


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], sys.argv[3:])
