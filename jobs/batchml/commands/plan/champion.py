"""What an edit means for the champion: scoring, the comparison, and the next training."""

from collections.abc import Collection
from dataclasses import dataclass

from batchml.config import Pipeline
from batchml.config.definitions import columns_behind, redefined_columns
from batchml.workflow.compatibility import changed_definitions, has_same_target, other_target

SCHEDULING = {"every_days", "on_alarm"}
"""Settings of ``training`` that decide when a model is trained, not which."""


@dataclass(frozen=True)
class Champion:
    """The champion's version, and the configuration of its training."""

    version: int
    trained: Pipeline


@dataclass(frozen=True)
class ChampionPlan:
    """How the champion fits the edited pipeline.

    ``cannot_score`` and ``cannot_compare`` are reasons, empty if it can. ``training_reasons`` is
    what a new training would take over from the edit.
    """

    version: int
    cannot_score: str
    cannot_compare: str
    training_reasons: tuple[str, ...]

    @property
    def can_score(self) -> bool:
        """Return True if the champion scores on."""
        return not self.cannot_score

    @property
    def starts_training(self) -> bool:
        """Return True if the next run trains without a request, as the champion does not fit."""
        return bool(self.cannot_score)


def plan_champion(pipeline: Pipeline, champion: Champion) -> ChampionPlan:
    """Return how ``champion`` fits ``pipeline``."""
    trained = champion.trained
    cannot_score = _why_not_scored(pipeline, trained)
    cannot_compare = cannot_score or changed_definitions(pipeline, trained)
    reasons = _training_reasons(pipeline, trained)
    return ChampionPlan(champion.version, cannot_score, cannot_compare, tuple(reasons))


def _why_not_scored(pipeline: Pipeline, trained: Pipeline) -> str:
    """Return why the champion cannot score; empty if it can.

    Its former inputs stay in features as long as silver has the columns that they come from. Only
    a column that is declared with another type is certain to be gone.
    """
    target_reason = other_target(pipeline, trained)
    if target_reason:
        return target_reason
    former = set(trained.inputs.columns) - set(pipeline.feature_columns)
    retyped = []
    for name, column in columns_behind(trained, former).items():
        present = pipeline.columns.get(name)
        if present is not None and present.type != column.type:
            retyped.append(name)
    if retyped:
        return f"its inputs {_listed(former)} come from {_listed(retyped)} of another type"
    return ""


def _training_reasons(pipeline: Pipeline, trained: Pipeline) -> list[str]:
    """Return the differences between the present configuration and that of the training."""
    reasons = []
    if not has_same_target(pipeline, trained):
        reasons.append(f"predict {pipeline.label} ({pipeline.task})")
    reasons += _input_reasons(pipeline, trained)
    redefined = redefined_columns(pipeline, trained)
    if redefined:
        reasons.append(f"use the new definition of {_listed(redefined)}")
    if pipeline.estimator != trained.estimator:
        reasons.append("use the new estimator or its parameters")
    changed = _changed_settings(pipeline, trained)
    if changed:
        reasons.append(f"apply the changed training {_counted('setting', changed)}")
    return reasons


def _input_reasons(pipeline: Pipeline, trained: Pipeline) -> list[str]:
    """Return how the names and kinds of the inputs differ."""
    present = set(pipeline.inputs.columns)
    former = set(trained.inputs.columns)
    added = present - former
    removed = former - present
    moved = _moved(pipeline, trained) & present & former

    reasons = []
    if added:
        reasons.append(f"use the new {_counted('input', added)}")
    if removed:
        reasons.append(f"drop the {_counted('input', removed)}")
    if moved:
        reasons.append(f"switch between numeric and categorical for {_listed(moved)}")
    return reasons


def _moved(pipeline: Pipeline, trained: Pipeline) -> set[str]:
    """Return the columns that are numeric inputs of only one of both."""
    return set(pipeline.inputs.numeric) ^ set(trained.inputs.numeric)


def _changed_settings(pipeline: Pipeline, trained: Pipeline) -> set[str]:
    """Return the changed keys of ``training`` that decide the model."""
    present = pipeline.training.model_dump()
    former = trained.training.model_dump()
    changed = {name for name, value in present.items() if value != former[name]}
    return changed - SCHEDULING


def _listed(names: Collection[str]) -> str:
    return ", ".join(sorted(names))


def _counted(noun: str, names: Collection[str]) -> str:
    """Return ``names`` after ``noun``, in the plural if there are several."""
    if len(names) > 1:
        noun += "s"
    return f"{noun} {_listed(names)}"
