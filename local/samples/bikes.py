"""A synthetic file for the pipeline `bikes`: the schema of the published one, with its gaps and a few broken lines."""

import datetime as dt
from collections.abc import Iterator

import numpy as np

SEED = 20110101
FIRST_DAY, DAYS = dt.date(2011, 1, 1), 120
COLUMNS = [
    *("instant", "dteday", "season", "yr", "mnth", "hr", "holiday", "weekday", "workingday", "weathersit", "temp"),
    *("atemp", "hum", "windspeed", "casual", "registered", "cnt"),
]


def bike_hours() -> Iterator[list[object]]:
    """The file's lines, its header first: counts that follow the hour, the weekday and the weather; always the same."""
    random = np.random.default_rng(SEED)
    yield COLUMNS
    instant = 0
    for day in (FIRST_DAY + dt.timedelta(days=number) for number in range(DAYS)):
        warmth = 0.25 + 0.3 * (day - FIRST_DAY).days / DAYS + random.normal(0, 0.04)
        is_working = day.weekday() < 5
        weather = int(random.choice([1, 2, 3], p=[0.65, 0.25, 0.1]))
        for hour in range(24):
            if random.random() < 0.01:
                continue  # an hour nobody counted: the published file has such gaps
            rush = np.exp(-((hour - 8) ** 2) / 4) + np.exp(-((hour - 17.5) ** 2) / 5)
            leisure = np.exp(-((hour - 14) ** 2) / 18)
            mean = (15 + (130 * rush if is_working else 90 * leisure)) * (0.4 + 2 * warmth) / weather**0.5
            casual, registered = int(random.poisson(0.2 * mean)), int(random.poisson(0.8 * mean))
            instant += 1
            line: list[object] = [
                *(instant, f"{day.month}/{day.day}/{day:%y}", 1 + day.month // 4, 0, day.month, hour, 0),
                *((day.weekday() + 1) % 7, int(is_working), weather, round(warmth, 2), round(warmth * 0.95, 4)),
                *(round(float(random.uniform(0.3, 0.9)), 2), round(float(random.uniform(0, 0.4)), 4)),
                *(casual, registered, casual + registered),
            ]
            yield [*line, "?"] if random.random() < 0.001 else line
