"""The Airflow DAG `maintenance`: maintain the tables of every pipeline once a week.

It triggers the DAG of each pipeline, so that maintenance never runs next to a daily run.
"""

import datetime as dt

from airflow.providers.standard.operators.trigger_dagrun import TriggerDagRunOperator
from airflow.sdk import DAG, Context
from airflow.sdk.exceptions import AirflowSkipException

from batchml.config import conf_folder
from orchestration.pipeline_dag import scheduled_pipelines


class TriggerMaintenance(TriggerDagRunOperator):
    """Task that triggers a pipeline's DAG with ``action=maintain_tables`` and waits for the run.

    It is skipped while that DAG is paused. A run of a paused DAG waits, and would start as soon as
    the DAG is unpaused.
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
                f"{self.trigger_dag_id} is paused: unpause it to maintain its tables"
            )
        super().execute(context)


with DAG(
    dag_id="maintenance",
    description="Compaction and clean-up of every pipeline's tables",
    schedule="0 6 * * 0",  # Sundays, after the runs of the night
    start_date=dt.datetime(2021, 1, 1, tzinfo=dt.UTC),
    catchup=False,
    max_active_runs=1,
    # Not a chain: after a failure the other pipelines are still maintained, and the run fails.
    max_active_tasks=1,
    doc_md=(
        "Triggers the DAG of each pipeline that is not paused with `action=maintain_tables`, "
        "and waits for its run."
    ),
    tags=["stack"],
):
    for name in scheduled_pipelines(conf_folder()):
        TriggerMaintenance(pipeline=name)
