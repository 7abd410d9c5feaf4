"""The table of jobs: scope, needs of Spark, options, and meaning to Airflow."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Literal

Spark = Literal["none", "no executors", "full", "every worker"]
"""``no executors``: they start only once there is work. ``every worker``: all cores of the cluster."""
Event = Literal["alarm", "promoted", "rolled_back"]
APPROVED_BY_DEFAULT = "nobody, by default after the deadline"
"""Who approved if no one answered in Airflow, and the configured answer is ``approve``."""


@dataclass(frozen=True, kw_only=True)
class Option:
    """An option of one job: a flag unless it has a ``metavar``.

    ``step``: the step to run in place of the job's own. ``needs_end``: the option is about the
    dates, so ``--end`` stays required; with any other option, ``--end`` defaults to today.
    """

    help: str
    metavar: str | None = None
    parse: Callable[[str], object] = str
    needs_end: bool = False
    step: str | None = None
    spark: Spark | None = None


@dataclass(frozen=True, kw_only=True)
class JobSpec:
    """One job.

    ``of_a_pipeline``: it takes a pipeline and dates. ``needs_end``: ``--end`` is required unless an
    option makes it superfluous. ``needs_champion_to``: the purpose, for the error if the pipeline
    has no champion, which is checked before Spark starts. ``outlets``: the Airflow assets that a
    run updates. ``event``: the message sent after it has succeeded.
    """

    of_a_pipeline: bool = True
    needs_end: bool = True
    spark: Spark = "full"
    options: Mapping[str, Option] = field(default_factory=dict)
    needs_champion_to: str | None = None
    outlets: tuple[str, ...] = ()
    event: Event | None = None


JOBS: dict[str, JobSpec] = {
    "ingest": JobSpec(outlets=("bronze", "silver", "quarantine")),
    "build_features": JobSpec(outlets=("features",)),
    "score_batch": JobSpec(
        needs_champion_to="score with",
        outlets=("predictions",),
        options={
            "with": Option(
                metavar="VERSION",
                parse=int,
                help="score the dates with that version, also where it has seen them",
                needs_end=True,
            ),
        },
    ),
    "monitor_drift": JobSpec(needs_champion_to="compare with", outlets=("drift",), event="alarm"),
    "train_model": JobSpec(
        outlets=("challenger",),
        options={
            "reproduce": Option(
                metavar="VERSION",
                parse=int,
                help="train that version again from its record, and fail unless its metrics come out the same",
                step="reproduce_model",
            ),
        },
    ),
    "evaluate_model": JobSpec(outlets=("verdicts",)),
    "promote_model": JobSpec(
        spark="no executors",
        outlets=("champion",),
        event="promoted",
        options={
            "rollback": Option(
                help="go back to the previous champion, and score again what the present one has scored",
                step="roll_back_model",
                spark="full",
            ),
            "approved_by": Option(
                metavar="NAME",
                help="who approves of the challenger, where the gate requires manual approval",
                needs_end=True,
            ),
            "approved_version": Option(
                metavar="VERSION",
                parse=int,
                help="the version that was approved: another challenger is not promoted",
                needs_end=True,
            ),
        },
    ),
    "report_day": JobSpec(spark="none"),
    "maintain_tables": JobSpec(
        needs_end=False,
        options={"dry_run": Option(help="only report what would be compacted and freed")},
    ),
    "preflight": JobSpec(of_a_pipeline=False, spark="every worker"),
}


def step_of(job: str, options: Mapping[str, object]) -> str:
    """Return the step of ``job``: its own unless one of the ``options`` names another."""
    for name in options:
        step = JOBS[job].options[name].step
        if step is not None:
            return step
    return job


def spark_of(job: str, options: Mapping[str, object]) -> Spark:
    """Return what ``job`` needs of Spark with ``options``."""
    for name in options:
        spark = JOBS[job].options[name].spark
        if spark is not None:
            return spark
    return JOBS[job].spark
