"""Score dates with model versions, for daily scoring and for a rollback."""

import datetime as dt
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from pyspark.ml import PipelineModel
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from batchml.config import Pipeline
from batchml.context import Context
from batchml.errors import BadData, NothingToDo
from batchml.job_line import ScoreBatchDetails
from batchml.lake.staging import Staged
from batchml.models import metrics, scoring
from batchml.models.splits import SplitRule
from batchml.models.versions import Versions
from batchml.rows import schemas
from batchml.tracking import CHAMPION, PREVIOUS, Tag, Tracker, TrainingRecord, Version, trained_end
from batchml.workflow.compatibility import other_target

IS_SEEN = "is seen"  # a name that no column has


@dataclass(frozen=True)
class Scored:
    """The rows that one version has scored."""

    rows: int
    seen_rows: int
    """Rows that the version has seen, or may have."""
    table_version: int
    features_version: int
    realised: dict[str, float]
    """Metrics on the rows that the version has not seen and whose label is known."""


class CannotScore(NothingToDo):
    """A version does not fit the pipeline as it is configured now."""


def usable_versions(tracker: Tracker) -> Versions:
    """Return the versions that may score: all that exist and were not withdrawn."""
    champion = tracker.by_alias(CHAMPION)
    number: int | None = None
    if champion is not None:
        number = int(champion.version)

    existing: set[int] = set()
    promoted: dict[int, dt.date] = {}
    for each, version in tracker.versions().items():
        is_champion = each == number
        if not is_champion and Tag.WITHDRAWN in version.tags:
            continue
        existing.add(each)
        if is_champion or (_was_promoted(version) and Tag.END in version.tags):
            promoted[each] = trained_end(version)
    return Versions(promoted, frozenset(existing), number)


def _was_promoted(version: Version) -> bool:
    """Return True if the version has been champion. Earlier releases left only the aliases."""
    has_alias = CHAMPION in version.aliases or PREVIOUS in version.aliases
    return has_alias or Tag.PROMOTED in version.tags


def details_before_scoring(
    tracker: Tracker,
    champion: Version,
    unscored: tuple[dt.date, ...],
) -> ScoreBatchDetails:
    """Return the details that are known before scoring.

    The Airflow task ``training_due`` decides by the fields about the champion and the last
    training, and by ``hold`` and ``misfit``.
    """
    end = trained_end(champion)
    # After a rollback no training starts by itself.
    hold = ""
    if Tag.RESTORED in champion.tags:
        hold = f"version {champion.version} serves again after a rollback"
    return ScoreBatchDetails(
        trained_end=end,  # _summary replaces it by that of the version that scored
        unseen=None,
        seen_rows=0,
        versions={},
        unscored=unscored,
        champion=int(champion.version),
        champion_end=end,
        last_attempt_end=tracker.last_attempt_end(),
        hold=hold,
        misfit="",
        realised={},
        features_version=None,
    )


def versions_by_date(
    context: Context,
    tracker: Tracker,
    dates: Collection[dt.date],
) -> dict[dt.date, int]:
    """Return the version that scores each of ``dates``; no entry for a date that none may score.

    A version whose run was deleted permanently cannot score, and is left out. The champion is
    returned all the same, so that scoring with it raises an error.
    """
    usable = usable_versions(tracker)
    stored = context.lake.greatest_by_date("predictions", "model_version", dates)
    while True:
        version_by_date = {}
        for date in dates:
            number = usable.for_date(date, stored.get(date))
            if number is not None:
                version_by_date[date] = number
        others = set(version_by_date.values()) - {usable.champion}
        gone = {number for number in others if tracker.is_gone(tracker.get(number))}
        if not gone:
            return version_by_date
        usable = usable.without(gone)


def explain_no_version(context: Context) -> str:
    """Return the message for dates of which ``versions_by_date`` has none."""
    name = context.pipeline.name
    last = context.dates[-1]
    return f"{name}: the training of every usable promoted version ended on {last} or later"


def score(
    context: Context,
    tracker: Tracker,
    version: Version,
    dates: Sequence[dt.date],
) -> Scored:
    """Replace ``dates`` in ``predictions``, with one row for every feature row.

    The label need not be known. Raise NothingToDo if there is nothing to score, or if the version
    cannot predict for the pipeline as it is now.
    """
    record = tracker.record(version)
    with context.phase("read"):
        features = _read_features(context, dates)
    _require_fit(context.pipeline, version, record, features.rows)

    number = int(version.version)
    scoring_run = _ScoringRun(context, number, record.split_rule(), dates, features.by_date)
    with context.lake.scratch(f"score-{context.application}") as scratch:
        with context.phase("load"):
            model = tracker.load_version(version, scratch)
        with context.phase("write"):
            predictions = scoring_run.predict(model, features.rows)
            stored = scoring_run.store(predictions)

    rows_by_date = {date: features.by_date.get(date, 0) for date in dates}
    context.record_derived("predictions", rows_by_date, number)
    total = sum(features.by_date.values())
    return Scored(
        rows=total,
        seen_rows=total - stored.unseen_rows,
        table_version=stored.table_version,
        features_version=features.version,
        realised=stored.realised,
    )


@dataclass(frozen=True)
class _Features:
    """The rows to score, their number by date, and the version of ``features``."""

    version: int
    by_date: Mapping[dt.date, int]
    rows: DataFrame


