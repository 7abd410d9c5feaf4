"""train_model: fit the pipeline's estimator as of ``--end`` and register it as ``challenger``."""

import datetime as dt
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
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
from batchml.lake.ledger import Ledger
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
        rows = _read(context)
        recipe = training.recipe(pipeline, rows.classes, factory)
        _require_parameters(recipe, pipeline)

    tags = _tags(context, code)
    title = f"{pipeline.name} {context.end}"
    with tracker.run(title, tags) as run_id, context.lake.scratch(run_id) as scratch:
        chosen = _tune(context, tracker, rows, recipe)
        with context.phase("fit"):
            model = estimators.fit(recipe, chosen, rows.fit)
        record = _record(context, rows, chosen, code)
        with context.phase("log"):
            measured = _Fitted(context, rows, model).log(tracker, record)
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
        details=_details(rows, measured, chosen),
    )


def _details(
    rows: training.Rows,
    measured: dict[str, float],
    chosen: dict[str, Any],
) -> TrainModelDetails:
    return TrainModelDetails(
        features_version=rows.version,
        fit=str(rows.windows.fit),
        train=dict(measured),
        params=chosen,
    )


def _read(context: Context) -> training.Rows:
    """Return the rows of the training. Raise an error if they do not suit it."""
    pipeline = context.pipeline
    version = context.lake.latest_version("features")
    _require_one_definition(context)
    window_rows = training.rows_in_window(context, version)
    training.require_memory(context, splits.rows_to_fit(window_rows, pipeline.training))
    rule = splits.SplitRule.of(pipeline, context.end)
    rows = training.read(context, version, training.partitions(window_rows), rule)

    classes = len(rows.classes)
    if classes > metrics.TWO:
        training.require_memory(context, rows.fit_count, classes)
    if pipeline.gate.metric == "auc" and classes != metrics.TWO:
        raise BadConfig(
            f"{pipeline.name}: gate.metric is auc, which needs two classes",
            f"there are {classes}: {', '.join(rows.classes)}",
            remedy="set gate.metric to a metric for several classes",
        )
    return rows


def _tags(context: Context, code: git_code.ModelCode | None) -> dict[Tag, str]:
    tags = {
        Tag.PIPELINE: context.pipeline.name,
        Tag.END: str(context.end),
        Tag.CODE_VERSION: context.code_version,
    }
    if code is not None:
        tags[Tag.MODEL_CODE] = f"{code.repository}@{code.commit}"
    return tags


def _require_one_definition(context: Context) -> None:
    """Raise BadConfig if dates of the training were made by another definition, or from older rows.

    Only the columns that the training needs count.
    """
    pipeline = context.pipeline
    days = pipeline.training.days
    start = context.end - dt.timedelta(days=days - 1)
    ledger = context.read_ledger()
    entries = ledger.of_table("features")
    dates = []
    for date in days_between(start, context.end):
        if date in entries and entries[date].has_rows:
            dates.append(date)

    outdated = _outdated(pipeline, ledger, dates)
    if outdated:
        first, last = outdated[0], outdated[-1]
        command = f"jobs/build_features.py --pipeline {pipeline.name}"
        raise BadConfig(
            f"{pipeline.name}: {len(outdated)} of {len(dates)} dates of the training have features "
            f"of another definition or of older rows, from {first} to {last}",
            remedy=f"build them again: spark-submit {command} --start {first} --end {last}",
        )


def _outdated(
    pipeline: Pipeline,
    ledger: Ledger,
    dates: Sequence[dt.date],
) -> list[dt.date]:
    """Return the dates whose features are of another definition or of older rows."""
    needed = columns_definition(pipeline, (*pipeline.inputs.columns, pipeline.label))
    whole = definition_of(pipeline, "features")
    entries = ledger.of_table("features")

    outdated = []
    for date in dates:
        entry = entries[date]
        # With fewer features (--set) another reach would require other dates.
        is_same_definition = entry.definition == whole
        is_older = entry.made_from != made_from(ledger, pipeline, "features", date)
        if not covers(entry.definition, needed) or (is_same_definition and is_older):
            outdated.append(date)
    return outdated


