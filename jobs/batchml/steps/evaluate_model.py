"""evaluate_model: challenger, champion and a baseline on the same holdout rows, and the gate's verdict."""

import datetime as dt
from dataclasses import replace
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from pydantic import TypeAdapter
from pyspark.ml import PipelineModel
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from batchml.config import Pipeline
from batchml.context import Context, Summary
from batchml.errors import NothingToDo
from batchml.job_line import Difference, EvaluateModelDetails, MlflowIds, SliceLoss
from batchml.models import gate, metrics, plots, scoring, significance, slices, splits
from batchml.rows import schemas
from batchml.tracking import CHALLENGER, CHAMPION, PREVIOUS, Tracker, Version, open_tracker, require_same_end

PLOTTED_ROWS = 5_000


def run(context: Context) -> Summary:
    """Logs metrics and plots to the challenger's run; verdict and reason become tags of its version, and a row of
    ``verdicts``."""
    pipeline = context.pipeline
    context.lake.require_writable()
    tracker = open_tracker(pipeline.name, context.places)
    challenger = tracker.version(CHALLENGER)
    if challenger is None:
        raise NothingToDo(f"{pipeline.name} has no challenger", remedy="run train_model first")
    require_same_end(challenger, str(context.end))
    record = tracker.record(challenger)
    with context.phase("read"):
        rows = context.keep(_holdout(context, record))
    with context.phase("score"):
        scored, found = _compare(context, tracker, challenger, rows, record["baseline"])
    verdict = gate.judge(pipeline.gate, found)
    context.say("%s: %s", "passed" if verdict.passed else "rejected", verdict.reason)
    with context.phase("log"), tracker.resume(str(challenger.run_id)):
        for who, measured in found.metrics.items():
            prefix = "holdout" if who == "challenger" else f"holdout_{who}"
            tracker.log(metrics={f"{prefix}_{name}": value for name, value in measured.items()})
        tracker.log_figures(_figures(scored, pipeline) | plots.loss_by_part(found.parts))
        outcome = {"gate.verdict": "passed" if verdict.passed else "rejected", "gate.reason": verdict.reason}
        tracker.tag(challenger, outcome)
        version = _store(context, int(challenger.version), verdict, found)
    difference = Difference(**vars(found.paired)) if found.paired else None
    return Summary(
        rows_in=int(found.challenger["rows"]),
        rows_out=int(found.challenger["rows"]),
        tables={"verdicts": version},
        mlflow=MlflowIds(run_id=challenger.run_id, model=pipeline.name, version=int(challenger.version)),
        details=EvaluateModelDetails(
            metrics={model: dict(measured) for model, measured in found.metrics.items()},
            passed=verdict.passed,
            reason=verdict.reason,
            difference=difference,
            slices=tuple(_slice_loss(part) for part in found.parts),
        ),
    )


def _compare(
    context: Context, tracker: Tracker, challenger: Version, rows: DataFrame, baseline: dict[str, Any]
) -> tuple[DataFrame, gate.Comparison]:
    """The rows as the challenger scores them, and what it, the baseline and the champion come to on them."""
    pipeline = context.pipeline
    measure = metrics.MEASURES[pipeline.task]
    champion = _opponent(tracker, challenger)
    with context.lake.scratch(f"evaluate-{context.application}") as scratch:
        scored = context.keep(_scored(tracker.load_version(challenger, scratch), rows, pipeline))
        constant = TypeAdapter(scoring.Baseline).validate_python(baseline)
        idle = scoring.with_baseline(rows, constant, pipeline.label, pipeline.gate.baseline)
        found = gate.Comparison(measure(scored), measure(idle))
        losses = scored.withColumn("challenger_loss", metrics.loss_by_row(pipeline.gate.metric))
        if champion is not None:
            serving = tracker.load_version(champion, scratch)
            losses = context.keep(_by_both(losses.select(*rows.columns, "challenger_loss"), serving, pipeline))
            found = replace(found, champion=measure(losses), paired=_difference(losses, pipeline))
        return scored, replace(found, parts=_parts(context, losses))


def _scored(model: PipelineModel, rows: DataFrame, pipeline: Pipeline) -> DataFrame:
    return scoring.with_predictions(model, rows, pipeline.task, pipeline.label)


