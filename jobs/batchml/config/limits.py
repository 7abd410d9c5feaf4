"""How long a pipeline's tasks may take."""

from typing import Annotated, Literal

from pydantic import Field

from batchml.config.base import Closed

Job = Literal[
    "ingest",
    "build_features",
    "score_batch",
    "monitor_drift",
    "train_model",
    "evaluate_model",
    "promote_model",
    "report_day",
    "maintain_tables",
]
Minutes = Annotated[int, Field(strict=True, ge=1, le=7 * 24 * 60)]
# These stop a job that hangs: the job of a day or a month takes seconds or minutes.
DEFAULT_MINUTES: dict[Job, int] = {
    "ingest": 120,
    "build_features": 120,
    "score_batch": 120,
    "monitor_drift": 60,
    "train_model": 360,
    "evaluate_model": 60,
    "promote_model": 120,  # a rollback scores dates again
    "report_day": 15,
    "maintain_tables": 240,
}


class Limits(Closed):
    """How long tasks and runs may take in Airflow.

    ``minutes`` is the limit of a task, for every job or for those named. A task over its limit is
    killed and retried. ``run_hours`` is the limit of a whole run: by default twice what waiting,
    approval and the daily jobs may take together, but at least 24 hours and twice the limit of
    ``maintain_tables``.
    """

    minutes: Minutes | dict[Job, Minutes] = Field(default_factory=dict)
    run_hours: float | None = Field(None, gt=0)

    @property
    def total_hours(self) -> float:
        """Return the hours that the jobs of a daily run may take together."""
        daily_jobs = [job for job in DEFAULT_MINUTES if job != "maintain_tables"]
        return sum(self.minutes_of(job) for job in daily_jobs) / 60

    def minutes_of(self, job: str) -> int:
        """Return the limit of ``job`` in minutes."""
        if isinstance(self.minutes, int):
            return self.minutes
        limits = DEFAULT_MINUTES | self.minutes
        return {str(name): minutes for name, minutes in limits.items()}[job]
