"""Read the small CSV tables of the landing folder that the feature ``lookup`` uses."""

from collections.abc import Collection

from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from batchml.clients import storage
from batchml.config import Pipeline
from batchml.config.sources import LookupTable
from batchml.errors import BadData, Unavailable
from batchml.sources.spark_errors import reading


def read_lookups(
    spark: SparkSession, pipeline: Pipeline, landing: str
) -> dict[str, DataFrame | None]:
    """Return the tables that the pipeline's features use, by name.

    An optional table without a file is None.
    """
    columns: dict[str, set[str]] = {}
    for step in pipeline.features:
        if step.kind == "lookup":
            columns.setdefault(step.table, set()).add(step.take)
    tables = {}
    for name, names in columns.items():
        tables[name] = _read(spark, pipeline.lookups[name], landing, names)
    return tables


def _read(
    spark: SparkSession, table: LookupTable, landing: str, columns: Collection[str]
) -> DataFrame | None:
    """Return the file's rows as text, with its key in the column ``key``."""
    path = storage.join(landing, table.path)
    if not storage.exists(spark, path):
        if table.optional:
            return None
        raise Unavailable(
            f"the lookup table {path} does not exist",
            remedy="put the file there, or declare the table optional: true",
        )
    with reading(path):
        rows = spark.read.csv(path, header=True, escape='"')  # a quote is doubled, as in kind csv
        required = {table.key} | set(columns)
        missing = sorted(required - set(rows.columns))
        if missing:
            raise BadData(
                f"{path} has no column {', '.join(missing)}",
                f"it has: {', '.join(rows.columns)}",
                remedy="correct the file, or the names in 'lookups' and 'features'",
            )
        rows = rows.withColumn("key", F.trim(F.col(f"`{table.key}`")))
        twice = rows.groupBy("key").count().where("count > 1").select("key").limit(5).collect()
    if twice:
        keys = ", ".join(str(row["key"]) for row in twice)
        raise BadData(
            f"{path}: {table.key} is not unique: {keys}",
            remedy="correct the file: every duplicate key would double a row",
        )
    return rows
