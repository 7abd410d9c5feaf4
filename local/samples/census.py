"""Rows for the pipeline `census`: the published files if they exist, or else synthetic people."""

import datetime as dt
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console

from batchml.config import Pipeline
from local.seed import is_empty, read, seed

PUBLISHED = {dt.date(2021, 1, 1): "adult-train.csv", dt.date(2021, 1, 2): "adult-test.csv"}
SYNTHETIC_DAYS = [dt.date(2021, 1, 1) + dt.timedelta(days=day) for day in range(3)]
PEOPLE_PER_DAY = 3000
SEED = 19940101
EDUCATION = {
    7: "11th",
    9: "HS-grad",
    10: "Some-college",
    13: "Bachelors",
    14: "Masters",
    16: "Doctorate",
}
OCCUPATIONS = (
    "Adm-clerical",
    "Craft-repair",
    "Exec-managerial",
    "Prof-specialty",
    "Sales",
    "Other-service",
)


def provide(
    pipeline: Pipeline, landing: Path, console: Console, environ: Mapping[str, str]
) -> None:
    """Fill the pipeline's table unless it has rows."""
    if not is_empty(pipeline, environ):
        return

    if all((landing / name).is_file() for name in PUBLISHED.values()):
        for date, name in PUBLISHED.items():
            with (landing / name).open(encoding="utf-8", newline="") as lines:
                size = seed(pipeline, date, read(lines), environ)
            console.print(f"sample {size:,} rows of {name}, as of {date}")
        return

    for date in SYNTHETIC_DAYS:
        seed(pipeline, date, people(date), environ)
    console.print(
        f"created {len(SYNTHETIC_DAYS)} days of {PEOPLE_PER_DAY:,} SYNTHETIC people: use them to "
        "test the pipeline, not to analyse incomes. The real ones are UCI's Adult data set: copy "
        "adult.data as adult-train.csv and adult.test, without its first line, as adult-test.csv "
        "into the landing folder"
    )


def people(date: dt.date) -> list[list[str]]:
    """Return the people of a day, with the columns and the errors of the real files.

    The income depends on education, marriage, hours, age, capital gain and occupation.
    """
    random = np.random.default_rng([SEED, date.toordinal()])
    size = PEOPLE_PER_DAY
    drawn = {
        "years": random.choice(list(EDUCATION), size, p=[0.1, 0.35, 0.25, 0.2, 0.07, 0.03]),
        "age": np.clip(random.gamma(9, 4.3, size), 17, 90).astype(int),
        "hours": np.clip(random.normal(40, 11, size), 1, 99).astype(int),
        "is_married": random.random(size) < 0.47,
        "is_male": random.random(size) < 0.67,
        "gain": np.where(random.random(size) < 0.08, random.integers(1000, 20_000, size), 0),
        "occupation": random.integers(0, len(OCCUPATIONS), size),
        "is_unknown": random.random(size) < 0.06,
    }
    drawn["is_high"] = random.random(size) < _chance_of_high_income(drawn)
    dot = ""
    if date.day % 2 == 0:
        dot = "."  # The published test file has a dot after the label.

    rows = []
    for row in range(size):
        person = {name: values[row] for name, values in drawn.items()}
        weight = random.integers(20_000, 400_000)
        rows.append(_fields(person, weight, dot))
    return rows


def _chance_of_high_income(drawn: Mapping[str, Any]) -> Any:
    score = 0.35 * (drawn["years"] - 10) + 2.2 * drawn["is_married"]
    score = score + 0.04 * (drawn["hours"] - 40) + 0.03 * (drawn["age"] - 38)
    score += drawn["gain"] / 4000
    score += 0.8 * np.isin(drawn["occupation"], (2, 3)) - 3.0
    return 1 / (1 + np.exp(-2 * score))


def _fields(person: Mapping[str, Any], weight: int, dot: str) -> list[str]:
    """Return the fields of a person in the order of the published files."""
    work = "Private"
    role = OCCUPATIONS[person["occupation"]]
    if person["is_unknown"]:
        work = role = "?"
    status, relation = "Never-married", "Not-in-family"
    if person["is_married"]:
        status, relation = "Married-civ-spouse", "Husband"
    sex = "Female"
    if person["is_male"]:
        sex = "Male"
    label = "<=50K"
    if person["is_high"]:
        label = ">50K"
    return [
        str(person["age"]),
        work,
        str(weight),
        EDUCATION[person["years"]],
        str(person["years"]),
        status,
        role,
        relation,
        "White",
        sex,
        str(person["gain"]),
        "0",
        str(person["hours"]),
        "United-States",
        f"{label}{dot}",
    ]
