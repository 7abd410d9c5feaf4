"""The Spark session of the run."""

from tests.support.spark_session import empty_mlflow, spark, workbench

__all__ = ["empty_mlflow", "spark", "workbench"]
