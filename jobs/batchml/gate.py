"""Whether a challenger may become champion, and why."""

from collections.abc import Mapping
from dataclasses import dataclass

from batchml.bootstrap import Difference
from batchml.config import Gate

SMALLER_IS_BETTER = {"rmse": True, "mae": True, "log_loss": True, "r2": False, "accuracy": False, "f1": False}


@dataclass(frozen=True)
class Verdict:
    """The gate's answer."""

    passed: bool
    reason: str


def judge(
    gate: Gate,
    challenger: Mapping[str, float],
    baseline: Mapping[str, float],
    champion: Mapping[str, float] | None,
    paired: Difference | None = None,
) -> Verdict:
    """The verdict on metrics that were all computed on the same holdout rows; ``paired`` says how much of it is chance.

    A challenger must keep the absolute limit, be better than the constant baseline, and better the champion by the
    share that the configuration asks for.
    """
    metric = gate.metric
    value, constant = challenger[metric], baseline[metric]
    if _worse_than(gate.limit, value, metric):
        return Verdict(False, f"{metric} {value:.4g} is worse than the limit {gate.limit:.4g}")
    if not _worse_than(value, constant, metric):
        return Verdict(False, f"{metric} {value:.4g} is no better than the constant baseline's {constant:.4g}")
    if champion is None:
        return Verdict(True, f"{metric} {value:.4g} keeps the limit {gate.limit:.4g}; there is no champion yet")
    gained = improvement(champion[metric], value, metric)
    compared = f"{metric} {value:.4g} against the champion's {champion[metric]:.4g} is {gained:+.2%}"
    chance = f"; {paired}" if paired else ""
    if gained < gate.min_improvement:
        return Verdict(False, f"{compared}, less than the {gate.min_improvement:+.2%} asked for{chance}")
    if gate.beyond_chance and (paired is None or paired.is_chance):
        return Verdict(False, f"{compared}, but not beyond chance{chance}")
    return Verdict(True, f"{compared}, at least the {gate.min_improvement:+.2%} asked for{chance}")


def improvement(old: float, new: float, metric: str) -> float:
    """By which share of ``old`` the value ``new`` is better; negative if it is worse."""
    better_by = old - new if SMALLER_IS_BETTER[metric] else new - old
    scale = abs(old)
    return better_by / scale if scale > 0 else (0.0 if better_by == 0 else better_by)


def _worse_than(reference: float, value: float, metric: str) -> bool:
    return value > reference if SMALLER_IS_BETTER[metric] else value < reference
