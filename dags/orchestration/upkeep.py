"""How one DAG asks another pipeline's DAG to look after its tables."""

from airflow.providers.standard.operators.trigger_dagrun import TriggerDagRunOperator
from airflow.sdk import Context
from airflow.sdk.exceptions import AirflowSkipException


class AskForMaintenance(TriggerDagRunOperator):
    """Triggers a pipeline's DAG with ``action=maintain_tables`` and waits for it; skipped while that DAG is paused.

    A run of a paused DAG never starts: it would be waited for in vain, and surprise whoever unpauses it.
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
        """Looks whether the DAG is paused first."""
        if context["ti"].get_dag(self.trigger_dag_id).is_paused:
            raise AirflowSkipException(f"{self.trigger_dag_id} is paused: there is nothing to look after until it runs")
        super().execute(context)
