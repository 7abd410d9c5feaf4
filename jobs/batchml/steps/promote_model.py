"""promote_model: make a challenger that passed the gate or was approved the champion.

The alias ``champion`` moves to it, and ``previous`` to the former champion.
"""

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

# Keys of the configuration that twins have in common. ``features`` and ``lookups`` are not
# compared, because twins have the same version of features, and so the same rows.
TWIN_KEYS = ("task", "label", "inputs", "estimator", "training")
# Keys that near twins have in common, and, of their ``training``, only these.
NEAR_TWIN_KEYS = set(TWIN_KEYS) | {"features", "lookups"}
NEAR_TWIN_TRAINING_KEYS = (
    "split",
    "window_days",
    "holdout_days",
    "holdout_fraction",
    "group",
    "class_weight",
)
SAME_TAGS = (Tag.END, Tag.FEATURES_VERSION, Tag.CODE_VERSION, Tag.MODEL_CODE)


def run(context: Context) -> Summary:
    """Move the aliases.

    Safe to run again: ``previous`` is set before ``champion``, and stays as it is if the challenger
    is the champion already.
    """
    name = context.pipeline.name
    tracker = open_tracker(name, context.places)
    challenger = tracker.by_alias(CHALLENGER)
    if challenger is None:
        remedy = "run train_model and evaluate_model first"
        raise NothingToDo(f"{name} has no challenger", remedy=remedy)
    require_same_end(challenger, str(context.end))
    _require_promotable(challenger)
    champion = tracker.by_alias(CHAMPION)
    question = _question(context, tracker, challenger, champion)
    approved_by = _approved_by(context, challenger, question)
    is_champion = champion is not None and champion.version == challenger.version
    replaced = champion
    if is_champion:
        replaced = None
    context.require_lease()
    with context.phase("promote"):
        if replaced is not None:
            _make_previous(tracker, replaced, challenger)
        tracker.set_tags(challenger, _tags(context, approved_by))
        tracker.set_alias(CHAMPION, challenger)

    number = int(challenger.version)
    reason = challenger.tags.get(Tag.REASON, "")
    context.log("champion is version %s: %s", number, reason)
    return Summary(
        mlflow=MlflowIds(run_id=challenger.run_id, model=name, version=number),
        details=PromoteModelDetails(
            changed=not is_champion,
            awaits_approval=None,
            replaced=_number_of(replaced),
            reason=reason,
            approved_by=approved_by,
        ),
    )


def _tags(context: Context, approved_by: str | None) -> dict[Tag, str]:
    """Return the tags of the new champion."""
    tags = {Tag.PROMOTED: str(context.end)}
    if approved_by:
        tags[Tag.APPROVED_BY] = approved_by
    return tags


def _number_of(version: Version | None) -> int | None:
    if version is None:
        return None
    return int(version.version)


def _require_promotable(challenger: Version) -> None:
    """Raise an error if the challenger has no verdict, was rejected or was withdrawn."""
    title = f"{challenger.name} version {challenger.version}"
    verdict = challenger.tags.get(Tag.VERDICT)
    if verdict is None:
        raise BadData(f"{title} has no verdict", remedy="run evaluate_model first")
    if verdict == GateVerdict.REJECTED:
        raise NothingToDo(f"{title} was rejected: {challenger.tags.get(Tag.REASON, '')}")
    if Tag.WITHDRAWN in challenger.tags:
        raise NothingToDo(f"{title} was withdrawn by a rollback", remedy="train another one")


def _make_previous(tracker: Tracker, former: Version, challenger: Version) -> None:
    """Set the alias ``previous`` to the former champion, unless the challenger is its twin."""
    _tag_as_promoted(tracker, former)
    if not _are_twins(tracker, former, challenger):
        tracker.set_alias(PREVIOUS, former)


@dataclass(frozen=True)
class Question:
    """Why a challenger needs approval.

    ``needs_person``: a person must approve, so ``gate.approval_default`` does not count.
    """

    reason: str
    needs_person: bool = True


def _question(
    context: Context,
    tracker: Tracker,
    challenger: Version,
    champion: Version | None,
) -> Question | None:
    """Return why a challenger needs approval; None if the gate's verdict is enough.

    After a rollback, until another version is promoted, a model like the withdrawn one needs it.
    """
    if champion is not None and champion.version == challenger.version:
        return None  # an earlier run of this job has promoted it
    if challenger.tags[Tag.VERDICT] == GateVerdict.UNDECIDED:
        return Question(challenger.tags.get(Tag.REASON, ""))
    twin = _withdrawn_near_twin(tracker, challenger, champion)
    if twin is not None:
        return Question(f"it is nearly the same as version {twin}, which was withdrawn")
    if context.pipeline.gate.approval == "manual":
        return Question("it passed the gate", needs_person=False)
    return None


