"""Whether a challenger may become champion, and why."""

import math
from collections.abc import Mapping
from dataclasses import dataclass

from batchml.config import Gate
from batchml.models.comparison import Comparison
from batchml.models.significance import Difference

SMALLER_IS_BETTER = {
    **dict.fromkeys(("rmse", "mae", "log_loss"), True),
    **dict.fromkeys(("r2", "accuracy", "f1", "auc"), False),
}
ROUNDING = 1e-12
"""Sums of the same rows differ by so little with the order in which executors hand theirs in: that decides nothing."""


@dataclass(frozen=True)
class Verdict:
    """The gate's answer.

    ``needs_approval``: the model has not passed, but a person may promote it.
    """

    passed: bool
    reason: str
    needs_approval: bool = False


def judge(gate: Gate, found: Comparison, missing: str = "") -> Verdict:
    """Return the verdict on a challenger.

    Its holdout must be large enough (``missing`` states what it lacks). It must be within the
    absolute limit, be better than the baseline, improve on the champion by the share that the
    configuration requires, and not be worse than allowed on any slice. If it reaches all that does
    not need a comparison with the champion, and there can be none, a person has to approve.
    """
    metric = gate.metric
    if missing:
        return Verdict(False, f"the holdout has {missing}")
    value, constant, before = (
        value_of(measured, metric)
        for measured in (found.challenger, found.baseline, found.champion)
    )
    if math.isnan(value) or math.isnan(constant):
        why = ": they are not of exactly two classes" if metric == "auc" else ""
        return Verdict(False, f"{metric} cannot be told of the holdout rows{why}")
    if _worse_than(gate.limit, value, metric):
        return Verdict(False, f"{metric} {value:.4g} is worse than the limit {gate.limit:.4g}")
    if not _worse_than(value, constant, metric):
        baseline = gate.baseline or "the constant baseline"
        return Verdict(False, f"{metric} {value:.4g} is no better than {baseline}'s {constant:.4g}")
    within = f"{metric} {value:.4g} keeps the limit {gate.limit:.4g}"
    obstacle = found.obstacle
    if found.champion is not None and math.isnan(before):  # it knows other classes
        obstacle = f"the champion has no {metric} on these rows"
    if obstacle:
        reason = f"{within}, but cannot be compared with the champion: {obstacle}"
        verdict = Verdict(False, reason, needs_approval=True)
    elif found.champion is None:
        verdict = Verdict(True, f"{within}; there is no champion to compare with")
    else:
        verdict = _against(
            gate, value_of(found.shared or found.challenger, metric), before, found.paired
        )
    objections = "; ".join(part.objection for part in found.parts if part.objection)
    if objections and (verdict.passed or verdict.needs_approval):
        return Verdict(False, f"{verdict.reason}, but {objections}")
    return verdict


def _against(gate: Gate, value: float, champion: float, paired: Difference | None) -> Verdict:
    gained = improvement(champion, value, gate.metric)
    compared = f"{gate.metric} {value:.4g} against the champion's {champion:.4g} is {gained:+.2%}"
    chance = f"; {paired}" if paired else ""
    if gained < gate.min_improvement - ROUNDING:
        return Verdict(
            False, f"{compared}, less than the {gate.min_improvement:+.2%} asked for{chance}"
        )
    if gate.beyond_chance and (
        paired is None or paired.high >= 0
    ):  # its loss must surely be the smaller one
        return Verdict(False, f"{compared}, but not beyond chance{chance}")
    return Verdict(True, f"{compared}, at least the {gate.min_improvement:+.2%} asked for{chance}")


def value_of(measured: Mapping[str, float] | None, metric: str) -> float:
    """Return a metric, NaN if it was not measured: ``auc`` needs rows of exactly two classes."""
    return math.nan if measured is None else measured.get(metric, math.nan)


def improvement(old: float, new: float, metric: str) -> float:
    """Return by which share of ``old`` the value ``new`` is better; negative if it is worse."""
    better_by = old - new if SMALLER_IS_BETTER[metric] else new - old
    scale = abs(old)
    return better_by / scale if scale > 0 else (0.0 if better_by == 0 else better_by)


def _worse_than(reference: float, value: float, metric: str) -> bool:
    return value > reference if SMALLER_IS_BETTER[metric] else value < reference
