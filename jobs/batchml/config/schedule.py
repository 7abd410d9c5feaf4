"""The schedule of a pipeline: five cron fields, in UTC."""

import datetime as dt
from functools import cache
from itertools import pairwise

from croniter import croniter

FIRST_RUN = dt.datetime(2021, 1, 1, tzinfo=dt.UTC)


def cron(value: str) -> str:
    """Return ``value`` if it consists of five cron fields. Raise ValueError otherwise."""
    if len(value.split()) != 5 or not croniter.is_valid(value):
        raise ValueError("Input should be five cron fields, as in '0 3 * * *'")
    return value


@cache  # a hundred runs take 25 ms, and pipelines share schedules
def shortest_interval(schedule: str) -> float:
    """Return the least number of hours between two of the first hundred runs."""
    times = croniter(schedule, FIRST_RUN)
    runs = [times.get_next(dt.datetime) for _ in range(100)]
    intervals = [after - before for before, after in pairwise(runs)]
    return min(intervals).total_seconds() / 3600
