"""promote_model: a challenger that passed the gate becomes ``champion``, the old one ``previous``. --rollback: back."""

import datetime as dt

from pyspark.sql import functions as F

from batchml import serving
from batchml.context import Context, Summary
from batchml.errors import BadConfig, BadData, NothingToDo
from batchml.tracking import CHALLENGER, CHAMPION, PREVIOUS, Tracker, Version, open_tracker, require_same_end

# Of a configuration; the rows are those of a version of features.
MAKES_A_MODEL = ("task", "label", "inputs", "estimator", "training")
WITHDRAWN, RESTORED = "rollback.withdrawn", "rollback.restored"


def run(context: Context) -> Summary:
    """Moves the aliases. Safe to run again: ``previous`` is set first, and never to the champion itself."""
    if context.options.get("rollback"):
        return roll_back(context)
    name = context.pipeline.name
    tracker = open_tracker(name, context.places)
    challenger = tracker.version(CHALLENGER)
    if challenger is None:
        raise NothingToDo(f"{name} has no challenger", remedy="run train_model and evaluate_model first")
    require_same_end(challenger, str(context.end))
    verdict, reason = challenger.tags.get("gate.verdict"), challenger.tags.get("gate.reason", "")
    if verdict is None:
        raise BadData(f"{name} version {challenger.version} has no verdict", remedy="run evaluate_model first")
    if verdict != "passed":
        raise NothingToDo(f"{name} version {challenger.version} was rejected: {reason}")
    if WITHDRAWN in challenger.tags:
        raise NothingToDo(
            f"{name} version {challenger.version} was withdrawn by a rollback", remedy="train another one"
        )
    approved_by = _approved_by(context, challenger)
    champion = tracker.version(CHAMPION)
    changed = champion is None or champion.version != challenger.version
    with context.phase("promote"):
        if champion is not None and changed and not _twins(tracker, champion, challenger):
            tracker.point(PREVIOUS, champion)
        if approved_by:
            tracker.tag(challenger, {"gate.approved_by": approved_by})
        tracker.point(CHAMPION, challenger)
    context.say("champion is version %s: %s", challenger.version, reason)
    replaced = int(champion.version) if champion is not None and changed else None
    return Summary(
        mlflow={"run_id": challenger.run_id, "model": name, "version": int(challenger.version)},
        details={"changed": changed, "replaced": replaced, "reason": reason, "approved_by": approved_by},
    )


def _approved_by(context: Context, challenger: Version) -> str | None:
    """Who let the challenger through. Raises NothingToDo where the gate wants a person's word and has none."""
    given: str | None = context.options.get("approved_by")
    if context.pipeline.gate.approval == "manual" and not given:
        raise NothingToDo(
            f"{challenger.name} version {challenger.version} passed the gate and waits for a person's approval",
            remedy="approve it in Airflow, or run this job with --approved-by NAME",
        )
    asked_about = context.options.get("approved_version", int(challenger.version))
    if given and asked_about != int(challenger.version):
        raise BadData(
            f"{challenger.name}: version {asked_about} was approved, but the challenger is version "
            f"{challenger.version} by now",
            remedy="approve of that one: run the DAG again, or this job with --approved-by NAME",
        )
    return given


def _twins(tracker: Tracker, one: Version, other: Version) -> bool:
    """The same model: trained on the same rows by the same code and configuration, since the task was run again. Going
    back to its twin undoes nothing."""
    if any(
        one.tags.get(tag) != other.tags.get(tag) for tag in ("end", "features_version", "code_version", "model_code")
    ):
        return False
    first, second = (tracker.record(version)["config"] for version in (one, other))
    return all(first[part] == second[part] for part in MAKES_A_MODEL)


def roll_back(context: Context) -> Summary:
    """``champion`` returns to ``previous``, and scores again every date that a withdrawn version had scored.

    Killed at any point and run again, it goes on: a withdrawn version is tagged before the alias moves, and dates are
    found by those tags. Twice, it finds nothing left to do.
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
        context.say("scoring %d dates again with version %s: %s..%s", len(dates), champion.version, dates[0], dates[-1])
        scored = serving.score(context, tracker, champion, dates)
        rows, tables = scored.rows, {"predictions": scored.table_version}
    return Summary(
        rows_in=rows,
        rows_out=rows,
        tables=tables,
        mlflow={"run_id": champion.run_id, "model": name, "version": int(champion.version)},
        details={
            "withdrawn": withdrawn,
            "restored": int(champion.version),
            "dates": [str(date) for date in dates],
            "reason": f"went back from version {withdrawn}" if withdrawn else "went on with an earlier rollback",
        },
    )


def _withdraw(context: Context, tracker: Tracker) -> int | None:
    """Moves the alias back and tags both versions; None where there is nowhere to go back to."""
    champion, previous = tracker.version(CHAMPION), tracker.version(PREVIOUS)
    if champion is None or previous is None:
        return None
    if champion.version != previous.version:
        if lost := serving.lost_inputs(context.pipeline, tracker, previous):  # asked while nothing has changed yet
            raise BadConfig(
                f"{previous.name} version {previous.version} cannot serve again: it wants inputs the pipeline does not "
                f"have any more: {', '.join(lost)}",
                remedy=f"put them back under 'inputs' in conf/pipelines/{previous.name}.yaml, run build_features, and "
                "roll back then",
            )
        event = f"{context.end} by {context.application}"
        tracker.tag(champion, {WITHDRAWN: f"{event}, for version {previous.version}"})
        tracker.tag(previous, {RESTORED: f"{event}, for version {champion.version}"})
        tracker.point(CHAMPION, previous)
        context.say("champion is version %s again, version %s is withdrawn", previous.version, champion.version)
    tracker.unpoint(PREVIOUS)  # last: until then a second attempt finds its way
    return int(champion.version) if champion.version != previous.version else None


def _scored_by_withdrawn(context: Context, tracker: Tracker) -> list[dt.date]:
    """The dates that any withdrawn version has scored, in order."""
    numbers = tracker.tagged(WITHDRAWN)
    if not numbers or not context.lake.exists("predictions"):
        return []
    predictions = context.lake.read_all("predictions")
    found = predictions.where(F.col("model_version").isin(*numbers)).select("event_date").distinct().collect()
    return sorted(row["event_date"] for row in found)
