"""The Airflow DAG `freshness`: check every hour if a pipeline is late or has an unusual volume.

It needs no run of a pipeline, so it also reports one that stands still.
"""

import datetime as dt
from typing import Any

from airflow.sdk import DAG, get_current_context, task

from batchml.config import conf_folder
from orchestration.freshness import check_freshness
from orchestration.pipeline_dag import scheduled_pipelines

with DAG(
    dag_id="freshness",
    description="Late dates and unusual volumes of every pipeline",
    schedule="0 * * * *",
    start_date=dt.datetime(2021, 1, 1, tzinfo=dt.UTC),
    catchup=False,
    max_active_runs=1,
    doc_md=(
        "Reads the ledger of each pipeline that is not paused, without Spark, and sends the events "
        "`late` and `volume` to the targets of its YAML: `late` once, and again when more dates "
        "are late, `volume` once for each date with a new alarm. Sends `failed` if a ledger cannot "
        "be read."
    ),
    tags=["stack"],
):

    @task(
        pool="default_pool",
        retries=0,  # the next run is an hour away
        execution_timeout=dt.timedelta(minutes=10),
        doc_md="Returns the state of each pipeline. Fails at the end if one could not be read.",
    )
    def check() -> dict[str, Any]:
        """Check the pipelines that have a schedule and a valid file."""
        return check_freshness(scheduled_pipelines(conf_folder()), get_current_context())

    check()
