"""The Airflow DAG `maintenance`: every week, the tables of one pipeline at a time.

It asks each pipeline's own DAG to do it, so that nothing cleans up a table while a day's work writes it.
"""

import datetime as dt

from airflow.sdk import DAG

from batchml.config import conf_folder
from orchestration.pipeline_dag import scheduled_pipelines
from orchestration.upkeep import AskForMaintenance

with DAG(
    dag_id="maintenance",
    description="Compaction and clean-up of every pipeline's tables",
    schedule="0 6 * * 0",  # Sundays, when the night's runs are done
    start_date=dt.datetime(2021, 1, 1, tzinfo=dt.UTC),
    catchup=False,
    max_active_runs=1,
    max_active_tasks=1,  # not a chain: one pipeline's failure is not the next one's, and fails the run all the same
    doc_md="Triggers each pipeline's DAG, unless it is paused, with `action=maintain_tables` and waits for it.",
    tags=["stack"],
):
    for name in scheduled_pipelines(conf_folder()):
        AskForMaintenance(pipeline=name)
