"""Decide whether a difference may be chance: one day in a thousand exceeds the bound by chance."""

# scipy.stats has these under plainer names, and takes half a second longer to import: the binomial
# distribution and its survival function.
from scipy.special import bdtr, bdtrc

CONFIDENCE = 0.999


def is_many_by_chance(hits: int, rows: int, share: float) -> bool:
    """Return True if ``hits`` or more of ``rows`` may be chance where ``share`` is expected."""
    if hits == 0:
        return True
    return float(bdtrc(hits - 1, rows, min(share, 1.0))) > 1 - CONFIDENCE


def is_few_by_chance(hits: int, rows: int, share: float) -> bool:
    """Return True if ``hits`` or fewer of ``rows`` may be chance where ``share`` is expected."""
    return float(bdtr(hits, rows, max(share, 0.0))) > 1 - CONFIDENCE
