"""train_model: fit the pipeline's estimator as of ``--end`` and register it as ``challenger``."""

import datetime as dt
import math
from dataclasses import replace
from itertools import product
from typing import Any

from pyspark.ml import PipelineModel
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from batchml.clients import git_code
from batchml.config import Pipeline, allowed_repositories, conf_folder
from batchml.config.definitions import columns_definition, covers, definition_of
from batchml.config.sources import days_between
from batchml.context import Context, Summary
from batchml.errors import BadConfig, BadData
from batchml.job_line import MlflowIds, TrainModelDetails
from batchml.lake.owed import made_from
from batchml.models import estimators, explain, gate, metrics, plots, reference, scoring, splits
from batchml.models.recipe import Recipe
from batchml.tracking import (
    RECORD,
    RECORD_VERSION,
    REFERENCE,
    CodeRecord,
    Tag,
    Tracker,
    TrainingRecord,
    Window,
    open_tracker,
    signature,
)
from batchml.workflow import training

WEIGHTS = "coefficients.json"
MOST_WEIGHTS_AS_METRICS = 25
PLOTTED_ROWS = 2000
OTHER_SLICE = "change training.validation_days (or validation_fraction), or remove the grid"


def run(context: Context) -> Summary:
    """Tune, fit, log, load back and register a model."""
    pipeline = context.pipeline
    context.lake.require_writable()
    tracker = open_tracker(pipeline.name, context.places)
    code = git_code.fetch(pipeline.estimator, allowed_repositories(conf_folder()))
    factory = git_code.load(code)

    with context.phase("read"):
        version = context.lake.latest_version("features")
        _require_one_definition(context)
        window_rows = training.rows_in_window(context, version)
        training.require_memory(context, splits.rows_to_fit(window_rows, pipeline.training))
        rule = splits.SplitRule.of(pipeline, context.end)
        rows = training.read(context, version, training.partitions(window_rows), rule)
        if len(rows.classes) > metrics.TWO:
            training.require_memory(context, rows.fit_count, len(rows.classes))
        if pipeline.gate.metric == "auc" and len(rows.classes) != metrics.TWO:
            raise BadConfig(
                f"{pipeline.name}: gate.metric is auc, which needs two classes",
                f"there are {len(rows.classes)}: {', '.join(rows.classes)}",
                remedy="set gate.metric to a metric for several classes",
            )
        recipe = training.recipe(pipeline, rows.classes, factory)
        for trial in _trials(pipeline):
            estimators.build(recipe, trial)  # a wrong parameter fails here, before any run is made

    tags = {
        Tag.PIPELINE: pipeline.name,
        Tag.END: str(context.end),
        Tag.CODE_VERSION: context.code_version,
    }
    if code is not None:
        tags[Tag.MODEL_CODE] = f"{code.repository}@{code.commit}"

    title = f"{pipeline.name} {context.end}"
    with tracker.run(title, tags) as run_id, context.lake.scratch(run_id) as scratch:
        chosen = _tune(context, tracker, rows, recipe, rule)
        with context.phase("fit"):
            model = estimators.fit(recipe, chosen, rows.fit)
        record = _record(context, rows, chosen, code)
        with context.phase("log"):
            measured = _log(tracker, context, rows, model, record)
            answers = context.persist(_answers(pipeline, model, rows.holdout))
            tracker.log_json(REFERENCE, _reference(pipeline, rows, answers))
            uri = tracker.log_model(model, signature(pipeline), scratch)
        with context.phase("load_back"):
            stored = tracker.load_model(uri, scratch)
            require_same_predictions(context, answers, stored)

    context.require_lease()
    with context.phase("register"):
        tags |= {Tag.FEATURES_VERSION: str(rows.version), Tag.RUN_ID: run_id}
        number = tracker.register(uri, tags)
    return Summary(
        rows_in=rows.fit_count + rows.holdout_count,
        rows_out=rows.fit_count,
        mlflow=MlflowIds(run_id=run_id, model=pipeline.name, version=number),
        details=TrainModelDetails(
            features_version=rows.version,
            fit=str(rows.windows.fit),
            train=dict(measured),
            params=chosen,
        ),
    )


