"""The rows of a date against the same weekday of earlier weeks."""

import datetime as dt

import numpy as np
import pytest

from batchml.config import Levels
from batchml.models.volume import volume_of

MONDAY = dt.date(2021, 3, 1)
WEEK = dt.timedelta(days=7)
LEVELS = Levels(watch=0.3, alarm=0.5)


def weeks(rows: int, *earlier: int) -> dict[dt.date, int]:
    """Return the rows of a Monday and of the Mondays before, the last one first."""
    counts = {MONDAY: rows}
    for number, count in enumerate(earlier, start=1):
        counts[MONDAY - number * WEEK] = count
    return counts


@pytest.mark.parametrize(
    ("rows", "level"),
    [(700, "ok"), (600, "watch"), (400, "alarm"), (1300, "ok"), (1500, "watch"), (1700, "alarm")],
)
def test_level_follows_the_change(rows: int, level: str):
    volume = volume_of(MONDAY, weeks(rows, 1000, 1000, 1000), LEVELS)
    assert (volume.level, volume.change) == (level, (rows - 1000) / 1000)


def test_usual_is_the_median_of_the_weekday():
    volume = volume_of(MONDAY, weeks(1000, 900, 5000, 1100, 1000), LEVELS)
    assert volume.usual == 1050


def test_other_weekdays_do_not_count():
    counts = weeks(1000, 1000, 1000, 1000)
    counts |= {date - dt.timedelta(days=1): 10 for date in counts}
    assert volume_of(MONDAY, counts, LEVELS).level == "ok"


def test_ninth_week_before_does_not_count():
    counts = weeks(100, 100, 100, 100) | {MONDAY - 9 * WEEK: 90_000}
    assert volume_of(MONDAY, counts, LEVELS).usual == 100


def test_two_earlier_weeks_are_too_few():
    assert volume_of(MONDAY, weeks(10, 1000, 1000, 0), LEVELS) is None


def test_date_without_count_has_no_volume():
    assert volume_of(MONDAY + WEEK, weeks(10, 1000, 1000, 1000), LEVELS) is None


def test_empty_date_is_an_alarm():
    volume = volume_of(MONDAY, weeks(0, 1000, 1000, 1000), LEVELS)
    assert (volume.level, volume.change) == ("alarm", -1)


@pytest.mark.parametrize("rows", [0, 1, 8, 9])
def test_few_rows_differ_by_chance(rows: int):
    assert volume_of(MONDAY, weeks(rows, 4, 4, 4, 4), LEVELS).level == "ok"


def test_noise_bound_is_one_in_a_thousand():
    # By Przyborowski and Wilenski: 17 of 33 where 1.3 of 5.3 is expected has probability 0.0007.
    assert volume_of(MONDAY, weeks(16, 4, 4, 4, 4), LEVELS).level == "ok"
    assert volume_of(MONDAY, weeks(17, 4, 4, 4, 4), LEVELS).level == "alarm"


@pytest.mark.parametrize("mean", [2, 10, 40, 150])
def test_poisson_noise_raises_nothing(mean: int):
    random = np.random.default_rng(mean)
    unusual = 0
    for counts in random.poisson(mean, size=(2000, 9)).tolist():
        volume = volume_of(MONDAY, weeks(*counts), LEVELS)
        if volume is not None and volume.level != "ok":
            unusual += 1
    assert unusual <= 2


def test_text_names_rows_change_and_weekday():
    volume = volume_of(MONDAY, weeks(12, 2000, 2140, 2200), LEVELS)
    assert volume.text == "12 rows on 2021-03-01, -99% from the usual 2,140 on a Monday (alarm)"
