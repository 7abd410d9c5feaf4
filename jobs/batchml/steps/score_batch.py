"""score_batch: the champion's predictions for the dates."""

import datetime as dt

from batchml import serving
from batchml.clients.champion_probe import no_champion
from batchml.context import Context, Summary
from batchml.job_line import MlflowIds, ScoreBatchDetails
from batchml.tracking import CHALLENGER, CHAMPION, Tag, open_tracker


def run(context: Context) -> Summary:
    """Replace the dates in ``predictions``; state whether the champion was trained on them."""
    name = context.pipeline.name
    context.lake.require_writable()
    tracker = open_tracker(name, context.places)
    champion = tracker.version(CHAMPION)
    if champion is None:
        raise no_champion("score_batch", name)
    scored = serving.score(context, tracker, champion, context.dates)
    trained_end = dt.date.fromisoformat(champion.tags[Tag.END])
    unseen = trained_end < context.start
    if not unseen:
        context.say(
            "version %s has seen data up to %s: its error here is not an honest one",
            champion.version,
            trained_end,
        )
    attempt = tracker.version(CHALLENGER)
    last_attempt_end = None
    if attempt is not None and Tag.END in attempt.tags:
        last_attempt_end = dt.date.fromisoformat(attempt.tags[Tag.END])
    return Summary(
        rows_in=scored.rows,
        rows_out=scored.rows,
        tables={"predictions": scored.table_version},
        mlflow=MlflowIds(run_id=champion.run_id, model=name, version=int(champion.version)),
        details=ScoreBatchDetails(
            trained_end=trained_end,
            unseen=unseen,
            last_attempt_end=last_attempt_end,
            realised=dict(scored.realised),
            features_version=scored.features_version,
        ),
    )
