"""Compare the rows of a date with the same weekday of earlier weeks. Pure: counts in, findings out.

The usual number of rows is the median m of the same weekday in the last 8 weeks, at least 3 of them
with rows. A median ignores single odd weeks, and the weekday the pattern of a week: it is the
seasonal naive forecast (R. J. Hyndman and G. Athanasopoulos, Forecasting: Principles and Practice,
2021, section 5.2), made robust. The change of a date with n rows is (n - m) / m.

**Noise.** Few rows differ much by chance. If rows arrive independently, n and the m * k rows of k
weeks are Poisson distributed, and given their sum, n is binomial (J. Przyborowski and
H. Wilenski, Homogeneity of Results in Testing Samples from Poisson Series, Biometrika 31, 1940).
As for the shares of drift, a change counts if it exceeds ``watch``, and if at most one day in a
thousand would exceed it so were the true change ``watch``.
"""

import datetime as dt
from collections.abc import Mapping
from statistics import median

from batchml.config.freshness import DayVolume
from batchml.config.monitoring import Levels
from batchml.models.noise import is_few_by_chance, is_many_by_chance

WEEKS = 8
LEAST_WEEKS = 3
WEEK = dt.timedelta(days=7)


def volume_of(date: dt.date, rows: Mapping[dt.date, int], levels: Levels) -> DayVolume | None:
    """Return the volume of ``date``; None if it, or too many of the weeks before, have no count.

    ``rows`` has the rows by date. Weeks without rows do not count as earlier weeks.
    """
    earlier = [rows.get(date - week * WEEK, 0) for week in range(1, WEEKS + 1)]
    with_rows = [count for count in earlier if count > 0]
    if date not in rows or len(with_rows) < LEAST_WEEKS:
        return None
    usual = float(median(with_rows))
    volume = DayVolume(date=date, rows=rows[date], usual=usual)
    if _is_noise(volume, len(with_rows), levels.watch):
        return volume
    level = "alarm" if abs(volume.change) > levels.alarm else "watch"
    return volume.model_copy(update={"level": level})


def _is_noise(volume: DayVolume, weeks: int, watch: float) -> bool:
    """Return True if the true change of the volume may be within ``watch``."""
    if abs(volume.change) <= watch:
        return True

    reference = round(volume.usual * weeks)
    total = volume.rows + reference
    is_more = volume.change > 0
    ratio = 1 + watch if is_more else 1 - watch
    share = ratio / (ratio + weeks)
    if is_more:
        return is_many_by_chance(volume.rows, total, share)
    return is_few_by_chance(volume.rows, total, share)