def _read_features(context: Context, dates: Sequence[dt.date]) -> _Features:
    """Return the rows of the dates. Raise NothingToDo without any, unless they were scored once."""
    lake = context.lake
    first, last = min(dates), max(dates)
    source = lake.latest_version("features")
    by_date = lake.rows_by_date("features", source, dates)
    if not by_date and not lake.has_rows("predictions", first, last):
        context.record_derived("predictions", dict.fromkeys(dates, 0))
        raise NothingToDo(
            f"{context.pipeline.name}: features has no rows for {first}..{last}",
            remedy="run build_features for these dates first",
        )
    stored = lake.read("features", first, last, source)
    is_of_dates = F.col("event_date").isin(list(dates))
    return _Features(source, by_date, stored.where(is_of_dates))


def _require_fit(
    pipeline: Pipeline,
    version: Version,
    record: TrainingRecord,
    features: DataFrame,
) -> None:
    """Raise CannotScore if the version cannot predict ``features``."""
    reason = disagreement(pipeline, record, features)
    if reason:
        raise CannotScore(
            f"{pipeline.name}: version {version.version} cannot score: {reason}",
            remedy="undo the change of the configuration, score with another version (--with), or "
            "train and promote one",
        )


@dataclass(frozen=True)
class _Stored:
    """The version of ``predictions`` that was written, and what is known of its unseen rows."""

    table_version: int
    unseen_rows: int
    realised: dict[str, float]


@dataclass(frozen=True)
class _ScoringRun:
    """One version scores dates. ``by_date`` has the number of their rows in ``features``."""

    context: Context
    number: int
    rule: SplitRule
    dates: Sequence[dt.date]
    by_date: Mapping[dt.date, int]

    def predict(self, model: PipelineModel, features: DataFrame) -> DataFrame:
        """Return ``features`` with predictions, ``seen`` and ``trained_end``."""
        pipeline = self.context.pipeline
        # Add it before the model, which may change columns. An input may be named ``seen``.
        marked = features.withColumn(IS_SEEN, self.rule.seen(features.columns))
        scored = scoring.with_predictions(model, marked, pipeline.task, pipeline.label)
        scored = scored.withColumn("seen", F.col(IS_SEEN))
        scored = scored.withColumn("trained_end", F.lit(self.rule.end))
        if pipeline.task == "regression":
            return scored
        # The metrics need the probabilities, which are not stored.
        return self.context.persist(scored)

    def store(self, scored: DataFrame) -> _Stored:
        """Replace the dates in ``predictions``, and measure the unseen rows."""
        pipeline, lake = self.context.pipeline, self.context.lake
        schema = schemas.predictions(pipeline)
        predictions = scoring.to_store(scored, pipeline.prediction_type, self.number)
        rows = schemas.select(predictions, schema)
        with lake.stage("predictions", rows, schema, self.dates, is_by_date=True) as staged:
            self._require_every_row(staged)
            if pipeline.task == "regression":
                scored = staged.read(self.dates)
            unseen = scored.where(~F.col("seen"))
            with_label = unseen.where(F.col("label").isNotNull())
            realised = metrics.MEASURES[pipeline.task](with_label)
            unseen_rows = _unseen_rows(unseen, self.rule, self.by_date)
            table_version = staged.commit()
        return _Stored(table_version, unseen_rows, realised)

    def _require_every_row(self, staged: Staged) -> None:
        """Raise BadData unless every row of ``features`` has one prediction."""
        if staged.rows == self.by_date:
            return
        predictions = sum(staged.rows.values())
        rows = sum(self.by_date.values())
        raise BadData(
            f"{self.context.pipeline.name}: there would be {predictions} predictions "
            f"for {rows} rows of features",
            remedy="the model drops or doubles rows: train another one",
        )


def disagreement(pipeline: Pipeline, record: TrainingRecord, rows: DataFrame) -> str:
    """Return why the model of ``record`` cannot predict ``rows``; empty if it can."""
    trained = record.parse_config()
    reason = other_target(pipeline, trained)
    if reason:
        return reason
    inputs = set(trained.inputs.columns)
    absent = sorted(inputs.difference(rows.columns))
    if absent:
        return f"features no longer has its inputs {', '.join(absent)}"

    # The table keeps a column that the pipeline no longer has. It is null on dates built since.
    computed = schemas.features(pipeline).fieldNames()
    former = sorted(inputs.difference(computed))
    empty = _empty_on_a_date(rows, former)
    if empty:
        return f"its inputs {', '.join(empty)} are no longer filled in features"
    return ""


def _empty_on_a_date(rows: DataFrame, columns: Sequence[str]) -> list[str]:
    """Return those of the columns that are null throughout a date."""
    if not columns:
        return []
    values = [F.count(name) for name in columns]
    by_date = rows.groupBy("event_date").agg(*values).collect()
    empty = []
    # The columns are numbered from 1, because the first one is the date.
    for number, name in enumerate(columns, 1):
        if any(row[number] == 0 for row in by_date):
            empty.append(name)
    return empty


def _unseen_rows(
    unseen: DataFrame,
    rule: SplitRule,
    by_date: Mapping[dt.date, int],
) -> int:
    """Return the number of rows that were not seen, from the dates if these decide."""
    if rule.holdout_was_fitted_on:
        return 0
    if rule.training.split == "time":
        later = [rows for date, rows in by_date.items() if date > rule.end]
        return sum(later)
    return unseen.count()
