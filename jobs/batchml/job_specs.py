"""The table of jobs: scope, needs of Spark, options, and meaning to Airflow."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Literal

Spark = Literal["none", "no executors", "full", "every worker"]
"""``no executors``: start them only when there is work. ``every worker``: all cores of the cluster.
"""
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
    default: str | None = None
    """The value of an option with a ``metavar`` that is given without one."""
    writes: bool = True


@dataclass(frozen=True, kw_only=True)
class JobSpec:
    """One job.

    ``of_a_pipeline``: it takes a pipeline and dates. ``needs_end``: ``--end`` is required unless an
    option makes it superfluous. ``needs_champion_to``: the purpose, for the error if the pipeline
    has no champion, which is checked before Spark starts. ``outlets``: the Airflow assets that a
    run updates. ``event``: the message sent after it has succeeded. ``writes``: it takes the lease
    of the pipeline. ``catches_up``: it owes the dates that are missing or outdated.
    """

    of_a_pipeline: bool = True
    needs_end: bool = True
    spark: Spark = "full"
    options: Mapping[str, Option] = field(default_factory=dict)
    needs_champion_to: str | None = None
    outlets: tuple[str, ...] = ()
    event: Event | None = None
    writes: bool = True
    catches_up: bool = False


CATCH_UP = {
    "catch_up": Option(
        metavar="MODE",
        default="yes",
        parse=str,
        help="also work on the dates that are owed: missed, late, delivered again or outdated. "
        "MODE is yes (as without a value), no, or only (owed dates of the range alone)",
        needs_end=True,
    ),
    "catch_up_from": Option(
        metavar="YYYY-MM-DD",
        help="dates from this one on are owed, too, also before the first run",
        needs_end=True,
    ),
}
"""Options of every job of a pipeline. A job that owes no dates ignores them."""
CATCH_UP_MODES = ("yes", "no", "only")
IF_CHANGED = {
    "if_changed": Option(
        metavar="yes|no",
        default="yes",
        help="leave requested dates as they are whose input, definition and model version have not "
        "changed since they were made; with no other date, end with 99",
        needs_end=True,
    ),
}
"""Options of the jobs that work on dates."""

JOBS: dict[str, JobSpec] = {
    "ingest": JobSpec(
        catches_up=True,
        outlets=("bronze", "silver", "quarantine"),
        options={
            "accept": Option(
                help="accept that missing dates never come: they are not owed any more",
                needs_end=True,
                step="accept_dates",
                spark="none",
            ),
        },
    ),
    "build_features": JobSpec(catches_up=True, outlets=("features",)),
    "score_batch": JobSpec(
        catches_up=True,
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
    "monitor_drift": JobSpec(
        catches_up=True, needs_champion_to="compare with", outlets=("drift",), event="alarm"
    ),
    "train_model": JobSpec(
        outlets=("challenger",),
        options={
            "reproduce": Option(
                metavar="VERSION",
                parse=int,
                help="train that version again from its record, and "
                "fail unless its metrics are the same",
                step="reproduce_model",
                writes=False,
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
                help="go back to the previous champion, and score again the dates that the present "
                "one has scored",
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
    "report_day": JobSpec(spark="none", writes=False),
    "maintain_tables": JobSpec(
        needs_end=False,
        options={
            "dry_run": Option(help="only report what would be compacted and freed", writes=False)
        },
    ),
    "preflight": JobSpec(of_a_pipeline=False, spark="every worker", writes=False),
}


def step_of(job: str, options: Mapping[str, object]) -> str:
    """Return the step of ``job``: its own unless one of the ``options`` names another."""
    for name in options:
        step = options_of(job)[name].step
        if step is not None:
            return step
    return job


def spark_of(job: str, options: Mapping[str, object]) -> Spark:
    """Return the Spark resources that ``job`` needs with ``options``."""
    for name in options:
        spark = options_of(job)[name].spark
        if spark is not None:
            return spark
    return JOBS[job].spark


def options_of(job: str) -> dict[str, Option]:
    """Return the options of ``job``, without those that name the pipeline and the dates."""
    spec = JOBS[job]
    options = dict(spec.options)
    if spec.of_a_pipeline:
        options |= CATCH_UP
    if spec.catches_up:
        options |= IF_CHANGED
    return options


def writes(job: str, options: Mapping[str, object]) -> bool:
    """Return True if ``job`` writes with ``options``, so that it needs the lease."""
    return JOBS[job].writes and all(options_of(job)[name].writes for name in options)
