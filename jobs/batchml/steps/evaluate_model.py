"""evaluate_model: compare challenger, champion and baseline on the same rows, and decide."""

from dataclasses import dataclass, field, replace
from functools import partial

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from batchml.config import Pipeline
from batchml.config.definitions import redefined_columns
from batchml.context import Context, Summary
from batchml.errors import NothingToDo
from batchml.job_line import Difference, EvaluateModelDetails, MlflowIds, SliceLoss
from batchml.models import comparison, evidence, gate, metrics, plots, slices
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
from batchml.workflow import serving

IS_FITTED = "is fitted by the champion"  # a name that no column has


def run(context: Context) -> Summary:
    """Log metrics and plots to the challenger's run.

    Verdict and reason become tags of its version, and a row of ``verdicts``.
    """
    pipeline = context.pipeline
    context.lake.require_writable()
    tracker = open_tracker(pipeline.name, context.places)
    challenger = tracker.by_alias(CHALLENGER)
    if challenger is None:
        raise NothingToDo(f"{pipeline.name} has no challenger", remedy="run train_model first")
    require_same_end(challenger, str(context.end))
    record = tracker.record(challenger)

    with context.phase("read"):
        rows = context.persist(_holdout(context, record))
    with context.phase("score"):
        scored, compared = _compare(context, tracker, challenger, rows, record)
        missing = _missing_evidence(context, scored, record)
    verdict = gate.decide(pipeline.gate, compared, missing)
    outcome = GateVerdict.of(passed=verdict.passed, needs_approval=verdict.needs_approval)
    context.log("%s: %s", outcome, verdict.reason)

    with context.phase("log"), tracker.resume(str(challenger.run_id)):
        for role, measured in compared.metrics.items():
            tracker.log(metrics=metrics.keyed(metrics.HOLDOUT_OF[role], measured))
        figures = plots.holdout(scored, pipeline.task, pipeline.label, pipeline.key)
        tracker.log_figures(figures | plots.loss_by_slice(compared.slice_results))
        tracker.set_tags(challenger, {Tag.VERDICT: outcome, Tag.REASON: verdict.reason})
        version = _store(context, int(challenger.version), verdict, compared)
    difference = None
    if compared.paired is not None:
        difference = Difference(**vars(compared.paired))
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
            needs_approval=verdict.needs_approval,
            reason=verdict.reason,
            difference=difference,
            slices=tuple(_slice_loss(result) for result in compared.slice_results),
        ),
    )


def _holdout(context: Context, record: TrainingRecord) -> DataFrame:
    """Return the challenger's holdout, by the table version, dates and split of its training."""
    trained, holdout = record.parse_config(), record.holdout
    rows = context.lake.read("features", holdout.start, holdout.end, record.features_version)
    labelled = rows.where(F.col(trained.label).isNotNull())
    _, held_out = record.split_rule().split(labelled)
    return held_out


def _missing_evidence(context: Context, scored: DataFrame, record: TrainingRecord) -> str:
    """Return the evidence that the holdout lacks for a decision; empty if it is enough."""
    if record.split_rule().holds_out_nothing:
        return (
            "only rows that were fitted on: all dates of a snapshot have the same rows, and only "
            "training.split: hash divides them"
        )
    shares = evidence.class_shares(record.baseline)
    return evidence.count_evidence(scored).missing(context.pipeline.training, shares)


def _compare(
    context: Context,
    tracker: Tracker,
    challenger: Version,
    rows: DataFrame,
    record: TrainingRecord,
) -> tuple[DataFrame, Comparison]:
    """Return the rows as the challenger scores them, and the comparison."""
    pipeline = context.pipeline
    terms = Terms(
        task=pipeline.task,
        label=pipeline.label,
        key=pipeline.training.group or pipeline.key,
        gate=pipeline.gate,
        seed=pipeline.training.seed,
    )
    missing = ", ".join(slices.unknown(rows.columns, pipeline.gate.slices))
    if missing:
        context.log(
            "these features have no %s: run build_features and train_model to evaluate "
            "those slices",
            missing,
        )
    champion = _opponent(context, tracker, challenger)
    match = None
    marked = rows
    if champion is not None:
        match = _match(context, tracker.record(champion), rows, record)
        marked = rows.withColumn(IS_FITTED, match.fitted)
    with context.lake.scratch(f"evaluate-{context.application}") as scratch:
        model = tracker.load_version(challenger, scratch)
        scored = context.persist(comparison.score(model, marked, terms, "challenger"))
        alone = partial(comparison.compare, scored, None, record.baseline, terms)
        if champion is None or match is None:
            return scored, alone()

        shared, obstacle = scored, match.obstacle
        if match.is_partial:
            shared = context.persist(scored.where(~F.col(IS_FITTED)))
            obstacle = _too_few(context, shared, record)
        if obstacle:
            context.log("version %s cannot be compared with: %s", champion.version, obstacle)
            return scored, replace(alone(), obstacle=obstacle)

        model = tracker.load_version(champion, scratch)
        with_losses = shared.select(*rows.columns, "challenger_loss")
        both = context.persist(comparison.score(model, with_losses, terms, "champion"))
        part = None
        if match.is_partial:
            part = shared
        return scored, comparison.compare(scored, both, record.baseline, terms, part)


