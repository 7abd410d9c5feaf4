"""The Airflow DAG `maintenance`: every week, the tables of one pipeline after the other.

It asks each pipeline's own DAG to do it, so that nothing cleans up a table while a day's work writes it.
"""

import datetime as dt

from airflow.providers.standard.operators.trigger_dagrun import TriggerDagRunOperator
from airflow.sdk import DAG, chain

from batchml.config import conf_folder
from orchestration.pipeline_dag import scheduled_pipelines

with DAG(
    dag_id="maintenance",
    description="Compaction and clean-up of every pipeline's tables",
    schedule="0 6 * * 0",  # Sundays, when the night's runs are done
    start_date=dt.datetime(2021, 1, 1, tzinfo=dt.UTC),
    catchup=False,
    max_active_runs=1,
    doc_md="Triggers each pipeline's DAG with `action=maintain_tables` and waits for it.",
    tags=["stack"],
):
    chain(
        *(
            TriggerDagRunOperator(
                task_id=name,
                trigger_dag_id=name,
                conf={"action": "maintain_tables"},
                logical_date=None,
                wait_for_completion=True,
                poke_interval=30,
                deferrable=False,
                trigger_rule="all_done",  # one pipeline's failure is not the next one's
            )
            for name in scheduled_pipelines(conf_folder())
        )
    )
