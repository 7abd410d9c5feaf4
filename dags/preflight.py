"""The Airflow DAG `preflight`: check the stack after its first start or a failure."""

import datetime as dt

from airflow.sdk import DAG

from orchestration.operators import spark_task

with DAG(
    dag_id="preflight",
    description="Check Spark, software versions, lake, MLflow, clocks and disks",
    schedule=None,
    start_date=dt.datetime(2021, 1, 1, tzinfo=dt.UTC),
    max_active_runs=1,
    doc_md="One task, `jobs/preflight.py`: a result per check, and a remedy for each failure.",
    tags=["stack"],
):
    spark_task("preflight", name="preflight", execution_timeout=dt.timedelta(minutes=15))
