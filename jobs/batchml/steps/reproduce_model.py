"""train_model --reproduce: train a registered version again, and compare its metrics."""

import math
from dataclasses import replace

from batchml.clients import git_code, revision
from batchml.config import allowed_repositories, conf_folder, project_folder
from batchml.context import Context, Summary
from batchml.errors import BadData
from batchml.job_line import MlflowIds, Remeasured, ReproduceModelDetails
from batchml.models import estimators, metrics
from batchml.tracking import open_tracker
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
    commit = None
    if record.model_code is not None:
        commit = record.model_code.commit
    factory = git_code.load(
        git_code.fetch(config.estimator, allowed_repositories(conf_folder()), commit)
    )
    with context.phase("read"):
        training.require_memory(then, record.fit.rows)
        rule = record.split_rule()
        rows = training.read(then, record.features_version, record.partitions, rule)
    with context.phase("fit"):
        recipe = training.recipe(config, rows.classes, factory)
        model = estimators.fit(recipe, record.chosen, rows.fit)
    with context.phase("measure"):
        measured = metrics.keyed("train", training.measure(config, model, rows.fit))
        measured |= metrics.keyed("holdout", training.measure(config, model, rows.holdout))
    compared = {name: (logged[name], value) for name, value in measured.items() if name in logged}
    tolerance = estimators.ESTIMATORS[config.estimator.kind].tolerance
    differing = [
        f"{name} was {was!r} and is {now!r}"
        for name, (was, now) in compared.items()
        if not math.isclose(was, now, rel_tol=tolerance, abs_tol=tolerance)
    ]
    changes = revision.changes(project_folder(), record.code_version, context.code_version)
    for line in changes:
        context.log("%s", line)
    if not compared:
        differing.append("none of its metrics was logged")
    if differing:
        raise BadData(
            f"{config.name} version {number} does not come out the same",
            *differing,
            *changes,
            remedy="check out the code it was trained with: data, configuration and seed are equal",
        )
    context.log(
        "version %d comes out the same: %d metrics within %g", number, len(compared), tolerance
    )
    return Summary(
        rows_in=rows.fit_count + rows.holdout_count,
        rows_out=rows.fit_count,
        mlflow=MlflowIds(model=config.name, version=number),
        details=ReproduceModelDetails(
            reason=f"{len(compared)} metrics are the same within {tolerance:g}",
            metrics={name: Remeasured(was=was, now=now) for name, (was, now) in compared.items()},
            changes=tuple(changes),
        ),
    )