def _withdrawn_near_twin(
    tracker: Tracker,
    challenger: Version,
    champion: Version | None,
) -> int | None:
    """Return a withdrawn version of which the challenger is a near twin; None without one.

    Only the training after a rollback has one, until another version is promoted.
    """
    if champion is None or Tag.RESTORED not in champion.tags:
        return None
    for number in tracker.tagged(Tag.WITHDRAWN):
        withdrawn = tracker.get(number)
        if not tracker.is_gone(withdrawn) and _are_near_twins(tracker, withdrawn, challenger):
            return number
    return None


def _approved_by(
    context: Context,
    challenger: Version,
    question: Question | None,
) -> str | None:
    """Return who approved. Raise NothingToDo if ``question`` is still open."""
    number = int(challenger.version)
    approver: str | None = context.options.get("approved_by")
    if question is not None:
        if question.needs_person and approver == APPROVED_BY_DEFAULT:
            approver = None
        if not approver:
            raise _waits(challenger, question)
    approved_version = context.options.get("approved_version", number)
    if approver and approved_version != number:
        raise BadData(
            f"{challenger.name}: version {approved_version} was approved, but the challenger is "
            f"version {number} by now",
            remedy=f"approve version {number}: run the DAG again, or this job with --approved-by "
            "NAME",
        )
    return approver


def _waits(challenger: Version, question: Question) -> NothingToDo:
    number = int(challenger.version)
    details = PromoteModelDetails(
        changed=False,
        awaits_approval=number,
        replaced=None,
        reason=question.reason,
        approved_by=None,
    )
    return NothingToDo(
        f"{challenger.name} version {number} waits for a person's approval: {question.reason}",
        remedy="if its task waits in Airflow, answer there; otherwise run promote_model with "
        "--approved-by NAME",
        summary=Summary(details=details),
    )


def _tag_as_promoted(tracker: Tracker, champion: Version) -> None:
    """Tag a champion that an earlier release promoted, before it loses its alias."""
    end = champion.tags.get(Tag.END)
    if end is not None and Tag.PROMOTED not in champion.tags:
        tracker.set_tags(champion, {Tag.PROMOTED: end})


def _are_twins(tracker: Tracker, one: Version, other: Version) -> bool:
    """Return True if both are trained on the same rows by the same code and configuration.

    This happens if train_model ran twice for one date. A rollback to a twin would change nothing.
    """
    for tag in SAME_TAGS:
        if one.tags.get(tag) != other.tags.get(tag):
            return False
    if tracker.is_gone(one):
        return False
    first = tracker.record(one).parse_config()
    second = tracker.record(other).parse_config()
    return all(getattr(first, part) == getattr(second, part) for part in TWIN_KEYS)


def _are_near_twins(
    tracker: Tracker,
    withdrawn: Version,
    challenger: Version,
) -> bool:
    """Return True if both have one configuration and model code, and mostly the same dates.

    Without event times, different dates may have the same rows. The dates of a hash split then do
    not matter.
    """
    withdrawn_code = withdrawn.tags.get(Tag.MODEL_CODE)
    if withdrawn_code != challenger.tags.get(Tag.MODEL_CODE):
        return False
    withdrawn_record = tracker.record(withdrawn)
    challenger_record = tracker.record(challenger)
    withdrawn_config = withdrawn_record.parse_config()
    if _near_twin_config(withdrawn_config) != _near_twin_config(challenger_record.parse_config()):
        return False
    if withdrawn_config.training.split == "hash" and withdrawn_config.is_undated:
        return True

    withdrawn_fit = withdrawn_record.fit
    challenger_fit = challenger_record.fit
    start = max(withdrawn_fit.start, challenger_fit.start)
    end = min(withdrawn_fit.end, challenger_fit.end)
    shared_days = (end - start).days + 1
    challenger_days = (challenger_fit.end - challenger_fit.start).days + 1
    return 2 * shared_days > challenger_days


def _near_twin_config(pipeline: Pipeline) -> dict[str, Any]:
    """Return the part of a configuration that near twins have in common. The seed may differ."""
    parts: dict[str, Any] = pipeline.model_dump(include=NEAR_TWIN_KEYS)
    training = parts["training"]
    parts["training"] = {name: training[name] for name in NEAR_TWIN_TRAINING_KEYS}
    return parts
