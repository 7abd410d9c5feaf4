"""score_batch: the champion's predictions for the dates."""

from batchml import serving
from batchml.clients.champion_probe import no_champion
from batchml.context import Context, Summary
from batchml.tracking import CHALLENGER, CHAMPION, open_tracker


def run(context: Context) -> Summary:
    """Replaces the dates in ``predictions``, and says whether the champion has seen them."""
    name = context.pipeline.name
    context.lake.require_writable()
    tracker = open_tracker(name, context.places)
    champion = tracker.version(CHAMPION)
    if champion is None:
        raise no_champion("score_batch", name)
    scored = serving.score(context, tracker, champion, context.dates)
    trained_end = champion.tags["end"]
    unseen = trained_end < str(context.start)
    if not unseen:
        context.say(
            "version %s has seen data up to %s: its error here is not an honest one", champion.version, trained_end
        )
    attempt = tracker.version(CHALLENGER)
    return Summary(
        rows_in=scored.rows,
        rows_out=scored.rows,
        tables={"predictions": scored.table_version},
        mlflow={"run_id": champion.run_id, "model": name, "version": int(champion.version)},
        details={
            "trained_end": trained_end,
            "unseen": unseen,
            "last_attempt_end": attempt.tags.get("end") if attempt else None,
            "realised": scored.realised,
            "features_version": scored.features_version,
        },
    )
