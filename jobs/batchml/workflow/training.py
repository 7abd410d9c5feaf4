"""The rows of a training: those to fit on and the holdout, of one version of ``features``."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from pyspark import StorageLevel
from pyspark.ml import PipelineModel
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from batchml.config import Pipeline
from batchml.config.sources import days_between
from batchml.context import Context
from batchml.errors import BadConfig, BadData, NothingToDo, Unavailable
from batchml.models import estimators, metrics, scoring, splits
from batchml.spark.free_memory import least_memory

ROWS_IN_A_PARTITION = 200_000
LEAST_PARTITIONS = 2
GB = 10**9
HEAP = GB
"""What the heap of an executor may still grow by, at its default size."""
SURELY_FREE = GB // 2
"""What a fit may need without a look at the executors' memory, which starts Python on them."""
ENOUGH_FOR_DECILES = 1_000_000
"""Rows of a sample whose deciles are usually within a thousandth of those of all rows."""


@dataclass(frozen=True)
class Rows:
    """What is fitted on and judged on, of one version of ``features``.

    The rows to fit on lie in ``partitions``, each in the order of the key; None for the order in
    which models of earlier versions of this code were trained.
    """

    version: int
    partitions: int | None
    windows: splits.Windows
    fit: DataFrame
    fit_count: int
    holdout: DataFrame
    holdout_count: int
    classes: tuple[str, ...]


def rows_in_window(context: Context, version: int) -> int:
    """Return the rows of the dates to fit on, from the table's statistics."""
    fit = splits.windows(context.end, context.pipeline.training).fit
    by_date = context.lake.rows_by_date("features", version, days_between(fit.start, fit.end))
    return sum(by_date.values())


def partitions(rows: int) -> int:
    """Return into how many partitions ``rows``, those of the window, are divided.

    It depends on them only, never on the machine or on how the table's files lie.
    """
    return max(LEAST_PARTITIONS, math.ceil(rows / ROWS_IN_A_PARTITION))


def require_memory(context: Context, rows: int, classes: int = 1) -> None:
    """Raise an error if ``rows`` to fit on need more memory than an executor's machine can give.

    Raise BadConfig if it has too little, Unavailable if other processes use it now. ``classes`` is
    the number of scores that the model has for each row.
    """
    pipeline = context.pipeline
    inputs = len(pipeline.inputs.columns)
    needed = rows * estimators.bytes_per_row(pipeline.estimator.kind, inputs, classes)
    if needed < SURELY_FREE or (memory := least_memory(context.spark)) is None:
        return
    context.say("the fit needs about %.1f GB, %.1f GB are free", needed / GB, memory.free / GB)
    message = f"{pipeline.name}: {rows:,} rows to fit on do not fit into memory"
    needs = (
        f"{pipeline.estimator.kind} needs about {needed / GB:.1f} GB "
        f"besides {HEAP / GB:.0f} GB of Spark's heap"
    )
    if needed > memory.total - HEAP:
        raise BadConfig(
            message,
            f"{needs}, and an executor's machine or container has {memory.total / GB:.1f} GB",
            remedy="fit on fewer rows (training.window_days, or training.holdout_fraction of a "
            "hash split), or give the machine or container more memory",
        )
    if needed > memory.free - HEAP:
        raise Unavailable(
            message,
            f"{needs}, and {memory.free / GB:.1f} of {memory.total / GB:.1f} GB are free "
            "on an executor's machine",
            remedy="run this job again when other processes have ended, or fit on fewer rows",
        )


