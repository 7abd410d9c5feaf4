"""promote_model: a challenger that passed the gate becomes ``champion``; the old champion becomes ``previous``."""

from batchml.context import Context, Summary
from batchml.errors import BadData, NothingToDo
from batchml.tracking import CHALLENGER, CHAMPION, PREVIOUS, Version, open_tracker, require_same_end


def run(context: Context) -> Summary:
    """Moves the aliases. Safe to run again: ``previous`` is set first, and never to the champion itself."""
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
    champion = tracker.version(CHAMPION)
    changed = champion is None or champion.version != challenger.version
    with context.phase("promote"):
        if champion is not None and changed and not _twins(champion, challenger):
            tracker.point(PREVIOUS, champion)
        tracker.point(CHAMPION, challenger)
    context.say("champion is version %s: %s", challenger.version, reason)
    replaced = int(champion.version) if champion is not None and changed else None
    return Summary(
        mlflow={"run_id": challenger.run_id, "model": name, "version": int(challenger.version)},
        details={"replaced": replaced, "reason": reason},
    )


def _twins(one: Version, other: Version) -> bool:
    """Trained on the same rows by the same code: the task was run again, and going back to its twin undoes nothing."""
    return all(one.tags.get(tag) == other.tags.get(tag) for tag in ("end", "features_version", "code_version"))