def _trials(pipeline: Pipeline) -> list[dict[str, Any]]:
    """Return every combination of ``estimator.grid``; a single empty one without a grid."""
    grid = pipeline.estimator.grid
    combinations = product(*grid.values())
    return [dict(zip(grid, values, strict=True)) for values in combinations]


def _require_parameters(recipe: Recipe, pipeline: Pipeline) -> None:
    """Raise BadConfig for a wrong parameter, before any run is made."""
    for trial in _trials(pipeline):
        estimators.build(recipe, trial)


def _tune(
    context: Context,
    tracker: Tracker,
    rows: training.Rows,
    recipe: Recipe,
) -> dict[str, Any]:
    """Return the best combination of ``estimator.grid`` on the validation slice.

    Every trial is a nested run.
    """
    pipeline = context.pipeline
    trials = _trials(pipeline)
    if len(trials) == 1:
        return trials[0]
    rule = splits.SplitRule.of(pipeline, context.end)
    attempt, validation = rule.split_for_tuning(rows.fit)
    if attempt.isEmpty() or validation.isEmpty():
        raise BadData(
            f"{pipeline.name}: the rows to fit on have no validation slice for the grid",
            remedy=OTHER_SLICE,
        )
    # A rare class may be in the validation slice only.
    attempt, classes = training.with_classes(attempt, pipeline)
    recipe = replace(recipe, classes=classes)

    metric = pipeline.gate.metric
    values = []
    with context.phase("tune"):
        for number, trial in enumerate(trials, 1):
            with tracker.run(f"trial {number}", {Tag.TRIAL: str(number)}, nested=True):
                model = estimators.fit(recipe, trial, attempt)
                scores = training.measure(pipeline, model, validation)
                tracker.log(trial, metrics.keyed("validation", scores))
            value = _value_of(pipeline, scores)
            values.append(value)
            context.log("trial %d of %d: %s -> %s %.4g", number, len(trials), trial, metric, value)
    best = max(values)
    if gate.SMALLER_IS_BETTER[metric]:
        best = min(values)
    return trials[values.index(best)]


def _value_of(pipeline: Pipeline, scores: dict[str, float]) -> float:
    """Return the gate's metric. Raise BadData if it is undefined."""
    metric = pipeline.gate.metric
    value = gate.value_of(scores, metric)
    if math.isnan(value):
        raise BadData(
            f"{pipeline.name}: {metric} is undefined on the validation slice, "
            f"on {scores['rows']:g} rows",
            remedy=OTHER_SLICE,
        )
    return value


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
        model_code = CodeRecord(
            repository=code.repository,
            commit=code.commit,
            entry=code.entry,
        )
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


@dataclass(frozen=True)
class _Fitted:
    """A fitted model and the rows of its training."""

    context: Context
    rows: training.Rows
    model: PipelineModel

    def log(self, tracker: Tracker, record: TrainingRecord) -> dict[str, float]:
        """Log the training to its run, and return the metrics on the rows fitted on."""
        pipeline, rows = self.context.pipeline, self.rows
        fitted = self.model.transform(rows.fit)
        measured = training.measure(pipeline, self.model, rows.fit)
        params = _params(pipeline, record)
        tracker.log(params, metrics.keyed("train", measured))
        tracker.log_json(RECORD, record.as_json())

        inputs = pipeline.inputs.columns
        seen = rows.fit.select(*inputs, pipeline.label)
        path = self.context.lake.path("features")
        tracker.log_dataset(seen, rows.fit_count, path, rows.version, pipeline.label)
        shares = explain.importances(self.model, fitted, inputs)
        if shares:
            tracker.log_figures({"feature_importance": plots.feature_importance(shares)})
        weights = explain.coefficients(self.model, fitted)
        if weights:
            _log_weights(tracker, pipeline, weights, fitted)
        return measured


