"""score_batch: the champion's predictions for the dates."""

from pyspark.sql import functions as F

from batchml import metrics, schemas, scoring
from batchml.context import Context, Summary
from batchml.errors import NothingToDo
from batchml.tracking import CHALLENGER, CHAMPION, open_tracker


def run(context: Context) -> Summary:
    """Replaces the dates in ``predictions``; every feature row has one, whether its label is known or not."""
    pipeline, lake = context.pipeline, context.lake
    lake.require_writable()
    tracker = open_tracker(pipeline.name, context.places)
    champion = tracker.version(CHAMPION)
    if champion is None:
        raise NothingToDo(
            f"{pipeline.name} has no champion to score with",
            remedy="run train_model, evaluate_model and promote_model first",
        )
    with context.phase("read"):
        source = lake.version("features")
        features = lake.read("features", context.start, context.end, source)
        by_date = {row["event_date"]: row["count"] for row in features.groupBy("event_date").count().collect()}
        if not by_date and not lake.holds("predictions", context.start, context.end):
            raise NothingToDo(
                f"{pipeline.name}: features has no rows for {context.start}..{context.end}",
                remedy="run build_features for these dates first",
            )
    if lost := sorted(tracker.inputs(champion) - set(pipeline.inputs.columns)):
        raise NothingToDo(
            f"{pipeline.name}: the champion, version {champion.version}, wants inputs the pipeline does not have any "
            f"more: {', '.join(lost)}",
            remedy="train a model on the inputs of today",
        )
    schema = schemas.predictions(pipeline)
    with context.lake.scratch(f"score-{context.application}") as scratch:
        with context.phase("load"):
            model = tracker.load_version(champion, scratch)
        with context.phase("write"):
            scored = context.keep(scoring.with_predictions(model, features, pipeline))
            predictions = scoring.to_store(scored, pipeline, int(champion.version))
            version = lake.replace("predictions", schemas.select(predictions, schema), schema, context.dates)
            measured = metrics.MEASURES[pipeline.task](scored.where(F.col("label").isNotNull()))
    rows, trained_end = sum(by_date.values()), champion.tags["end"]
    unseen = trained_end < str(context.start)
    if not unseen:
        context.say(
            "version %s has seen data up to %s: its error here is not an honest one", champion.version, trained_end
        )
    return Summary(
        rows_in=rows,
        rows_out=rows,
        tables={"predictions": version},
        mlflow={"run_id": champion.run_id, "model": pipeline.name, "version": int(champion.version)},
        details={
            "trained_end": trained_end,
            "unseen": unseen,
            "last_attempt_end": attempt.tags.get("end") if (attempt := tracker.version(CHALLENGER)) else None,
            "realised": measured,
            "features_version": source,
        },
    )
