"""evaluate_model: compare the challenger with baseline and champion on the holdout, and decide."""

from dataclasses import dataclass, field, replace

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from batchml.config import Pipeline
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
from batchml.workflow.compatibility import changed_definitions

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
    evaluation = _Evaluation(context, tracker, challenger, record, rows)
    with context.phase("score"):
        scored, compared = evaluation.compare()
        too_few = _too_few_rows(context, scored, record)
    verdict = gate.decide(pipeline.gate, compared, too_few)
    outcome = GateVerdict.of(passed=verdict.passed, needs_approval=verdict.needs_approval)
    context.log("%s: %s", outcome, verdict.reason)

    number = int(challenger.version)
    run_id = str(challenger.run_id)
    tags = {Tag.VERDICT: outcome, Tag.REASON: verdict.reason}
    with context.phase("log"), tracker.resume(run_id):
        _log(context, tracker, scored, compared)
        tracker.set_tags(challenger, tags)
        version = _store(context, number, verdict, compared)
    rows_evaluated = int(compared.challenger["rows"])
    return Summary(
        rows_in=rows_evaluated,
        rows_out=rows_evaluated,
        tables={"verdicts": version},
        mlflow=MlflowIds(run_id=challenger.run_id, model=pipeline.name, version=number),
        details=_details(verdict, compared),
    )


def _log(
    context: Context,
    tracker: Tracker,
    scored: DataFrame,
    compared: Comparison,
) -> None:
    """Log metrics and plots of the holdout to the challenger's run."""
    pipeline = context.pipeline
    for role, measured in compared.metrics.items():
        prefix = metrics.HOLDOUT_OF[role]
        tracker.log(metrics=metrics.keyed(prefix, measured))
    figures = plots.holdout(scored, pipeline.task, pipeline.label, pipeline.key)
    figures |= plots.loss_by_slice(compared.slice_results)
    tracker.log_figures(figures)


def _details(verdict: gate.Verdict, compared: Comparison) -> EvaluateModelDetails:
    difference = None
    if compared.paired is not None:
        difference = Difference(**vars(compared.paired))
    return EvaluateModelDetails(
        metrics={role: dict(measured) for role, measured in compared.metrics.items()},
        passed=verdict.passed,
        needs_approval=verdict.needs_approval,
        reason=verdict.reason,
        difference=difference,
        slices=tuple(map(_slice_loss, compared.slice_results)),
    )


def _holdout(context: Context, record: TrainingRecord) -> DataFrame:
    """Return the challenger's holdout, by the table version, dates and split of its training."""
    label = record.parse_config().label
    dates = record.holdout
    rows = context.lake.read("features", dates.start, dates.end, record.features_version)
    labelled = rows.where(F.col(label).isNotNull())
    _, holdout = record.split_rule().split(labelled)
    return holdout


def _too_few_rows(
    context: Context,
    scored: DataFrame,
    record: TrainingRecord,
) -> str:
    """Return the evidence that the holdout lacks for a decision; empty if it is enough."""
    if record.split_rule().holdout_was_fitted_on:
        return (
            "only rows that were fitted on: all dates of a snapshot have the same rows, and only "
            "training.split: hash divides them"
        )
    shares = evidence.class_shares(record.baseline)
    counted = evidence.count_evidence(scored)
    return counted.too_few(context.pipeline.training, shares)


@dataclass(frozen=True)
class _Match:
    """The way to compare a champion with a challenger on the challenger's holdout.

    ``obstacle``: why it cannot. ``fitted``: true for rows that may be in the champion's fit.
    ``is_partial``: there may be such rows.
    """

    champion: Version
    obstacle: str = ""
    fitted: Column = field(default_factory=lambda: F.lit(False))
    is_partial: bool = False


