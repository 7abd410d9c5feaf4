"""What every Spark task has in common: the job's file, the pool, and where its event log goes."""

import os
from pathlib import Path
from typing import Any

from orchestration.operators import SparkJobOperator

JOBS = Path(__file__).resolve().parents[2] / "jobs"
POOL = "spark_drivers"


def spark_task(job: str, **kwargs: Any) -> SparkJobOperator:
    """A task that submits ``jobs/<job>.py``; its id is the job's name unless another is given."""
    fixed = {
        "application": str(JOBS / f"{job}.py"),
        "conf": _conf_of_this_place(),
        "pool": POOL,
    }
    return SparkJobOperator(**{"task_id": job, **fixed, **kwargs})


def _conf_of_this_place() -> dict[str, str]:
    """Where the history server will look and how the application's page is reached."""
    conf = {}
    if folder := os.environ.get("BATCHML_SPARK_EVENTS"):
        conf |= {"spark.eventLog.enabled": "true", "spark.eventLog.dir": folder}
    if "BATCHML_LINK_SPARK" in os.environ:
        conf["spark.ui.reverseProxy"] = "true"
    return conf
