"""Decide whether a difference may be chance: one day in a thousand exceeds the bound by chance."""

from importlib import import_module
from typing import Any

CONFIDENCE = 0.999


def is_many_by_chance(hits: int, rows: int, share: float) -> bool:
    """Return True if ``hits`` or more of ``rows`` may be chance where ``share`` is expected."""
    if hits == 0:
        return True
    survival = _functions().bdtrc
    return float(survival(hits - 1, rows, min(share, 1.0))) > 1 - CONFIDENCE


def is_few_by_chance(hits: int, rows: int, share: float) -> bool:
    """Return True if ``hits`` or fewer of ``rows`` may be chance where ``share`` is expected."""
    distribution = _functions().bdtr
    return float(distribution(hits, rows, max(share, 0.0))) > 1 - CONFIDENCE


def _functions() -> Any:
    """Return the module with the binomial distribution ``bdtr`` and its survival function.

    It takes 0.4 s to import, and a status without unusual figures does not need it. scipy.stats has
    the same under plainer names, and takes half a second longer.
    """
    return import_module("scipy.special")
