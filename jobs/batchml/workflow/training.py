"""Read the rows of a training, to fit on and held out, from one version of ``features``."""

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
from batchml.models.recipe import Factory, Recipe
from batchml.spark.free_memory import least_memory

ROWS_IN_A_PARTITION = 200_000
LEAST_PARTITIONS = 2
GB = 10**9
HEAP = GB
"""Bytes by which the heap of an executor may still grow, at its default size."""
SURELY_FREE = GB // 2
"""Bytes that a fit may need without a check of the executors' memory, which starts Python there."""
ENOUGH_FOR_DECILES = 1_000_000
"""Rows of a sample whose deciles are usually within a thousandth of those of all rows."""


@dataclass(frozen=True)
class Rows:
    """The rows to fit on and to evaluate on, of one version of ``features``.

    The rows to fit on are in ``partitions``, each in the order of the key. None is the order in
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
    fit = splits.windows_up_to(context.end, context.pipeline.training).fit
    dates = days_between(fit.start, fit.end)
    by_date = context.lake.rows_by_date("features", version, dates)
    return sum(by_date.values())


def partitions(rows: int) -> int:
    """Return the number of partitions for ``rows``, the number of rows in the window.

    It depends on nothing else, neither on the machine nor on the file layout.
    """
    return max(LEAST_PARTITIONS, math.ceil(rows / ROWS_IN_A_PARTITION))


def require_memory(context: Context, rows: int, classes: int = 1) -> None:
    """Raise an error if ``rows`` to fit on need more memory than an executor's machine has.

    Raise BadConfig if it has too little, Unavailable if other processes use it now. ``classes`` is
    the number of scores that the model has for each row.
    """
    pipeline = context.pipeline
    inputs = len(pipeline.inputs.columns)
    needed = rows * estimators.bytes_per_row(pipeline.estimator.kind, inputs, classes)
    if needed < SURELY_FREE:
        return
    memory = least_memory(context.spark)
    if memory is None:
        return

    context.log("the fit needs about %.1f GB, %.1f GB are free", needed / GB, memory.free / GB)
    message = f"{pipeline.name}: {rows:,} rows to fit on do not fit into memory"
    needs = (
        f"{pipeline.estimator.kind} needs about {needed / GB:.1f} GB "
        f"in addition to {HEAP / GB:.0f} GB of Spark's heap"
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


def read(
    context: Context,
    version: int,
    partitions: int | None,
    rule: splits.SplitRule,
) -> Rows:
    """Return the rows as of the context's last date, divided by ``rule``.

    Raise NothingToDo if there are too few.
    """
    pipeline = context.pipeline
    training = pipeline.training
    parts = rule.windows
    fit, holdout = rule.split(_labelled(context, version, rule))
    fit = in_one_order(fit, pipeline.key, partitions)
    fit = context.persist(fit)
    holdout = context.persist(holdout)
    fit_count = fit.count()
    holdout_count = holdout.count()
    to_fit = f"{fit_count} to fit on ({parts.fit})"
    to_evaluate = f"{holdout_count} to evaluate on ({parts.holdout})"
    if fit_count < training.min_rows or not holdout_count:
        raise NothingToDo(
            f"{pipeline.name}: too few rows to train as of {context.end}: {to_fit}, {to_evaluate}",
            remedy="run ingest and build_features for these dates; "
            f"training.min_rows is {training.min_rows}",
        )
    _require_values(fit, pipeline)
    fit, classes = with_classes(fit, pipeline)
    context.log("features version %d, rows: %s, %s", version, to_fit, to_evaluate)
    return Rows(
        version=version,
        partitions=partitions,
        windows=parts,
        fit=fit,
        fit_count=fit_count,
        holdout=holdout,
        holdout_count=holdout_count,
        classes=classes,
    )


def _labelled(context: Context, version: int, rule: splits.SplitRule) -> DataFrame:
    """Return the rows of the training whose label is known, with the columns it needs."""
    first, last = rule.windows.fit.start, rule.windows.holdout.end
    rows = context.lake.read("features", first, last, version)
    labelled = rows.where(F.col(context.pipeline.label).isNotNull())
    return _needed_columns(labelled, context.pipeline, rule)


def _needed_columns(
    rows: DataFrame,
    pipeline: Pipeline,
    rule: splits.SplitRule,
) -> DataFrame:
    """Return ``rows`` with the columns of the training. Raise BadData if one does not exist."""
    if pipeline.estimator.kind == "git":  # its code may read any column
        return rows
    columns = ["event_date"]
    columns += pipeline.key
    columns += pipeline.inputs.columns
    columns.append(pipeline.label)
    if pipeline.training.split == "hash":
        columns += rule.columns
    absent = sorted(set(columns) - set(rows.columns))
    if absent:
        raise BadData(
            f"{pipeline.name}: features has no column {', '.join(absent)} yet",
            remedy="run build_features for the dates of the training first",
        )
    return rows.select(list(dict.fromkeys(columns)))


def in_one_order(
    fit: DataFrame,
    key: Sequence[str],
    partitions: int | None,
) -> DataFrame:
    """Return the rows so that a seed results in the same model on any number of cores.

    MLlib draws its samples by partition, and in the order of a partition's rows. Earlier versions
    sorted globally, into partitions that depend on the number of cores.
    """
    if partitions is None:
        return fit.orderBy("event_date", *key)
    return fit.repartition(partitions, *key).sortWithinPartitions("event_date", *key)


def sample(rows: Rows, key: Sequence[str]) -> DataFrame | None:
    """Return about a million of the rows to fit on, by a hash of the key; None if they are few."""
    share = rows.fit_count // ENOUGH_FOR_DECILES
    if share <= 1:
        return None
    remainder = F.pmod(F.xxhash64(*key), F.lit(share))
    return rows.fit.where(remainder == 0)


def recipe(
    pipeline: Pipeline,
    classes: tuple[str, ...],
    factory: Factory | None = None,
) -> Recipe:
    """Return the recipe of a model; ``factory`` is for an estimator of kind git."""
    return Recipe(
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
    name = F.col(pipeline.label).cast("string")
    names = fit.select(name.alias("name")).distinct()
    classes = tuple(sorted(row["name"] for row in names.collect()))
    if len(classes) == 1:
        raise BadData(
            f"{pipeline.name}: all rows to fit on are of one class, {classes[0]!r}",
            remedy="train on more days, or divide the rows otherwise ('training')",
        )
    return estimators.with_label_index(fit, pipeline.label, classes), classes


def measure(
    pipeline: Pipeline,
    model: PipelineModel,
    frame: DataFrame,
) -> dict[str, float]:
    """Score ``frame`` once with ``model`` and return its metrics."""
    scored = scoring.with_predictions(model, frame, pipeline.task, pipeline.label)
    if pipeline.task == "regression":
        return metrics.regression(scored)
    # The metrics read it several times. Keep it on disk, because the job needs the memory.
    kept = scored.select("prediction", "label", "probabilities").persist(StorageLevel.DISK_ONLY)
    try:
        return metrics.classification(kept)
    finally:
        kept.unpersist()


def _require_values(fit: DataFrame, pipeline: Pipeline) -> None:
    """Raise BadData if an input is null in every row.

    A model can neither learn from such a column nor fill its gaps.
    """
    names = pipeline.inputs.columns
    counts = [F.count(name).alias(name) for name in names]
    row = fit.agg(*counts).head()
    assert row is not None, "an aggregate without keys has one row"
    empty = [name for name in names if not row[name]]
    if empty:
        raise BadData(
            f"{pipeline.name}: in the rows to fit on, these inputs are null throughout: "
            f"{', '.join(empty)}",
            remedy="remove them from 'inputs' until the source delivers them",
        )