def _require_one_definition(context: Context) -> None:
    """Raise BadConfig if dates of the training were made by another definition, or from older rows.

    Only the columns that the training needs count.
    """
    pipeline = context.pipeline
    needed = columns_definition(pipeline, (*pipeline.inputs.columns, pipeline.label))
    first = context.end - dt.timedelta(days=pipeline.training.days - 1)
    ledger = context.read_ledger()
    known = ledger.of_table("features")
    dates = [
        date for date in days_between(first, context.end) if date in known and known[date].has_rows
    ]
    whole = definition_of(pipeline, "features")
    outdated = []
    for date in dates:
        # With fewer features (--set) another reach would ask for other dates.
        is_same = known[date].definition == whole
        is_older = known[date].made_from != made_from(ledger, pipeline, "features", date)
        if not covers(known[date].definition, needed) or (is_same and is_older):
            outdated.append(date)
    if outdated:
        command = f"jobs/build_features.py --pipeline {pipeline.name}"
        raise BadConfig(
            f"{pipeline.name}: {len(outdated)} of {len(dates)} dates of the training have features "
            f"of another definition or of older rows, from {outdated[0]} to {outdated[-1]}",
            remedy="build them again: spark-submit "
            f"{command} --start {outdated[0]} --end {outdated[-1]}",
        )


def _trials(pipeline: Pipeline) -> list[dict[str, Any]]:
    """Return every combination of ``estimator.grid``; a single empty one without a grid."""
    grid = pipeline.estimator.grid
    return [dict(zip(grid, values, strict=True)) for values in product(*grid.values())]


def _tune(
    context: Context,
    tracker: Tracker,
    rows: training.Rows,
    recipe: Recipe,
    rule: splits.SplitRule,
) -> dict[str, Any]:
    """Return the best combination of ``estimator.grid`` on the validation slice.

    Every trial is a nested run.
    """
    pipeline = context.pipeline
    trials = _trials(pipeline)
    if len(trials) == 1:
        return trials[0]
    attempt, validation = rule.split_for_tuning(rows.fit)
    if attempt.isEmpty() or validation.isEmpty():
        raise BadData(
            f"{pipeline.name}: the rows to fit on have no validation slice for the grid",
            remedy=OTHER_SLICE,
        )
    metric = pipeline.gate.metric
    # A rare class may be in the validation slice only.
    attempt, classes = training.with_classes(attempt, pipeline)
    recipe = replace(recipe, classes=classes)
    measured: list[tuple[float, dict[str, Any]]] = []
    with context.phase("tune"):
        for number, trial in enumerate(trials, 1):
            with tracker.run(f"trial {number}", {Tag.TRIAL: str(number)}, nested=True):
                model = estimators.fit(recipe, trial, attempt)
                scores = training.measure(pipeline, model, validation)
                tracker.log(trial, metrics.keyed("validation", scores))
            value = gate.value_of(scores, metric)
            if math.isnan(value):
                raise BadData(
                    f"{pipeline.name}: {metric} is undefined on the validation slice, "
                    f"on {scores['rows']:g} rows",
                    remedy=OTHER_SLICE,
                )
            context.log("trial %d of %d: %s -> %s %.4g", number, len(trials), trial, metric, value)
            measured.append((value, trial))
    if gate.SMALLER_IS_BETTER[metric]:
        return min(measured, key=lambda pair: pair[0])[1]
    return max(measured, key=lambda pair: pair[0])[1]


def _record(
    context: Context,
    rows: training.Rows,
    chosen: dict[str, Any],
    code: git_code.ModelCode | None,
) -> TrainingRecord:
    pipeline = context.pipeline
    fit, holdout = rows.windows.fit, rows.windows.holdout
    model_code = None
    if code is not None:
        model_code = CodeRecord(repository=code.repository, commit=code.commit, entry=code.entry)
    return TrainingRecord(
        record_version=RECORD_VERSION,
        pipeline=pipeline.name,
        end=context.end,
        code_version=context.code_version,
        table=context.lake.path("features"),
        features_version=rows.version,
        fit=Window(start=fit.start, end=fit.end, rows=rows.fit_count),
        holdout=Window(start=holdout.start, end=holdout.end, rows=rows.holdout_count),
        classes=rows.classes,
        baseline=scoring.constant_baseline(rows.fit, pipeline.task, pipeline.label),
        chosen=chosen,
        config=pipeline.model_dump(mode="json"),
        model_code=model_code,
        partitions=rows.partitions,
        split_columns=pipeline.split_columns,
    )


