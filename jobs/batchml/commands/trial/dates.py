"""Choose the dates of a trial, and find out which of them can be compared."""

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass

from batchml.config import Pipeline
from batchml.errors import BadConfig
from batchml.lake.ledger import Ledger


@dataclass(frozen=True)
class TriedDates:
    """The dates of a trial, divided by what ingest has made of them.

    ``compared`` were ingested again. ``rejected`` have too many rows that fail a check, or another
    delivery that cannot be used. ``gone`` have no delivery any more. ``redelivered`` are compared
    ones whose delivery is another one than production has read.
    """

    compared: tuple[dt.date, ...] = ()
    rejected: tuple[dt.date, ...] = ()
    gone: tuple[dt.date, ...] = ()
    redelivered: tuple[dt.date, ...] = ()


def choose_dates(ledger: Ledger, pipeline: Pipeline, days: int) -> list[dt.date]:
    """Return the last ``days`` dates that production has in silver. Raise BadConfig without any."""
    if days < 1:
        raise BadConfig(f"DAYS is {days}", remedy="set DAYS to the number of dates, at least 1")
    entries = ledger.of_table("silver")
    done = sorted(date for date, entry in entries.items() if entry.state == "done")
    if not done:
        raise BadConfig(
            f"{pipeline.name}: silver has no dates to try the edit on",
            remedy=f"run the pipeline first, for example make run PIPELINE={pipeline.name}",
        )
    return done[-days:]


def divide_dates(dates: Sequence[dt.date], production: Ledger, tried: Ledger) -> TriedDates:
    """Return ``dates`` divided by what ingest has made of them.

    The ledgers are those of ``production`` and of the trial.
    """
    compared, rejected, gone, redelivered = [], [], [], []
    for date in dates:
        entry = tried.get("bronze", date)
        if entry is None or entry.state in ("missing", "accepted"):
            gone.append(date)
            continue
        if entry.state == "rejected":
            rejected.append(date)
            continue
        compared.append(date)
        former = production.get("bronze", date)
        if former is not None and _differ(former.made_from, entry.made_from):
            redelivered.append(date)
    return TriedDates(tuple(compared), tuple(rejected), tuple(gone), tuple(redelivered))


def _differ(before: str, after: str) -> bool:
    """Return True if both deliveries are known, and are not the same."""
    return bool(before) and bool(after) and before != after


def training_settings(pipeline: Pipeline, days: int) -> tuple[str, ...]:
    """Return the settings by which a training fits into ``days``, in the proportions of the YAML.

    Return none if the days are enough for the YAML's own training, or too few for any.
    """
    training = pipeline.training
    if training.split == "hash" or training.days <= days:
        return ()
    share = training.holdout_days / training.days
    holdout = max(round(days * share), training.min_holdout_days or 1)
    window = days - holdout
    least_window = 1
    if pipeline.estimator.grid:
        least_window = training.validation_days + 1
    if window < least_window:
        return ()
    return (f"training.window_days={window}", f"training.holdout_days={holdout}")
