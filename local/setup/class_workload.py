"""Load the classes of a job, so that the archive created at the end of this process has them."""

import tempfile

from pyspark.ml.feature import VectorAssembler
from pyspark.ml.regression import LinearRegression
from pyspark.sql import SparkSession
from pyspark.sql import functions as F

spark = (
    SparkSession.builder.config("spark.authenticate", "false")
    .config("spark.eventLog.enabled", "false")
    .getOrCreate()
)
with tempfile.TemporaryDirectory() as folder:
    rows = spark.range(100).select(
        F.col("id"), (F.col("id") % 2).alias("half"), F.rand(1).alias("x")
    )
    rows.write.parquet(f"{folder}/files")
    for mode in ("append", "overwrite"):
        writer = spark.read.parquet(f"{folder}/files").write.format("delta").mode(mode)
        writer.partitionBy("half").save(f"{folder}/table")
    table = spark.read.format("delta").load(f"{folder}/table").where(F.col("half") == 1)
    table.groupBy("half").agg(F.count("*"), F.avg("x")).collect()
    vectors = VectorAssembler(inputCols=["id"], outputCol="features").transform(table)
    LinearRegression(labelCol="x").fit(vectors).transform(vectors).orderBy("id").collect()
spark.stop()