def _opponent(context: Context, tracker: Tracker, challenger: Version) -> Version | None:
    """Return the version to compare with: the champion, or the previous one if both are the same.

    Return None if there is none, or if its run was deleted permanently: such a version cannot serve
    either.
    """
    opponent = tracker.by_alias(CHAMPION)
    if opponent is not None and opponent.version == challenger.version:
        opponent = tracker.by_alias(PREVIOUS)
    if opponent is not None and tracker.is_gone(opponent):
        context.log("version %s cannot be compared with: its run was deleted", opponent.version)
        return None
    return opponent


@dataclass(frozen=True)
class Match:
    """The way to compare a champion with a challenger on the challenger's holdout.

    ``obstacle``: why it cannot. ``fitted``: true for rows that may be in the champion's fit.
    ``is_partial``: there may be such rows.
    """

    obstacle: str = ""
    fitted: Column = field(default_factory=lambda: F.lit(False))
    is_partial: bool = False


def _match(
    context: Context, champion: TrainingRecord, rows: DataFrame, challenger: TrainingRecord
) -> Match:
    """Compare the records of both trainings; ``rows`` are the challenger's holdout."""
    pipeline = context.pipeline
    reason = serving.disagreement(pipeline, champion, rows) or _redefined(pipeline, champion)
    if reason:
        return Match(reason)

    own, other = challenger.split_rule(), champion.split_rule()
    if own.has_same_holdout_as(other):
        return Match()
    if other.training.split == "hash":
        return Match(fitted=other.fitted(rows.columns), is_partial=True)
    fit, holdout = other.windows.fit, own.windows.holdout
    if other.holds_out_nothing or fit.end >= holdout.start:
        return Match(f"it was fitted on {fit}, and the holdout is {holdout}")
    return Match()


def _redefined(pipeline: Pipeline, champion: TrainingRecord) -> str:
    """Return which inputs or label of the champion are defined differently now; empty if none."""
    names = redefined_columns(pipeline, champion.parse_config())
    if not names:
        return ""
    return f"the definition of {', '.join(names)} has changed"


def _too_few(context: Context, shared: DataFrame, challenger: TrainingRecord) -> str:
    """Return why ``shared``, rows that neither model was fitted on, are too few; empty if not."""
    shares = evidence.class_shares(challenger.baseline)
    missing = evidence.count_evidence(shared).missing(context.pipeline.training, shares)
    if not missing:
        return ""
    return f"of the rows it was not fitted on there are {missing}"


def _store(context: Context, number: int, verdict: gate.Verdict, compared: Comparison) -> int:
    """Write the verdict's row next to those of other versions; return the table's version."""
    metric = context.pipeline.gate.metric
    roles = (compared.shared or compared.challenger, compared.champion, compared.baseline)
    values = [measured and measured.get(metric) for measured in roles]
    row: list[object] = [context.end, number, verdict.passed, verdict.reason, metric]
    row += values
    row.append(verdict.needs_approval)
    schema = schemas.verdicts()
    rows = context.lake.create_frame([row], schema)
    if context.lake.exists("verdicts"):
        before = context.lake.read("verdicts", context.end, context.end)
        others = before.where(F.col("model_version") != number)
        rows = rows.unionByName(others, allowMissingColumns=True)
    return context.lake.replace("verdicts", rows, schema, [context.end])


def _slice_loss(result: slices.SliceResult) -> SliceLoss:
    return SliceLoss(
        by=result.rule.by,
        value=result.value,
        loss=result.loss,
        rows=result.rows,
        challenger=result.challenger,
        champion=result.champion,
        surely_worse=result.significantly_worse,
    )
