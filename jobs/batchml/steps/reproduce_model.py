"""train_model --reproduce: train a registered version again, and compare its metrics."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace

from pyspark.ml import PipelineModel

from batchml.clients import git_code, revision
from batchml.config import Pipeline, allowed_repositories, conf_folder, project_folder
from batchml.context import Context, Summary
from batchml.errors import BadData
from batchml.job_line import MlflowIds, Remeasured, ReproduceModelDetails
from batchml.models import estimators, metrics
from batchml.models.recipe import Factory
from batchml.tracking import TrainingRecord, open_tracker
from batchml.workflow import training


def run(context: Context) -> Summary:
    """Train a registered version again as its record states, and register nothing.

    Table version, dates, configuration, seed and chosen parameters are the same. Raise BadData,
    with all changes to the code since, if a metric differs from the one logged.
    """
    number: int = context.options["reproduce"]
    tracker = open_tracker(context.pipeline.name, context.places)
    record = tracker.record(tracker.get(number))
    logged = tracker.metrics(number)
    config = record.parse_config()
    then = replace(context, pipeline=config, end=record.end)
    rows, measured = _train_again(then, record)

    compared = {}
    for name, now in measured.items():
        if name in logged:
            compared[name] = (logged[name], now)
    tolerance = estimators.ESTIMATORS[config.estimator.kind].tolerance
    changes = revision.changes(project_folder(), record.code_version, context.code_version)
    for line in changes:
        context.log("%s", line)
    differing = _differing(compared, tolerance)
    if differing:
        raise _not_the_same(f"{config.name} version {number}", differing + list(changes))
    context.log(
        "version %d comes out the same: %d metrics within %g", number, len(compared), tolerance
    )
    return Summary(
        rows_in=rows.fit_count + rows.holdout_count,
        rows_out=rows.fit_count,
        mlflow=MlflowIds(model=config.name, version=number),
        details=ReproduceModelDetails(
            reason=f"{len(compared)} metrics are the same within {tolerance:g}",
            metrics=_remeasured(compared),
            changes=tuple(changes),
        ),
    )


def _train_again(
    context: Context, record: TrainingRecord
) -> tuple[training.Rows, dict[str, float]]:
    """Return the rows of the recorded training, and the metrics of a model fitted on them."""
    config = context.pipeline
    factory = _load_factory(record, config)
    with context.phase("read"):
        training.require_memory(context, record.fit.rows)
        rule = record.split_rule()
        rows = training.read(context, record.features_version, record.partitions, rule)
    with context.phase("fit"):
        recipe = training.recipe(config, rows.classes, factory)
        model = estimators.fit(recipe, record.chosen, rows.fit)
    with context.phase("measure"):
        return rows, _measure(config, model, rows)


def _load_factory(record: TrainingRecord, config: Pipeline) -> Factory | None:
    """Return the model code of the recorded commit; None for an estimator of another kind."""
    commit = None
    if record.model_code is not None:
        commit = record.model_code.commit
    repositories = allowed_repositories(conf_folder())
    code = git_code.fetch(config.estimator, repositories, commit)
    return git_code.load(code)


def _measure(
    config: Pipeline,
    model: PipelineModel,
    rows: training.Rows,
) -> dict[str, float]:
    """Return the metrics on the rows fitted on and on the holdout, as they are logged."""
    on_fit = training.measure(config, model, rows.fit)
    on_holdout = training.measure(config, model, rows.holdout)
    return metrics.keyed("train", on_fit) | metrics.keyed("holdout", on_holdout)


def _not_the_same(name: str, details: Sequence[str]) -> BadData:
    return BadData(
        f"{name} does not come out the same",
        *details,
        remedy="check out the code it was trained with: data, configuration and seed are equal",
    )


def _differing(compared: Mapping[str, tuple[float, float]], tolerance: float) -> list[str]:
    """Return the metrics whose logged and present values differ, or that none was logged."""
    if not compared:
        return ["none of its metrics was logged"]
    differing = []
    for name, (was, now) in compared.items():
        if not math.isclose(was, now, rel_tol=tolerance, abs_tol=tolerance):
            differing.append(f"{name} was {was!r} and is {now!r}")
    return differing


def _remeasured(compared: Mapping[str, tuple[float, float]]) -> dict[str, Remeasured]:
    return {name: Remeasured(was=was, now=now) for name, (was, now) in compared.items()}
