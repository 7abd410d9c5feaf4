"""promote_model --rollback: ``champion`` returns to ``previous``, which scores the withdrawn version's dates again."""

import datetime as dt

from pyspark.sql import functions as F

from batchml import serving
from batchml.context import Context, Summary
from batchml.errors import BadConfig, NothingToDo
from batchml.job_line import MlflowIds, RollBackModelDetails
from batchml.tracking import CHAMPION, PREVIOUS, Tag, Tracker, open_tracker


def run(context: Context) -> Summary:
    """Move ``champion`` back to ``previous`` and let it score every date that a withdrawn version has scored.

    Safe to run again after a kill at any point: a version is tagged as withdrawn before the alias moves, and the dates
    are found by that tag. A second complete run raises NothingToDo.
    """
    name = context.pipeline.name
    context.lake.require_writable()
    tracker = open_tracker(name, context.places)
    withdrawn = _withdraw(context, tracker)
    champion = tracker.version(CHAMPION)
    if champion is None:
        raise NothingToDo(f"{name} has no champion to go back from")
    dates = _scored_by_withdrawn(context, tracker)
    if withdrawn is None and not dates:
        raise NothingToDo(
            f"{name}: there is no previous champion to go back to; version {champion.version} stays",
            remedy="the aliases in MLflow can be set by hand",
        )
    rows, tables = 0, {}
    if dates:
        context.say(
            "scoring %d dates again with version %s: %s..%s",
            len(dates),
            champion.version,
            dates[0],
            dates[-1],
        )
        scored = serving.score(context, tracker, champion, dates)
        rows, tables = scored.rows, {"predictions": scored.table_version}
    reason = (
        f"went back from version {withdrawn}" if withdrawn else "went on with an earlier rollback"
    )
    return Summary(
        rows_in=rows,
        rows_out=rows,
        tables=tables,
        mlflow=MlflowIds(run_id=champion.run_id, model=name, version=int(champion.version)),
        details=RollBackModelDetails(
            withdrawn=withdrawn,
            restored=int(champion.version),
            dates=tuple(dates),
            reason=reason,
        ),
    )


def _withdraw(context: Context, tracker: Tracker) -> int | None:
    """Move the alias back, tag both versions, and return the one withdrawn; None if there is no previous version."""
    champion, previous = tracker.version(CHAMPION), tracker.version(PREVIOUS)
    if champion is None or previous is None:
        return None
    if champion.version != previous.version:
        if lost := serving.lost_inputs(
            context.pipeline, tracker, previous
        ):  # asked while nothing has changed yet
            raise BadConfig(
                f"{previous.name} version {previous.version} cannot serve again: it wants inputs the pipeline does not "
                f"have any more: {', '.join(lost)}",
                remedy=f"put them back under 'inputs' in conf/pipelines/{previous.name}.yaml, run build_features, and "
                "roll back then",
            )
        event = f"{context.end} by {context.application}"
        tracker.tag(champion, {Tag.WITHDRAWN: f"{event}, for version {previous.version}"})
        tracker.tag(previous, {Tag.RESTORED: f"{event}, for version {champion.version}"})
        tracker.point(CHAMPION, previous)
        context.say(
            "champion is version %s again, version %s is withdrawn",
            previous.version,
            champion.version,
        )
    tracker.unpoint(PREVIOUS)  # last: until then a second attempt finds its way
    return int(champion.version) if champion.version != previous.version else None


def _scored_by_withdrawn(context: Context, tracker: Tracker) -> list[dt.date]:
    """Return the dates that any withdrawn version has scored, in order."""
    numbers = tracker.tagged(Tag.WITHDRAWN)
    if not numbers or not context.lake.exists("predictions"):
        return []
    predictions = context.lake.read_all("predictions")
    found = (
        predictions.where(F.col("model_version").isin(*numbers))
        .select("event_date")
        .distinct()
        .collect()
    )
    return sorted(row["event_date"] for row in found)