def read(context: Context, version: int, partitions: int | None, rule: splits.SplitRule) -> Rows:
    """Return the rows as of the context's last date, divided by ``rule``.

    Raise NothingToDo if there are too few.
    """
    pipeline, end = context.pipeline, context.end
    training = pipeline.training
    parts = rule.windows
    seen = (*pipeline.inputs.columns, pipeline.label)
    known = context.lake.read("features", parts.fit.start, parts.holdout.end, version).where(
        F.col(pipeline.label).isNotNull()
    )
    if pipeline.estimator.kind != "git":  # whose code may read any column
        needed = dict.fromkeys(("event_date", *pipeline.key, *seen))
        if training.split == "hash":
            needed |= dict.fromkeys(rule.columns)
        if absent := sorted(needed.keys() - {*known.columns}):
            raise BadData(
                f"{pipeline.name}: features has no column {', '.join(absent)} yet",
                remedy="run build_features for the dates of the training first",
            )
        known = known.select(*needed)
    fit, holdout = rule.split(known)
    fit = context.keep(in_one_order(fit, pipeline.key, partitions))
    holdout = context.keep(holdout)
    fit_count, holdout_count = fit.count(), holdout.count()
    if fit_count < training.min_rows or not holdout_count:
        raise NothingToDo(
            f"{pipeline.name}: too few rows to train as of {end}: "
            f"{fit_count} to fit on ({parts.fit}), "
            f"{holdout_count} to judge on ({parts.holdout})",
            remedy="run ingest and build_features for these dates; "
            f"training.min_rows is {training.min_rows}",
        )
    _require_values(fit, pipeline)
    fit, classes = with_classes(fit, pipeline)
    context.say(
        "features version %d: fit %s %d rows, holdout %s %d rows",
        version,
        parts.fit,
        fit_count,
        parts.holdout,
        holdout_count,
    )
    return Rows(version, partitions, parts, fit, fit_count, holdout, holdout_count, classes)


def in_one_order(fit: DataFrame, key: Sequence[str], partitions: int | None) -> DataFrame:
    """Return the rows so that a seed gives the same model on any number of cores.

    MLlib draws its samples by partition, and in the order of a partition's rows. A global sort,
    which earlier versions made, has the boundaries that the number of cores gives it.
    """
    if partitions is None:
        return fit.orderBy("event_date", *key)
    return fit.repartition(partitions, *key).sortWithinPartitions("event_date", *key)


def sample(rows: Rows, key: Sequence[str]) -> DataFrame | None:
    """Return about a million of the rows to fit on, by a hash of the key; None if they are few."""
    share = rows.fit_count // ENOUGH_FOR_DECILES
    if share <= 1:
        return None
    return rows.fit.where(F.pmod(F.xxhash64(*key), F.lit(share)) == 0)


def recipe(
    pipeline: Pipeline,
    classes: tuple[str, ...],
    factory: estimators.Factory | None = None,
) -> estimators.Recipe:
    """Return the recipe of a model; ``factory`` is for an estimator of kind git."""
    return estimators.Recipe(
        pipeline=pipeline.name,
        task=pipeline.task,
        label=pipeline.label,
        inputs=pipeline.inputs,
        estimator=pipeline.estimator,
        seed=pipeline.training.seed,
        class_weight=pipeline.training.class_weight,
        classes=classes,
        factory=factory,
    )


def with_classes(fit: DataFrame, pipeline: Pipeline) -> tuple[DataFrame, tuple[str, ...]]:
    """Return ``fit`` with ``label_index``, and the classes in the order of their index.

    For regression, return ``fit`` unchanged, and no classes. Raise BadData if all rows are of one
    class.
    """
    if pipeline.task == "regression":
        return fit, ()
    names = fit.select(F.col(pipeline.label).cast("string").alias("name")).distinct().collect()
    classes = tuple(sorted(row["name"] for row in names))
    if len(classes) == 1:
        raise BadData(
            f"{pipeline.name}: all rows to fit on are of one class, {classes[0]!r}",
            remedy="train on more days, or divide the rows otherwise ('training')",
        )
    return estimators.with_label_index(fit, pipeline.label, classes), classes


def measure(pipeline: Pipeline, model: PipelineModel, frame: DataFrame) -> dict[str, float]:
    """Score ``frame`` once with ``model`` and return its metrics."""
    scored = scoring.with_predictions(model, frame, pipeline.task, pipeline.label)
    if pipeline.task == "regression":
        return metrics.regression(scored)
    # Several passes are made over it, and in memory it would leave less to the job.
    kept = scored.select("prediction", "label", "probabilities").persist(StorageLevel.DISK_ONLY)
    try:
        return metrics.classification(kept)
    finally:
        kept.unpersist()


def _require_values(fit: DataFrame, pipeline: Pipeline) -> None:
    """Raise BadData if an input has no value at all.

    There is nothing to learn from such a column, nor to fill its gaps with.
    """
    names = pipeline.inputs.columns
    row = fit.agg(*(F.count(name).alias(name) for name in names)).head()
    assert row is not None, "an aggregate without keys has one row"
    if empty := [name for name in names if not row[name]]:
        raise BadData(
            f"{pipeline.name}: in the rows to fit on, these inputs are null throughout: "
            f"{', '.join(empty)}",
            remedy="take them out of 'inputs' until the source delivers them",
        )