@dataclass(frozen=True)
class _Evaluation:
    """The evaluation of a challenger. ``record`` is of its training, ``rows`` are its holdout."""

    context: Context
    tracker: Tracker
    challenger: Version
    record: TrainingRecord
    rows: DataFrame

    def compare(self) -> tuple[DataFrame, Comparison]:
        """Return the rows as the challenger scores them, and the comparison."""
        context, baseline = self.context, self.record.baseline
        terms = _terms(context.pipeline)
        self._log_unknown_slices()
        match = self._match()
        with context.lake.scratch(f"evaluate-{context.application}") as scratch:
            scored = self._score_challenger(match, terms, scratch)
            if match is None:
                return scored, comparison.compare(scored, None, baseline, terms)

            obstacle = match.obstacle
            part = None
            if match.is_partial:
                part = context.persist(scored.where(~F.col(IS_FITTED)))
                obstacle = self._lack_of_rows(part)
            if obstacle:
                number = match.champion.version
                context.log("version %s cannot be compared with: %s", number, obstacle)
                alone = comparison.compare(scored, None, baseline, terms)
                return scored, replace(alone, obstacle=obstacle)

            shared = scored
            if part is not None:
                shared = part
            model = self.tracker.load_version(match.champion, scratch)
            with_losses = shared.select(*self.rows.columns, "challenger_loss")
            both = comparison.score(model, with_losses, terms, "champion")
            both = context.persist(both)
            return scored, comparison.compare(scored, both, baseline, terms, part)

    def _log_unknown_slices(self) -> None:
        rules = self.context.pipeline.gate.slices
        missing = slices.unknown(self.rows.columns, rules)
        if missing:
            self.context.log(
                "these features have no %s: run build_features and train_model to evaluate "
                "those slices",
                ", ".join(missing),
            )

    def _score_challenger(
        self,
        match: _Match | None,
        terms: Terms,
        scratch: str,
    ) -> DataFrame:
        """Return the rows with prediction and loss, and whether the champion was fitted on them."""
        marked = self.rows
        if match is not None:
            marked = marked.withColumn(IS_FITTED, match.fitted)
        model = self.tracker.load_version(self.challenger, scratch)
        scored = comparison.score(model, marked, terms, "challenger")
        return self.context.persist(scored)

    def _match(self) -> _Match | None:
        """Return how to compare with the champion; None if there is none."""
        champion = self._opponent()
        if champion is None:
            return None
        pipeline = self.context.pipeline
        record = self.tracker.record(champion)
        reason = serving.disagreement(pipeline, record, self.rows)
        reason = reason or changed_definitions(pipeline, record.parse_config())
        if reason:
            return _Match(champion, reason)

        own = self.record.split_rule()
        other = record.split_rule()
        if own.has_same_holdout_as(other):
            return _Match(champion)
        if other.training.split == "hash":
            fitted = other.fitted(self.rows.columns)
            return _Match(champion, fitted=fitted, is_partial=True)
        fit = other.windows.fit
        holdout = own.windows.holdout
        if other.holdout_was_fitted_on or fit.end >= holdout.start:
            return _Match(champion, f"it was fitted on {fit}, and the holdout is {holdout}")
        return _Match(champion)

    def _opponent(self) -> Version | None:
        """Return the champion; the previous one if the challenger has become champion itself.

        Return None if there is none, or if its run was deleted permanently: such a version cannot
        serve either.
        """
        tracker = self.tracker
        opponent = tracker.by_alias(CHAMPION)
        if opponent is not None and opponent.version == self.challenger.version:
            opponent = tracker.by_alias(PREVIOUS)
        if opponent is None or not tracker.is_gone(opponent):
            return opponent
        self.context.log(
            "version %s cannot be compared with: its run was deleted", opponent.version
        )
        return None

    def _lack_of_rows(self, shared: DataFrame) -> str:
        """Return why ``shared``, rows that no model was fitted on, are too few; empty if not."""
        shares = evidence.class_shares(self.record.baseline)
        counted = evidence.count_evidence(shared)
        too_few = counted.too_few(self.context.pipeline.training, shares)
        if not too_few:
            return ""
        return f"of the rows it was not fitted on there are {too_few}"


def _terms(pipeline: Pipeline) -> Terms:
    return Terms(
        task=pipeline.task,
        label=pipeline.label,
        key=pipeline.training.group or pipeline.key,
        gate=pipeline.gate,
        seed=pipeline.training.seed,
    )


def _store(
    context: Context,
    number: int,
    verdict: gate.Verdict,
    compared: Comparison,
) -> int:
    """Write the verdict's row next to those of other versions; return the table's version."""
    metric = context.pipeline.gate.metric
    challenger = compared.shared or compared.challenger
    champion = None
    if compared.champion:
        champion = compared.champion.get(metric)
    row = (
        context.end,
        number,
        verdict.passed,
        verdict.reason,
        metric,
        challenger.get(metric),
        champion,
        compared.baseline.get(metric),
        verdict.needs_approval,
    )
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
