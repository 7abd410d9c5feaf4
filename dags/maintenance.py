"""The Airflow DAG `maintenance`: every week, the tables of one pipeline at a time.

It triggers each pipeline's own DAG, so that no table is cleaned up while a daily run writes it.
"""

import datetime as dt

from airflow.providers.standard.operators.trigger_dagrun import TriggerDagRunOperator
from airflow.sdk import DAG, Context
from airflow.sdk.exceptions import AirflowSkipException

from batchml.config import conf_folder
from orchestration.pipeline_dag import scheduled_pipelines


class AskForMaintenance(TriggerDagRunOperator):
    """Triggers a pipeline's DAG with ``action=maintain_tables`` and waits for it; skipped while that DAG is paused.

    A run of a paused DAG never starts: the wait would not end, and the run would start when the DAG is unpaused.
    """

    def __init__(self, *, pipeline: str, **kwargs: object) -> None:
        super().__init__(
            task_id=pipeline,
            trigger_dag_id=pipeline,
            conf={"action": "maintain_tables"},
            logical_date=None,
            wait_for_completion=True,
            poke_interval=10,
            deferrable=False,
            **kwargs,
        )

    def execute(self, context: Context) -> None:
        """Trigger the run unless the DAG is paused."""
        if context["ti"].get_dag(self.trigger_dag_id).is_paused:
            raise AirflowSkipException(
                f"{self.trigger_dag_id} is paused: there is nothing to look after until it runs"
            )
        super().execute(context)


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
