"""Load the classes of a job, so that the archive created at the end of this process has them."""

import tempfile

from pyspark.ml.feature import VectorAssembler
from pyspark.ml.regression import LinearRegression
from pyspark.sql import SparkSession
from pyspark.sql import functions as F

builder = SparkSession.builder
builder = builder.config("spark.authenticate", "false")
builder = builder.config("spark.eventLog.enabled", "false")
spark = builder.getOrCreate()

with tempfile.TemporaryDirectory() as folder:
    half = (F.col("id") % 2).alias("half")
    random = F.rand(1).alias("x")
    rows = spark.range(100).select("id", half, random)
    rows.write.parquet(f"{folder}/files")
    for mode in ("append", "overwrite"):
        writer = spark.read.parquet(f"{folder}/files").write
        writer = writer.format("delta").mode(mode).partitionBy("half")
        writer.save(f"{folder}/table")

    table = spark.read.format("delta").load(f"{folder}/table")
    table = table.where(F.col("half") == 1)
    means = table.groupBy("half").agg(F.count("*"), F.avg("x"))
    means.collect()

    assembler = VectorAssembler(inputCols=["id"], outputCol="features")
    vectors = assembler.transform(table)
    model = LinearRegression(labelCol="x").fit(vectors)
    model.transform(vectors).orderBy("id").collect()
spark.stop()
