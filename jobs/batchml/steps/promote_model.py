"""promote_model: a challenger that passed the gate becomes ``champion``, the old one ``previous``. --rollback: back."""

from batchml.context import Context, Summary
from batchml.errors import BadData, NothingToDo
from batchml.job_line import MlflowIds, PromoteModelDetails
from batchml.tracking import (
    CHALLENGER,
    CHAMPION,
    PREVIOUS,
    GateVerdict,
    Tag,
    Tracker,
    Version,
    open_tracker,
    require_same_end,
)

# Of a configuration; the rows are those of a version of features.
MAKES_A_MODEL = ("task", "label", "inputs", "estimator", "training")
SAME_TAGS = (Tag.END, Tag.FEATURES_VERSION, Tag.CODE_VERSION, Tag.MODEL_CODE)


def run(context: Context) -> Summary:
    """Move the aliases.

    Safe to run again: ``previous`` is set first, and never to the champion itself.
    """
    name = context.pipeline.name
    tracker = open_tracker(name, context.places)
    challenger = tracker.version(CHALLENGER)
    if challenger is None:
        raise NothingToDo(
            f"{name} has no challenger", remedy="run train_model and evaluate_model first"
        )
    require_same_end(challenger, str(context.end))
    verdict, reason = challenger.tags.get(Tag.VERDICT), challenger.tags.get(Tag.REASON, "")
    if verdict is None:
        raise BadData(
            f"{name} version {challenger.version} has no verdict", remedy="run evaluate_model first"
        )
    if verdict != GateVerdict.PASSED:
        raise NothingToDo(f"{name} version {challenger.version} was rejected: {reason}")
    if Tag.WITHDRAWN in challenger.tags:
        raise NothingToDo(
            f"{name} version {challenger.version} was withdrawn by a rollback",
            remedy="train another one",
        )
    approved_by = _approved_by(context, challenger)
    champion = tracker.version(CHAMPION)
    changed = champion is None or champion.version != challenger.version
    with context.phase("promote"):
        if champion is not None and changed and not _twins(tracker, champion, challenger):
            tracker.point(PREVIOUS, champion)
        if approved_by:
            tracker.tag(challenger, {Tag.APPROVED_BY: approved_by})
        tracker.point(CHAMPION, challenger)
    context.say("champion is version %s: %s", challenger.version, reason)
    replaced = int(champion.version) if champion is not None and changed else None
    return Summary(
        mlflow=MlflowIds(run_id=challenger.run_id, model=name, version=int(challenger.version)),
        details=PromoteModelDetails(
            changed=changed, replaced=replaced, reason=reason, approved_by=approved_by
        ),
    )


def _approved_by(context: Context, challenger: Version) -> str | None:
    """Return who approved. Raise NothingToDo if the gate requires manual approval and has none."""
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
    """Return True if both are trained on the same rows by the same code and configuration.

    They are if the task was run again. A rollback to a twin would change nothing.
    """
    if any(one.tags.get(tag) != other.tags.get(tag) for tag in SAME_TAGS):
        return False
    first, second = (tracker.record(version).parse_config() for version in (one, other))
    return all(getattr(first, part) == getattr(second, part) for part in MAKES_A_MODEL)
