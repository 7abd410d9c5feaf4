"""Read and write a month's rows with Spark alone: what the pipeline's jobs are measured against.

    spark-submit benchmarks/bare_spark.py ingest MONTH.parquet LAKE
    spark-submit benchmarks/bare_spark.py features - LAKE

The same rows are written as many times as by ``ingest`` and ``build_features``, without any logic.
"""

import sys

from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

FIRST, LAST = "2021-01-01", "2021-01-31"


def main(part: str, source: str, lake: str) -> None:
    """Write bronze and silver (``ingest``), or features."""
    spark = SparkSession.builder.appName(f"bare {part}").getOrCreate()

    def write(rows: DataFrame, table: str) -> None:
        writer = rows.write.format("delta").mode("overwrite").partitionBy("event_date")
        writer.save(f"{lake}/{table}")

    def read(table: str) -> DataFrame:
        return spark.read.format("delta").load(f"{lake}/{table}")

    if part == "ingest":
        date = F.to_date("lpep_pickup_datetime")
        rows = spark.read.parquet(source).withColumn("event_date", date)
        write(rows.where(F.col("event_date").between(FIRST, LAST)), "bronze")
        write(read("bronze"), "silver")
    else:
        write(read("silver"), "features")
    spark.stop()


if __name__ == "__main__":
    main(*sys.argv[1:])
