"""Score dates with model versions, for daily scoring and for a rollback."""

import datetime as dt
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from batchml.config import Pipeline
from batchml.context import Context
from batchml.errors import BadData, NothingToDo
from batchml.models import metrics, scoring
from batchml.models.splits import SplitRule
from batchml.models.versions import Versions
from batchml.rows import schemas
from batchml.tracking import CHAMPION, PREVIOUS, Tag, Tracker, TrainingRecord, Version, trained_end

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

    existing = {
        each: version
        for each, version in tracker.versions().items()
        if each == number or Tag.WITHDRAWN not in version.tags
    }
    promoted = {
        each: trained_end(version)
        for each, version in existing.items()
        if each == number or (_was_promoted(version) and Tag.END in version.tags)
    }
    return Versions(promoted, frozenset(existing), number)


def _was_promoted(version: Version) -> bool:
    """Return True if the version has been champion. Earlier releases left only the aliases."""
    return Tag.PROMOTED in version.tags or bool({CHAMPION, PREVIOUS} & set(version.aliases))


def versions_by_date(
    context: Context, tracker: Tracker, dates: Collection[dt.date]
) -> dict[dt.date, int]:
    """Return the version that scores each of ``dates``; no entry for a date that none may score.

    A version whose run was deleted permanently cannot score, and is left out. The champion is
    returned all the same, so that scoring with it raises an error.
    """
    usable = usable_versions(tracker)
    stored = context.lake.greatest_by_date("predictions", "model_version", dates)
    while True:
        chosen = {date: usable.for_date(date, stored.get(date)) for date in dates}
        assigned = {date: number for date, number in chosen.items() if number is not None}
        others = set(assigned.values()) - {usable.champion}
        gone = {number for number in others if tracker.is_gone(tracker.get(number))}
        if not gone:
            return assigned
        usable = usable.without(gone)


def score(context: Context, tracker: Tracker, version: Version, dates: Sequence[dt.date]) -> Scored:
    """Replace ``dates`` in ``predictions``, with one row for every feature row.

    The label need not be known. Raise NothingToDo if there is nothing to score, or if the version
    cannot predict for the pipeline as it is now.
    """
    pipeline, lake = context.pipeline, context.lake
    record = tracker.record(version)
    first, last = min(dates), max(dates)
    with context.phase("read"):
        source = lake.latest_version("features")
        by_date = lake.rows_by_date("features", source, dates)
        if not by_date and not lake.has_rows("predictions", first, last):
            context.record_derived("predictions", dict.fromkeys(dates, 0))
            raise NothingToDo(
                f"{pipeline.name}: features has no rows for {first}..{last}",
                remedy="run build_features for these dates first",
            )
        features = lake.read("features", first, last, source)
        features = features.where(F.col("event_date").isin(list(dates)))
    if reason := disagreement(pipeline, record, features):
        raise CannotScore(
            f"{pipeline.name}: version {version.version} cannot score: {reason}",
            remedy="undo the change of the configuration, score with another version (--with), or "
            "train and promote one",
        )
    schema = schemas.predictions(pipeline)
    rule = record.split_rule()
    with lake.scratch(f"score-{context.application}") as scratch:
        with context.phase("load"):
            model = tracker.load_version(version, scratch)
        with context.phase("write"):
            # Add it before the model, which may change columns. An input may be named ``seen``.
            marked = features.withColumn(IS_SEEN, rule.seen(features.columns))
            scored = scoring.with_predictions(model, marked, pipeline.task, pipeline.label)
            scored = scored.withColumns({"seen": F.col(IS_SEEN), "trained_end": F.lit(rule.end)})
            if pipeline.task == "classification":
                scored = context.persist(scored)  # the probabilities, which are not stored
            predictions = scoring.to_store(scored, pipeline.prediction_type, int(version.version))
            rows = schemas.select(predictions, schema)
            with lake.stage("predictions", rows, schema, dates, is_by_date=True) as staged:
                if staged.rows != by_date:
                    raise BadData(
                        f"{pipeline.name}: there would be {sum(staged.rows.values())} predictions "
                        f"for {sum(by_date.values())} rows of features",
                        remedy="the model drops or doubles rows: train another one",
                    )
                if pipeline.task == "regression":
                    scored = staged.read(dates)
                unseen = scored.where(~F.col("seen"))
                measured = metrics.MEASURES[pipeline.task](unseen.where(F.col("label").isNotNull()))
                unseen_rows = _unseen_rows(unseen, rule, by_date)
                written = staged.commit()
    rows_by_date = {date: by_date.get(date, 0) for date in dates}
    context.record_derived("predictions", rows_by_date, int(version.version))
    total = sum(by_date.values())
    return Scored(total, total - unseen_rows, written, source, measured)


def disagreement(pipeline: Pipeline, record: TrainingRecord, rows: DataFrame) -> str:
    """Return why the model of ``record`` cannot predict ``rows``; empty if it can."""
    trained = record.parse_config()
    if (trained.label, trained.task) != (pipeline.label, pipeline.task):
        return (
            f"it predicts {trained.label} ({trained.task}), "
            f"and the pipeline {pipeline.label} ({pipeline.task})"
        )
    inputs = set(trained.inputs.columns)
    absent = sorted(inputs - set(rows.columns))
    if absent:
        return f"features no longer has its inputs {', '.join(absent)}"

    # The table keeps a column that the pipeline no longer has. It is null on dates built since.
    former = sorted(inputs - set(schemas.features(pipeline).fieldNames()))
    if not former:
        return ""
    values = [F.count(name).alias(name) for name in former]
    counts = rows.groupBy("event_date").agg(*values).collect()
    empty = []
    for place, name in enumerate(former, 1):  # behind the date
        if any(row[place] == 0 for row in counts):
            empty.append(name)
    if not empty:
        return ""
    return f"its inputs {', '.join(empty)} are no longer filled in features"


def _unseen_rows(unseen: DataFrame, rule: SplitRule, by_date: Mapping[dt.date, int]) -> int:
    """Return the number of rows that were not seen, from the dates if these decide."""
    if rule.holds_out_nothing:
        return 0
    if rule.training.split == "time":
        return sum(rows for date, rows in by_date.items() if date > rule.end)
    return unseen.count()
