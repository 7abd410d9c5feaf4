"""evaluate_model: compare challenger, champion and baseline on the same rows, and decide."""

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from batchml.context import Context, Summary
from batchml.errors import NothingToDo
from batchml.job_line import Difference, EvaluateModelDetails, MlflowIds, SliceLoss
from batchml.models import comparison, gate, metrics, plots, scoring, slices, splits
from batchml.models.comparison import Comparison, Terms
from batchml.rows import schemas
from batchml.tracking import (
    CHALLENGER,
    CHAMPION,
    PREVIOUS,
    GateVerdict,
    Tag,
    Tracker,
    TrainingRecord,
    Version,
    open_tracker,
    require_same_end,
)


def run(context: Context) -> Summary:
    """Log metrics and plots to the challenger's run.

    Verdict and reason become tags of its version, and a row of ``verdicts``.
    """
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
        scored, compared = _compare(context, tracker, challenger, rows, record.baseline)
    verdict = gate.judge(pipeline.gate, compared)
    outcome = GateVerdict.PASSED if verdict.passed else GateVerdict.REJECTED
    context.say("%s: %s", outcome, verdict.reason)

    with context.phase("log"), tracker.resume(str(challenger.run_id)):
        for role, measured in compared.metrics.items():
            tracker.log(metrics=metrics.keyed(metrics.HOLDOUT_OF[role], measured))
        figures = plots.holdout(scored, pipeline.task, pipeline.label, pipeline.key)
        tracker.log_figures(figures | plots.loss_by_part(compared.parts))
        tracker.tag(challenger, {Tag.VERDICT: outcome, Tag.REASON: verdict.reason})
        version = _store(context, int(challenger.version), verdict, compared)
    difference = Difference(**vars(compared.paired)) if compared.paired else None
    return Summary(
        rows_in=int(compared.challenger["rows"]),
        rows_out=int(compared.challenger["rows"]),
        tables={"verdicts": version},
        mlflow=MlflowIds(
            run_id=challenger.run_id,
            model=pipeline.name,
            version=int(challenger.version),
        ),
        details=EvaluateModelDetails(
            metrics={role: dict(measured) for role, measured in compared.metrics.items()},
            passed=verdict.passed,
            reason=verdict.reason,
            difference=difference,
            slices=tuple(_slice_loss(part) for part in compared.parts),
        ),
    )


def _holdout(context: Context, record: TrainingRecord) -> DataFrame:
    """Return the challenger's holdout, by the table version, dates and split of its training."""
    trained, holdout = record.parse_config(), record.holdout
    rows = context.lake.read("features", holdout.start, holdout.end, record.features_version)
    labelled = rows.where(F.col(trained.label).isNotNull())
    columns = (*trained.inputs.columns, trained.label)
    _, held_out = splits.split(labelled, context.end, trained.training, columns)
    return held_out


def _compare(
    context: Context,
    tracker: Tracker,
    challenger: Version,
    rows: DataFrame,
    baseline: scoring.Baseline,
) -> tuple[DataFrame, Comparison]:
    """Return the rows as the challenger scores them, and the comparison."""
    pipeline = context.pipeline
    terms = Terms(
        task=pipeline.task,
        label=pipeline.label,
        key=pipeline.key,
        gate=pipeline.gate,
        seed=pipeline.training.seed,
    )
    missing = ", ".join(slices.unknown(rows.columns, pipeline.gate.slices))
    if missing:
        context.say(
            "these features have no %s: run build_features and train_model to evaluate those slices",
            missing,
        )
    champion = _opponent(context, tracker, challenger)
    with context.lake.scratch(f"evaluate-{context.application}") as scratch:
        model = tracker.load_version(challenger, scratch)
        scored = context.keep(comparison.score(model, rows, terms, "challenger"))
        both = None
        if champion is not None:
            model = tracker.load_version(champion, scratch)
            with_losses = scored.select(*rows.columns, "challenger_loss")
            both = context.keep(comparison.score(model, with_losses, terms, "champion"))
        return scored, comparison.compare(scored, both, baseline, terms)


def _opponent(context: Context, tracker: Tracker, challenger: Version) -> Version | None:
    """Return the version to compare with: the champion, or the previous one if both are the same.

    None if there is none, if it needs inputs that the challenger does not have, or if its run was
    deleted for good.
    """
    opponent = tracker.version(CHAMPION)
    if opponent is not None and opponent.version == challenger.version:
        opponent = tracker.version(PREVIOUS)
    if opponent is not None and tracker.is_gone(opponent):
        context.say("version %s cannot be compared with: its run was deleted", opponent.version)
        return None
    if opponent is None or not tracker.inputs(opponent) <= tracker.inputs(challenger):
        return None
    return opponent


def _store(context: Context, number: int, verdict: gate.Verdict, compared: Comparison) -> int:
    """Write the verdict's row beside those of other versions; return the table's version."""
    metric = context.pipeline.gate.metric
    roles = (compared.challenger, compared.champion, compared.baseline)
    values = [measured and measured.get(metric) for measured in roles]
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