def _log(
    tracker: Tracker,
    context: Context,
    rows: training.Rows,
    model: PipelineModel,
    record: TrainingRecord,
) -> dict[str, float]:
    pipeline = context.pipeline
    fitted = model.transform(rows.fit)
    measured = training.measure(pipeline, model, rows.fit)
    estimator_params = pipeline.estimator.params | record.chosen
    params = {
        "estimator": pipeline.estimator.kind,
        **{f"param.{name}": value for name, value in estimator_params.items()},
        "fit_start": record.fit.start,
        "fit_end": record.fit.end,
        "fit_rows": record.fit.rows,
        "holdout_start": record.holdout.start,
        "holdout_end": record.holdout.end,
        "holdout_rows": record.holdout.rows,
        "features_version": rows.version,
        "seed": pipeline.training.seed,
        "split": pipeline.training.split,
    }
    tracker.log(params, metrics.keyed("train", measured))
    tracker.log_json(RECORD, record.as_json())
    seen = rows.fit.select(*pipeline.inputs.columns, pipeline.label)
    tracker.log_dataset(
        seen, rows.fit_count, context.lake.path("features"), rows.version, pipeline.label
    )
    if shares := explain.importances(model, fitted, pipeline.inputs.columns):
        tracker.log_figures({"feature_importance": plots.feature_importance(shares)})
    if weights := explain.coefficients(model, fitted):
        _log_weights(tracker, pipeline, weights, fitted)
    return measured


def _log_weights(
    tracker: Tracker, pipeline: Pipeline, weights: dict[str, float], fitted: DataFrame
) -> None:
    """Log a linear model's weights: all as a file, a few also as metrics.

    Of a single input also log a figure of the line.
    """
    tracker.log_json(WEIGHTS, weights)
    if not pipeline.inputs.categorical and len(weights) <= MOST_WEIGHTS_AS_METRICS:
        tracker.log(metrics=metrics.keyed("weight", weights))
    if (
        pipeline.task == "regression"
        and len(weights) == len(("intercept", "slope"))
        and pipeline.inputs.numeric
    ):
        (name,) = pipeline.inputs.numeric
        shown = fitted.where(F.col(name).isNotNull()).orderBy(F.xxhash64(*pipeline.key))
        pairs = shown.select(F.col(name).cast("double"), F.col(pipeline.label).cast("double"))
        points = [(row[0], row[1]) for row in pairs.limit(PLOTTED_ROWS).collect()]
        line = plots.fitted_line(name, pipeline.label, points, weights["intercept"], weights[name])
        tracker.log_figures({"fitted_line": line})


def _answers(pipeline: Pipeline, model: PipelineModel, rows: DataFrame) -> DataFrame:
    """Return the model's inputs of each row, and its prediction."""
    return model.transform(rows).select(*pipeline.inputs.columns, "prediction")


def _reference(pipeline: Pipeline, rows: training.Rows, answers: DataFrame) -> dict[str, Any]:
    """Return the references of monitor_drift: the fitted inputs, and predictions of the holdout."""
    watched = pipeline.watched
    sample = training.sample(rows, pipeline.key)
    inputs = reference.describe(rows.fit, watched.numeric, watched.categorical, sample)
    if pipeline.task == "regression":
        prediction = reference.describe(answers, ["prediction"], [])
    else:
        prediction = reference.describe(answers, [], ["prediction"])
    return {name: column.as_record() for name, column in (inputs | prediction).items()}


def require_same_predictions(context: Context, answers: DataFrame, stored: PipelineModel) -> None:
    """Raise BadData if the stored model predicts other values than the one in memory."""
    differing = (
        stored.transform(answers.withColumnRenamed("prediction", "before"))
        .where(~F.col("before").eqNullSafe(F.col("prediction")))
        .count()
    )
    if differing:
        raise BadData(
            f"{context.pipeline.name}: loaded back from MLflow, the model gives {differing} other "
            "predictions than before; it was not registered",
            remedy="use another estimator, or another version of it: this one changes when it is "
            "stored",
        )
