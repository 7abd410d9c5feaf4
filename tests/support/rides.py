"""Trips of 3 minutes a mile and 2 an hour, for the tests of a model's lifecycle."""

import datetime as dt
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from batchml.tracking import CHALLENGER, CHAMPION, PREVIOUS

RIDES = {
    "description": "rides",
    "source": {"kind": "parquet", "path": "rides_{yyyy}-{MM}.parquet", "event_time": "begin"},
    "columns": {"begin": "timestamp_ntz", "miles": "double", "minutes": "double"},
    "features": [{"kind": "hour_of_day", "of": "begin", "to": "hour"}],
    "task": "regression",
    "label": "minutes",
    "inputs": {"numeric": ["miles", "hour"]},
    "estimator": {"kind": "linear"},
    "training": {"window_days": 10, "holdout_days": 3, "min_rows": 20},
    "gate": {"metric": "rmse", "limit": 1.0},
}
START, END = "2021-01-01", "2021-01-20"
TRAINED = "2021-01-14"


def write_rides(landing: Path, days: int = 21) -> None:
    """24 rides a day in January 2021; on the 21st nobody has noted the minutes yet."""
    hours = [dt.datetime(2021, 1, 1) + dt.timedelta(hours=n) for n in range(days * 24)]
    miles = [1.0 + n % 7 for n in range(len(hours))]
    noise = [((n * 37) % 11 - 5) / 50 for n in range(len(hours))]
    minutes = [
        None if begin.day == 21 else 3 * mile + 2 * begin.hour + error
        for begin, mile, error in zip(hours, miles, noise, strict=True)
    ]
    table = pa.table(
        {"begin": pa.array(hours, pa.timestamp("us")), "miles": miles, "minutes": minutes}
    )
    pq.write_table(table, landing / "rides_2021-01.parquet")


def train_and_promote(bench, end: str = END, settings: tuple[str, ...] = ()) -> None:
    for job in ("train_model", "evaluate_model", "promote_model"):
        bench.run(job, "rides", end, settings=settings)


def aliases(bench) -> dict[str, int | None]:
    tracker = bench.tracker("rides")
    found = {alias: tracker.by_alias(alias) for alias in (CHALLENGER, CHAMPION, PREVIOUS)}
    return {alias: version and int(version.version) for alias, version in found.items()}
