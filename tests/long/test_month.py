"""A month of daily runs with a training each week, and a rerun of every day at the end."""

import datetime as dt
import random
from contextlib import suppress
from pathlib import Path

from batchml.errors import NothingToDo
from tests.support.rides import RIDES, aliases, train_and_promote, write_rides
from tests.support.workbench import Workbench

DAYS = [dt.date(2021, 1, 1) + dt.timedelta(days=n) for n in range(31)]
TABLES = ("features", "predictions", "drift")


def run_day(bench: Workbench, date: dt.date) -> None:
    """Run the jobs of one day; before the first champion two of them have nothing to do."""
    for job in ("ingest", "build_features", "score_batch", "monitor_drift"):
        with suppress(NothingToDo):
            bench.run(job, "rides", str(date))


def test_reruns_in_any_order_change_nothing(workbench: Workbench):
    workbench.write_pipeline("rides", RIDES)
    write_rides(Path(workbench.places.landing), days=31)
    for date in DAYS:
        run_day(workbench, date)
        if date.day in (8, 15, 22, 29):
            train_and_promote(workbench, str(date), settings=("gate.min_improvement=-0.5",))
    before = {table: workbench.rows("rides", table) for table in TABLES}
    former = aliases(workbench)
    assert former["champion"] == 4
    for date in random.Random(3).sample(DAYS, len(DAYS)):
        run_day(workbench, date)
    assert {table: workbench.rows("rides", table) for table in TABLES} == before
    assert aliases(workbench) == former
    scored = workbench.table("rides", "predictions").select("event_date", "model_version", "seen")
    versions = {row[0].day: row[1] for row in scored.distinct().collect()}
    assert versions == {day: 1 + (day - 9) // 7 for day in range(9, 32)}
    assert scored.where("seen").count() == 0
