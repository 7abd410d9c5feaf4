"""A synthetic file for the pipeline `bikes`: the published schema, with gaps and broken lines."""

import datetime as dt
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from local.samples.csv_file import write_csv

SEED = 20110101
FIRST_DAY, DAYS = dt.date(2011, 1, 1), 120
COLUMNS = [
    "instant",
    "dteday",
    "season",
    "yr",
    "mnth",
    "hr",
    "holiday",
    "weekday",
    "workingday",
    "weathersit",
    "temp",
    "atemp",
    "hum",
    "windspeed",
    "casual",
    "registered",
    "cnt",
]


def write_bikes(landing: Path) -> str:
    """Write four synthetic months of hourly bicycle counts."""
    write_csv(landing / "bike_hour.csv", bike_hours())
    return (
        f"created SYNTHETIC hours of bicycle counts in {landing}: use them to test the pipeline, "
        "not to analyse bicycles. The real ones are UCI's Bike Sharing data set: copy hour.csv "
        "there as bike_hour.csv"
    )


def bike_hours() -> Iterator[Sequence[object]]:
    """Yield the file's lines, header first. Every call yields the same lines.

    The counts depend on the hour, the weekday and the weather.
    """
    random = np.random.default_rng(SEED)
    yield COLUMNS
    instant = 0
    for number in range(DAYS):
        day = FIRST_DAY + dt.timedelta(days=number)
        warmth = 0.25 + 0.3 * number / DAYS + random.normal(0, 0.04)
        is_working = day.weekday() < 5
        weather = int(random.choice([1, 2, 3], p=[0.65, 0.25, 0.1]))
        for hour in range(24):
            if random.random() < 0.01:
                continue  # The published file lacks some hours, too.
            mean = _mean_count(hour, is_working, warmth, weather)
            casual = int(random.poisson(0.2 * mean))
            registered = int(random.poisson(0.8 * mean))
            instant += 1
            line: list[object] = [
                instant,
                f"{day.month}/{day.day}/{day:%y}",
                1 + day.month // 4,
                0,
                day.month,
                hour,
                0,
                (day.weekday() + 1) % 7,
                int(is_working),
                weather,
                round(warmth, 2),
                round(warmth * 0.95, 4),
                _uniform(random, 0.3, 0.9, digits=2),
                _uniform(random, 0, 0.4, digits=4),
                casual,
                registered,
                casual + registered,
            ]
            if random.random() < 0.001:
                line.append("?")
            yield line


def _mean_count(hour: int, is_working: bool, warmth: float, weather: int) -> float:
    """Return the mean number of bicycles in an hour: two rush hours or one peak of leisure."""
    rush = np.exp(-((hour - 8) ** 2) / 4) + np.exp(-((hour - 17.5) ** 2) / 5)
    leisure = np.exp(-((hour - 14) ** 2) / 18)
    peak = 90 * leisure
    if is_working:
        peak = 130 * rush
    return float((15 + peak) * (0.4 + 2 * warmth) / weather**0.5)


def _uniform(random: np.random.Generator, low: float, high: float, digits: int) -> float:
    """Return a random number from ``low`` to ``high``, rounded."""
    return round(float(random.uniform(low, high)), digits)
