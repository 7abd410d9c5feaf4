"""The predictions of one model version for some dates, for daily scoring and for a rollback."""

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass

from pyspark.sql import functions as F

from batchml.config import Pipeline
from batchml.context import Context
from batchml.errors import BadData, NothingToDo
from batchml.models import metrics, scoring
from batchml.rows import schemas
from batchml.tracking import Tracker, Version


@dataclass(frozen=True)
class Scored:
    """What was written."""

    rows: int
    table_version: int
    features_version: int
    realised: dict[str, float]
    """Metrics on the rows whose label is known."""


def score(context: Context, tracker: Tracker, version: Version, dates: Sequence[dt.date]) -> Scored:
    """Replace ``dates`` in ``predictions``, with one row for every feature row.

    The label need not be known. Raise NothingToDo if there is nothing to score, or if the version
    requires inputs that the pipeline no longer has.
    """
    pipeline, lake = context.pipeline, context.lake
    first, last = min(dates), max(dates)
    with context.phase("read"):
        source = lake.version("features")
        by_date = lake.rows_by_date("features", source, dates)
        if not by_date and not lake.holds("predictions", first, last):
            raise NothingToDo(
                f"{pipeline.name}: features has no rows for {first}..{last}",
                remedy="run build_features for these dates first",
            )
        features = lake.read("features", first, last, source).where(
            F.col("event_date").isin(*dates)
        )
    if lost := lost_inputs(pipeline, tracker, version):
        raise NothingToDo(
            f"{pipeline.name}: version {version.version} wants inputs the pipeline does not have any "
            f"more: {', '.join(lost)}",
            remedy="train a model on the inputs of today",
        )
    schema = schemas.predictions(pipeline)
    with lake.scratch(f"score-{context.application}") as scratch:
        with context.phase("load"):
            model = tracker.load_version(version, scratch)
        with context.phase("write"):
            scored = scoring.with_predictions(model, features, pipeline.task, pipeline.label)
            if pipeline.task == "classification":
                scored = context.keep(scored)  # the probabilities, which are not stored
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
                measured = metrics.MEASURES[pipeline.task](scored.where(F.col("label").isNotNull()))
                written = staged.commit()
    return Scored(sum(by_date.values()), written, source, measured)


def lost_inputs(pipeline: Pipeline, tracker: Tracker, version: Version) -> list[str]:
    """Return the inputs that ``version`` was trained on and the pipeline no longer has."""
    return sorted(tracker.inputs(version) - set(pipeline.inputs.columns))
