"""promote_model: make a challenger that passed the gate ``champion``, the old one ``previous``."""

from dataclasses import dataclass
from typing import Any

from batchml.config import Pipeline
from batchml.context import Context, Summary
from batchml.errors import BadData, NothingToDo
from batchml.job_line import MlflowIds, PromoteModelDetails
from batchml.job_specs import APPROVED_BY_DEFAULT
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
OF_THE_FIT = ("split", "window_days", "holdout_days", "holdout_fraction", "group", "class_weight")
OF_THE_MODEL = set(MAKES_A_MODEL) | {"features", "lookups"}
SAME_TAGS = (Tag.END, Tag.FEATURES_VERSION, Tag.CODE_VERSION, Tag.MODEL_CODE)


def run(context: Context) -> Summary:
    """Move the aliases.

    Safe to run again: ``previous`` is set first, and never to the champion itself.
    """
    name = context.pipeline.name
    tracker = open_tracker(name, context.places)
    challenger = tracker.by_alias(CHALLENGER)
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
    if verdict == GateVerdict.REJECTED:
        raise NothingToDo(f"{name} version {challenger.version} was rejected: {reason}")
    if Tag.WITHDRAWN in challenger.tags:
        raise NothingToDo(
            f"{name} version {challenger.version} was withdrawn by a rollback",
            remedy="train another one",
        )
    champion = tracker.by_alias(CHAMPION)
    question = _question(context, tracker, challenger, champion)
    approved_by = _approved_by(context, challenger, question)
    changed = champion is None or champion.version != challenger.version
    context.require_lease()
    with context.phase("promote"):
        if champion is not None and changed:
            _remember(tracker, champion)
            if not _twins(tracker, champion, challenger):
                tracker.set_alias(PREVIOUS, champion)
        tags = {Tag.PROMOTED: str(context.end)}
        if approved_by:
            tags[Tag.APPROVED_BY] = approved_by
        tracker.set_tags(challenger, tags)
        tracker.set_alias(CHAMPION, challenger)
    context.log("champion is version %s: %s", challenger.version, reason)
    replaced = None
    if champion is not None and changed:
        replaced = int(champion.version)
    return Summary(
        mlflow=MlflowIds(run_id=challenger.run_id, model=name, version=int(challenger.version)),
        details=PromoteModelDetails(
            changed=changed,
            awaits_approval=None,
            replaced=replaced,
            reason=reason,
            approved_by=approved_by,
        ),
    )


@dataclass(frozen=True)
class Question:
    """Why a challenger needs approval. ``needs_person``: no default answer is enough."""

    reason: str
    needs_person: bool = True


def _question(
    context: Context, tracker: Tracker, challenger: Version, champion: Version | None
) -> Question | None:
    """Return why a challenger needs approval; None if the gate's verdict is enough.

    After a rollback, until another version is promoted, a model like the withdrawn one needs it.
    """
    if champion is not None and champion.version == challenger.version:
        return None  # the job runs again
    if challenger.tags[Tag.VERDICT] == GateVerdict.UNDECIDED:
        return Question(challenger.tags.get(Tag.REASON, ""))
    twin = _withdrawn_twin(tracker, challenger, champion)
    if twin is not None:
        return Question(f"it is nearly the same as version {twin}, which was withdrawn")
    if context.pipeline.gate.approval == "manual":
        return Question("it passed the gate", needs_person=False)
    return None


def _withdrawn_twin(tracker: Tracker, challenger: Version, champion: Version | None) -> int | None:
    """Return the withdrawn version that a challenger after a rollback is nearly the same as."""
    if champion is None or Tag.RESTORED not in champion.tags:
        return None
    for number in tracker.tagged(Tag.WITHDRAWN):
        withdrawn = tracker.get(number)
        if not tracker.is_gone(withdrawn) and _nearly_twins(tracker, withdrawn, challenger):
            return number
    return None


def _approved_by(context: Context, challenger: Version, question: Question | None) -> str | None:
    """Return who approved. Raise NothingToDo if ``question`` is still open."""
    approver: str | None = context.options.get("approved_by")
    if question is not None and question.needs_person and approver == APPROVED_BY_DEFAULT:
        approver = None
    if question is not None and not approver:
        raise NothingToDo(
            f"{challenger.name} version {challenger.version} waits for a person's approval: "
            f"{question.reason}",
            remedy="approve it in Airflow, or run this job with --approved-by NAME",
            summary=Summary(details=_waiting(int(challenger.version), question.reason)),
        )
    asked_about = context.options.get("approved_version", int(challenger.version))
    if approver and asked_about != int(challenger.version):
        raise BadData(
            f"{challenger.name}: version {asked_about} was approved, but the challenger is version "
            f"{challenger.version} by now",
            remedy="approve that version: run the DAG again, or this job with --approved-by NAME",
        )
    return approver


def _waiting(version: int, reason: str) -> PromoteModelDetails:
    return PromoteModelDetails(
        changed=False,
        awaits_approval=version,
        replaced=None,
        reason=reason,
        approved_by=None,
    )


def _remember(tracker: Tracker, champion: Version) -> None:
    """Tag a champion that an earlier release promoted, before it loses its alias."""
    if Tag.PROMOTED not in champion.tags and Tag.END in champion.tags:
        tracker.set_tags(champion, {Tag.PROMOTED: champion.tags[Tag.END]})


def _twins(tracker: Tracker, one: Version, other: Version) -> bool:
    """Return True if both are trained on the same rows by the same code and configuration.

    They are if the task was run again. A rollback to a twin would change nothing.
    """
    if any(one.tags.get(tag) != other.tags.get(tag) for tag in SAME_TAGS) or tracker.is_gone(one):
        return False
    first, second = (tracker.record(version).parse_config() for version in (one, other))
    return all(getattr(first, part) == getattr(second, part) for part in MAKES_A_MODEL)


def _nearly_twins(tracker: Tracker, withdrawn: Version, challenger: Version) -> bool:
    """Return True if both come from one configuration and model code, on mostly the same dates."""
    if withdrawn.tags.get(Tag.MODEL_CODE) != challenger.tags.get(Tag.MODEL_CODE):
        return False
    one, other = tracker.record(withdrawn), tracker.record(challenger)
    first, second = one.parse_config(), other.parse_config()
    if _fitting(first) != _fitting(second):
        return False
    if first.training.split == "hash" and first.is_undated:
        return True
    start, end = max(one.fit.start, other.fit.start), min(one.fit.end, other.fit.end)
    shared = (end - start).days + 1
    return 2 * shared > (other.fit.end - other.fit.start).days + 1


def _fitting(pipeline: Pipeline) -> dict[str, Any]:
    """Return the part of a configuration that makes one model unlike another, but for its seed."""
    parts: dict[str, Any] = pipeline.model_dump(include=OF_THE_MODEL)
    parts["training"] = {name: parts["training"][name] for name in OF_THE_FIT}
    return parts
