"""The Airflow DAG `preflight`: is the stack sound? Run it after the first start, and when something is odd."""

import datetime as dt

from airflow.sdk import DAG

from orchestration.operators import spark_task

with DAG(
    dag_id="preflight",
    description="Is the stack sound: Spark, the same software everywhere, lake, MLflow, clocks, disks?",
    schedule=None,
    start_date=dt.datetime(2021, 1, 1, tzinfo=dt.UTC),
    max_active_runs=1,
    doc_md="One task, `jobs/preflight.py`. It checks all there is to check, and names the remedy for each failure.",
    tags=["stack"],
):
    spark_task("preflight", name="preflight", execution_timeout=dt.timedelta(minutes=15))