def _params(pipeline: Pipeline, record: TrainingRecord) -> dict[str, Any]:
    """Return the parameters of the run in MLflow."""
    params: dict[str, Any] = {"estimator": pipeline.estimator.kind}
    estimator_params = pipeline.estimator.params | record.chosen
    for name, value in estimator_params.items():
        params[f"param.{name}"] = value
    return params | {
        "fit_start": record.fit.start,
        "fit_end": record.fit.end,
        "fit_rows": record.fit.rows,
        "holdout_start": record.holdout.start,
        "holdout_end": record.holdout.end,
        "holdout_rows": record.holdout.rows,
        "features_version": record.features_version,
        "seed": pipeline.training.seed,
        "split": pipeline.training.split,
    }


def _log_weights(
    tracker: Tracker,
    pipeline: Pipeline,
    weights: dict[str, float],
    fitted: DataFrame,
) -> None:
    """Log a linear model's weights: all as a file, a few also as metrics.

    Of a single input also log a figure of the line.
    """
    inputs = pipeline.inputs
    tracker.log_json(WEIGHTS, weights)
    if not inputs.categorical and len(weights) <= MOST_WEIGHTS_AS_METRICS:
        tracker.log(metrics=metrics.keyed("weight", weights))
    has_one_slope = len(weights) == len(("intercept", "slope"))
    if pipeline.task == "regression" and has_one_slope and inputs.numeric:
        (name,) = inputs.numeric
        points = _points(pipeline, name, fitted)
        intercept = weights["intercept"]
        slope = weights[name]
        line = plots.fitted_line(name, pipeline.label, points, intercept, slope)
        tracker.log_figures({"fitted_line": line})


def _points(
    pipeline: Pipeline,
    name: str,
    fitted: DataFrame,
) -> list[tuple[float, float]]:
    """Return input ``name`` and label of some rows, chosen by a hash of the key."""
    with_input = fitted.where(F.col(name).isNotNull())
    shuffled = with_input.orderBy(F.xxhash64(*pipeline.key))
    x = F.col(name).cast("double")
    y = F.col(pipeline.label).cast("double")
    pairs = shuffled.select(x, y).limit(PLOTTED_ROWS)
    return [(row[0], row[1]) for row in pairs.collect()]


def _answers(pipeline: Pipeline, model: PipelineModel, rows: DataFrame) -> DataFrame:
    """Return the model's inputs of each row, and its prediction."""
    return model.transform(rows).select(*pipeline.inputs.columns, "prediction")


def _reference(
    pipeline: Pipeline,
    rows: training.Rows,
    answers: DataFrame,
) -> dict[str, Any]:
    """Return the references of monitor_drift: the fitted inputs, and predictions of the holdout."""
    watched = pipeline.watched
    sample = training.sample(rows, pipeline.key)
    columns = reference.describe(rows.fit, watched.numeric, watched.categorical, sample)
    if pipeline.task == "regression":
        columns |= reference.describe(answers, ["prediction"], [])
    else:
        columns |= reference.describe(answers, [], ["prediction"])
    return {name: column.as_record() for name, column in columns.items()}


def require_same_predictions(
    context: Context,
    answers: DataFrame,
    stored: PipelineModel,
) -> None:
    """Raise BadData if the stored model predicts other values than the one in memory."""
    again = stored.transform(answers.withColumnRenamed("prediction", "before"))
    is_same = F.col("before").eqNullSafe(F.col("prediction"))
    differing = again.where(~is_same).count()
    if differing:
        raise BadData(
            f"{context.pipeline.name}: loaded back from MLflow, the model returns "
            f"{differing} other predictions than before; it was not registered",
            remedy="use another estimator, or another version of it: this one changes when it is "
            "stored",
        )
