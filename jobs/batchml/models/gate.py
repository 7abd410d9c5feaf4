"""Decide if a challenger may become champion, and state the reason."""

import math
from collections.abc import Mapping
from dataclasses import dataclass

from batchml.config import Gate
from batchml.models.comparison import Comparison
from batchml.models.significance import Difference

SMALLER_IS_BETTER = {
    "rmse": True,
    "mae": True,
    "log_loss": True,
    "r2": False,
    "accuracy": False,
    "f1": False,
    "auc": False,
}
ROUNDING = 1e-12
"""Summing the same rows in another order can change a metric by this share.

Such a difference must not decide.
"""


@dataclass(frozen=True)
class Verdict:
    """The decision of the gate.

    ``needs_approval``: the model has not passed, but a user may promote it.
    """

    passed: bool
    reason: str
    needs_approval: bool = False


def decide(gate: Gate, comparison: Comparison, too_few: str = "") -> Verdict:
    """Return the verdict on a challenger.

    The holdout must be large enough: ``too_few`` is empty if it is, and otherwise says what the
    holdout has, for example "12 rows, fewer than 20". The challenger must be within the absolute
    limit, be better than the baseline, improve on the champion by the share that the configuration
    requires, and not be worse than allowed on any slice. If it cannot be compared with the champion
    and passes every other rule, a user has to approve.
    """
    if too_few:
        return Verdict(False, f"the holdout has {too_few}")
    objection = _own_objection(gate, comparison)
    if objection:
        return Verdict(False, objection)

    verdict = _against_champion(gate, comparison)
    may_be_promoted = verdict.passed or verdict.needs_approval
    objections = [result.objection for result in comparison.slice_results if result.objection]
    if objections and may_be_promoted:
        listed = "; ".join(objections)
        return Verdict(False, f"{verdict.reason}, but {listed}")
    return verdict


def _own_objection(gate: Gate, comparison: Comparison) -> str:
    """Return why the challenger is rejected without regard to the champion, or an empty text."""
    metric = gate.metric
    value = value_of(comparison.challenger, metric)
    baseline = value_of(comparison.baseline, metric)
    if math.isnan(value) or math.isnan(baseline):
        problem = f"{metric} is undefined on the holdout rows"
        if metric == "auc":
            return f"{problem}: their labels and predictions are not of exactly two classes"
        return problem
    if _is_better(gate.limit, value, metric):
        return f"{metric} {value:.4g} is worse than the limit {gate.limit:.4g}"
    if not _is_better(value, baseline, metric):
        baseline_name = gate.baseline or "the constant baseline"
        return f"{metric} {value:.4g} is no better than {baseline_name}'s {baseline:.4g}"
    return ""


def _against_champion(gate: Gate, comparison: Comparison) -> Verdict:
    """Return the verdict of the comparison with the champion.

    The limit and the baseline are checked before it, the slices after it.
    """
    metric = gate.metric
    value = value_of(comparison.challenger, metric)
    champion = value_of(comparison.champion, metric)
    within = f"{metric} {value:.4g} is within the limit {gate.limit:.4g}"
    obstacle = comparison.obstacle
    # For example auc: a champion that predicts a third class has none.
    if comparison.champion is not None and math.isnan(champion):
        obstacle = f"the champion has no {metric} on these rows"
    if obstacle:
        reason = f"{within}, but cannot be compared with the champion: {obstacle}"
        return Verdict(False, reason, needs_approval=True)
    if comparison.champion is None:
        return Verdict(True, f"{within}; there is no champion to compare with")

    shared = value_of(comparison.shared or comparison.challenger, metric)
    return _on_improvement(gate, shared, champion, comparison.paired)


def _on_improvement(
    gate: Gate,
    value: float,
    champion: float,
    paired: Difference | None,
) -> Verdict:
    """Return the verdict on the improvement from the champion's value to the challenger's."""
    gain = improvement(champion, value, gate.metric)
    required = f"the required {gate.min_improvement:+.2%}"
    compared = f"{gate.metric} {value:.4g} against the champion's {champion:.4g} is {gain:+.2%}"
    chance = f"; {paired}" if paired else ""
    if gain < gate.min_improvement - ROUNDING:
        return Verdict(False, f"{compared}, less than {required}{chance}")
    is_significant = paired is not None and paired.high < 0
    if gate.beyond_chance and not is_significant:
        return Verdict(False, f"{compared}, but the difference is not significant{chance}")
    return Verdict(True, f"{compared}, at least {required}{chance}")


def value_of(measured: Mapping[str, float] | None, metric: str) -> float:
    """Return a metric, NaN if it was not measured.

    ``auc`` is only measured if labels and predictions together have exactly two classes.
    """
    if measured is None:
        return math.nan
    return measured.get(metric, math.nan)


def improvement(old: float, new: float, metric: str) -> float:
    """Return by which share of ``old`` the value ``new`` is better; negative if it is worse.

    Return the difference itself if ``old`` is 0.
    """
    gain = new - old
    # Not for 0, or the text would be "-0.00%".
    if SMALLER_IS_BETTER[metric] and gain != 0:
        gain = -gain
    scale = abs(old)
    if scale > 0:
        return gain / scale
    return gain


def _is_better(value: float, reference: float, metric: str) -> bool:
    if SMALLER_IS_BETTER[metric]:
        return value < reference
    return value > reference
