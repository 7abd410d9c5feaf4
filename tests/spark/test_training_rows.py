"""The order in which rows are fitted on."""

from pyspark.sql import functions as F

from batchml.workflow.training import in_one_order

ROWS, PARTITIONS = 5_000, 3


def test_partitions_do_not_depend_on_row_order(spark):
    rows = spark.range(ROWS).select(
        F.col("id").alias("trip"),
        F.expr("date_add(DATE'2021-01-01', int(id % 7))").alias("event_date"),
    )

    def parts(before: int) -> list[list[int]]:
        shuffled = rows.repartition(before, F.rand(before))
        found = in_one_order(shuffled, ["trip"], PARTITIONS)
        collected = found.select(F.spark_partition_id(), "trip").rdd.map(tuple).collect()
        return [[trip for part, trip in collected if part == number] for number in range(3)]

    one, seven = parts(1), parts(7)
    assert one == seven
    assert sum(map(len, one)) == ROWS
    assert all(one), "no partition is empty"