def _opponent(tracker: Tracker, challenger: Version) -> Version | None:
    """Whom the challenger must better: the champion, or the one before if the challenger has become champion itself.

    None if there is none, or if it wants inputs that the pipeline does not have any more.
    """
    found = tracker.version(CHAMPION)
    if found is not None and found.version == challenger.version:
        found = tracker.version(PREVIOUS)
    comparable = found is not None and tracker.inputs(found) <= tracker.inputs(challenger)
    return found if comparable else None


def _by_both(losses: DataFrame, serving: PipelineModel, pipeline: Pipeline) -> DataFrame:
    """The champion's predictions of the rows that the challenger has scored, with the loss of each of them by row."""
    loss = metrics.loss_by_row(pipeline.gate.metric)
    return _scored(serving, losses, pipeline).withColumn("champion_loss", loss)


def _parts(context: Context, losses: DataFrame) -> list[slices.Part]:
    """The losses by slice, as far as the rows know it: features from before a slice was declared do not."""
    rules = context.pipeline.gate.slices
    if unknown := [rule.by for rule in rules if rule.by not in losses.columns]:
        context.say("features do not have %s yet: run build_features again to judge by it", ", ".join(unknown))
    return slices.parts(losses, [rule for rule in rules if rule.by in losses.columns], context.pipeline.gate.metric)


def _store(context: Context, number: int, verdict: gate.Verdict, found: gate.Comparison) -> int:
    """The verdict's row, beside those of other versions of the date; gives the table's version."""
    metric = context.pipeline.gate.metric
    values = [measured and measured.get(metric) for measured in (found.challenger, found.champion, found.baseline)]
    row = (context.end, number, verdict.passed, verdict.reason, metric, *values)
    schema = schemas.verdicts()
    rows = context.lake.frame([row], schema)
    if context.lake.exists("verdicts"):
        before = context.lake.read("verdicts", context.end, context.end)
        rows = rows.unionByName(before.where(F.col("model_version") != number))
    return context.lake.replace("verdicts", rows, schema, [context.end])


def _slice_loss(part: slices.Part) -> SliceLoss:
    return SliceLoss(
        by=part.rule.by,
        value=part.value,
        loss=part.loss,
        rows=part.rows,
        challenger=part.challenger,
        champion=part.champion,
        surely_worse=part.surely_worse,
    )


def _difference(both: DataFrame, pipeline: Pipeline) -> significance.Difference:
    """How much better the challenger is than the champion on the same rows, and how much of that is chance."""
    group = F.pmod(F.xxhash64(*pipeline.key), F.lit(significance.BUCKETS))
    sums = both.groupBy(group).agg(F.sum("challenger_loss"), F.sum("champion_loss"), F.count("*")).collect()
    # In one order, so that a seed gives the same interval.
    table = np.array([row[1:] for row in sorted(sums)], dtype=float)
    rules = pipeline.gate
    return significance.difference(table, pipeline.training.seed, rules.confidence, root=rules.metric == "rmse")


def _holdout(context: Context, record: dict[str, Any]) -> DataFrame:
    """The challenger's holdout: the same table version, dates and split that it was trained beside."""
    trained = Pipeline.model_validate(record["config"])
    start, end = (dt.date.fromisoformat(record["holdout"][side]) for side in ("start", "end"))
    rows = context.lake.read("features", start, end, record["features_version"])
    labelled = rows.where(F.col(trained.label).isNotNull())
    _, holdout = splits.split(labelled, context.end, trained.training, (*trained.inputs.columns, trained.label))
    return holdout


def _figures(scored: DataFrame, pipeline: Pipeline) -> dict[str, Figure]:
    if pipeline.task == "classification":
        matrix = metrics.confusion(scored)
        figures = {"confusion_matrix": plots.confusion_matrix(matrix)}
        if (rarer := metrics.rarer_of_two(matrix)) is not None:
            figures["calibration"] = plots.calibration(metrics.calibration(scored, rarer), rarer)
        return figures
    # By hash, so that the picture shows the same rows each time.
    sample = scored.orderBy(F.xxhash64(*pipeline.key)).limit(PLOTTED_ROWS).select("prediction", "label").collect()
    predicted, actual = [row["prediction"] for row in sample], [row["label"] for row in sample]
    return {
        "predicted_against_actual": plots.predicted_against_actual(predicted, actual, pipeline.label),
        "residuals": plots.residuals(predicted, actual, pipeline.label),
    }
