"""Rows for the pipeline `census`: the published files where they are in the landing folder, else synthetic people."""

import datetime as dt
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from rich.console import Console

from batchml.config import Pipeline
from local.seed import is_empty, read, seed

PUBLISHED = {dt.date(2021, 1, 1): "adult-train.csv", dt.date(2021, 1, 2): "adult-test.csv"}
SYNTHETIC_DAYS = [dt.date(2021, 1, 1) + dt.timedelta(days=day) for day in range(3)]
PEOPLE_PER_DAY = 3000
SEED = 19940101
EDUCATION = {7: "11th", 9: "HS-grad", 10: "Some-college", 13: "Bachelors", 14: "Masters", 16: "Doctorate"}
OCCUPATIONS = ("Adm-clerical", "Craft-repair", "Exec-managerial", "Prof-specialty", "Sales", "Other-service")


def provide(pipeline: Pipeline, landing: Path, console: Console, environ: Mapping[str, str]) -> None:
    """Fills the pipeline's table unless it has rows."""
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
        f"made {len(SYNTHETIC_DAYS)} days of {PEOPLE_PER_DAY:,} SYNTHETIC people: good to see the pipeline work, "
        "not to learn of incomes. The real ones are UCI's Adult data set: put adult.data as adult-train.csv and "
        "adult.test, without its first line, as adult-test.csv into the landing folder"
    )


def people(date: dt.date) -> list[list[str]]:
    """The people of a day, always the same, in the columns and with the dirt of the published files."""
    random = np.random.default_rng([SEED, date.toordinal()])
    years = random.choice(list(EDUCATION), PEOPLE_PER_DAY, p=[0.1, 0.35, 0.25, 0.2, 0.07, 0.03])
    age = np.clip(random.gamma(9, 4.3, PEOPLE_PER_DAY), 17, 90).astype(int)
    hours = np.clip(random.normal(40, 11, PEOPLE_PER_DAY), 1, 99).astype(int)
    is_married, is_male = random.random(PEOPLE_PER_DAY) < 0.47, random.random(PEOPLE_PER_DAY) < 0.67
    gain = np.where(random.random(PEOPLE_PER_DAY) < 0.08, random.integers(1000, 20_000, PEOPLE_PER_DAY), 0)
    occupation, unknown = random.integers(0, len(OCCUPATIONS), PEOPLE_PER_DAY), random.random(PEOPLE_PER_DAY) < 0.06
    leaning = 0.35 * (years - 10) + 2.2 * is_married + 0.04 * (hours - 40) + 0.03 * (age - 38) + gain / 4000
    leaning += 0.8 * np.isin(occupation, (2, 3)) - 3.0
    is_high = random.random(PEOPLE_PER_DAY) < 1 / (1 + np.exp(-2 * leaning))
    dot = "." if date.day % 2 == 0 else ""  # as the published test file has it
    return [
        [
            *(str(age[row]), "?" if unknown[row] else "Private", str(random.integers(20_000, 400_000))),
            *(EDUCATION[years[row]], str(years[row]), "Married-civ-spouse" if is_married[row] else "Never-married"),
            *("?" if unknown[row] else OCCUPATIONS[occupation[row]], "Husband" if is_married[row] else "Not-in-family"),
            *("White", "Male" if is_male[row] else "Female", str(gain[row]), "0", str(hours[row]), "United-States"),
            f"{'>50K' if is_high[row] else '<=50K'}{dot}",
        ]
        for row in range(PEOPLE_PER_DAY)
    ]
