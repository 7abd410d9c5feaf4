"""Make the map of days: the state of each date in each table."""

import datetime as dt
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pytest
from deltalake import write_deltalake

from batchml.config import Pipeline, Places, conf_folder, load_pipeline
from batchml.config.definitions import INGESTED
from batchml.config.sources import days_between
from batchml.lake import owed
from batchml.lake.ledger import IN_WORK, NO_ROWS, Entry, Ledger, LedgerTable
from batchml.report.days import Cell, DayMap, OpenDates, open_days
from batchml.workflow import day_map as maps_of_days
from batchml.workflow.day_map import Span, last_date, make_cells
from batchml.workflow.monitored import Monitored
from batchml.workflow.stored import read_stored
from tests.support.lakes import all_entries, places, write_lake

FIRST = dt.date(2021, 1, 1)
DATES = days_between(FIRST, FIRST + dt.timedelta(days=9))
LAST = DATES[-1]
PIPELINES, DAYS, LIMIT_SECONDS = 10, 400, 3.0


@pytest.fixture(scope="module")
def taxi() -> Pipeline:
    return load_pipeline("taxi", conf_folder())


def read_map(places: Places, pipeline: Pipeline, span: Span) -> DayMap | None:
    """Return the map of what is stored of ``pipeline``."""
    return maps_of_days.map_of(read_stored(places, pipeline), span)


def map_of(pipeline: Pipeline, entries: Sequence[Entry], **reasons: str) -> DayMap:
    """Return the map of ``entries``, with a reason for the last date of tables."""
    owed_dates = {table: {LAST: reason} for table, reason in reasons.items()}
    cells = make_cells(Ledger.of(entries), DATES, owed_dates, Monitored())
    return DayMap(pipeline.name, DATES, cells)


def test_done_dates_are_done(taxi):
    day_map = map_of(taxi, all_entries(taxi, DATES))
    assert {day_map.mark(date) for date in DATES} == {"done"}


def test_made_date_with_reason_is_outdated(taxi):
    day_map = map_of(taxi, all_entries(taxi, DATES), features=owed.OLDER_INPUT)
    cell = day_map.cells["features", LAST]
    assert (cell.state, cell.reason) == ("outdated", "made from older input")


def test_date_without_entry_is_owed(taxi):
    entries = [entry for entry in all_entries(taxi, DATES) if entry.event_date < LAST]
    day_map = map_of(taxi, entries, bronze=owed.MISSED)
    assert day_map.mark(LAST) == "owed"


def test_missing_date_has_a_reason(taxi):
    missing = Entry("bronze", LAST, "missing", 0, NO_ROWS)
    cell = map_of(taxi, [missing]).cells["bronze", LAST]
    assert (cell.state, cell.reason) == ("missing", "its delivery has not arrived")


def test_arrived_date_has_its_reason(taxi):
    missing = Entry("bronze", LAST, "missing", 0, NO_ROWS)
    cell = map_of(taxi, [missing], bronze=owed.ARRIVED).cells["bronze", LAST]
    assert cell.reason == "its delivery has arrived"


@pytest.mark.parametrize(("known", "state"), [("missing", "owed"), ("done", "outdated")])
def test_date_being_written_is_not_missing(taxi, known, state: str):
    entry = Entry("bronze", LAST, known, made_from=IN_WORK, run="r")
    cell = map_of(taxi, [entry], bronze=owed.INTERRUPTED).cells["bronze", LAST]
    assert (cell.state, cell.run) == (state, "r")
    assert cell.reason == "a run is writing it, or was ended while it wrote it"


def test_worst_table_marks_the_day(taxi):
    rejected = Entry("bronze", LAST, "rejected", 3)
    day_map = map_of(taxi, [*all_entries(taxi, DATES), rejected], features=owed.OLDER_INPUT)
    assert day_map.mark(LAST) == "rejected"


@pytest.mark.parametrize(
    ("table", "mark"), [("bronze", "empty"), ("quarantine", "done"), ("predictions", "done")]
)
def test_only_an_empty_source_marks_the_day(taxi, table: str, mark: str):
    empty = Entry(table, LAST, "empty", 0, NO_ROWS)
    day_map = map_of(taxi, [*all_entries(taxi, DATES), empty])
    assert day_map.mark(LAST) == mark


def test_pipeline_without_champion_owes_no_predictions(taxi):
    ingested = [entry for entry in all_entries(taxi, DATES) if entry.table_name in INGESTED]
    day_map = map_of(taxi, ingested, predictions=owed.NOT_MADE)
    assert day_map.mark(LAST) == "done"


def test_alarm_marks_a_done_day(taxi):
    monitored = Monitored(levels={LAST: "alarm"})
    ledger = Ledger.of(all_entries(taxi, DATES))
    cells = make_cells(ledger, DATES, {}, monitored)
    assert DayMap(taxi.name, DATES, cells).mark(LAST) == "alarm"


def test_consecutive_open_dates_are_one_entry():
    dates = DATES[:3]
    cells = {
        (table, date): Cell(date, table, "owed", "missed")
        for table in ("bronze", "silver")
        for date in dates
    }
    periods = open_days(DayMap("taxi", DATES, cells))
    assert periods == [OpenDates(dates[0], dates[-1], ("bronze", "silver"), "owed", "missed")]


def test_separate_open_dates_are_two_entries():
    dates = (DATES[0], DATES[2])
    cells = {("bronze", date): Cell(date, "bronze", "owed", "missed") for date in dates}
    periods = open_days(DayMap("taxi", DATES, cells))
    assert [period.start for period in periods] == [*dates]


def test_scheduled_pipeline_ends_yesterday(taxi):
    ledger = Ledger.of(all_entries(taxi, DATES))
    yesterday = LAST + dt.timedelta(days=5)
    assert last_date(ledger, taxi, yesterday) == yesterday


def test_manual_pipeline_ends_with_its_newest_date(taxi):
    ledger = Ledger.of(all_entries(taxi, DATES))
    manual = taxi.model_copy(update={"schedule": None})
    assert last_date(ledger, manual, LAST + dt.timedelta(days=5)) == LAST


def test_backfill_of_old_dates_ends_with_them(taxi):
    now = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)
    entries = [replace(entry, time=now) for entry in all_entries(taxi, DATES)]
    assert last_date(Ledger.of(entries), taxi, now.date()) == LAST


def test_map_is_none_before_the_first_run(tmp_path, taxi):
    assert read_map(places(tmp_path), taxi, Span(30, LAST)) is None


def test_standstill_is_seen_in_the_newest_days(tmp_path, taxi):
    write_lake(tmp_path, taxi, DATES)
    day_map = read_map(places(tmp_path), taxi, Span(4, LAST + dt.timedelta(days=2)))
    assert [day_map.mark(date) for date in day_map.dates] == [
        "watch",
        "watch",
        "missing",
        "missing",
    ]


def test_standstill_of_a_snapshot_is_seen(tmp_path):
    iris = load_pipeline("iris", conf_folder())
    write_lake(tmp_path, iris, DATES)
    day_map = read_map(places(tmp_path), iris, Span(2, LAST + dt.timedelta(days=2)))
    assert [day_map.mark(date) for date in day_map.dates] == ["owed", "owed"]


def test_manual_snapshot_owes_no_dates(tmp_path):
    iris = load_pipeline("iris", conf_folder(), ["schedule=null"])
    first, second, last = (dt.date(2021, 3, day) for day in (1, 2, 20))
    write_lake(tmp_path, iris, [first, second])
    rejected = Entry("bronze", last, "rejected", 0, NO_ROWS, run="r")
    LedgerTable(places(tmp_path).tables_of("iris")).write([rejected])
    day_map = read_map(places(tmp_path), iris, Span(20, last))
    marks = {day_map.mark(date) for date in days_between(first, last)}
    assert marks == {"watch", "none", "rejected"}


def test_drift_cell_has_version_level_and_error(tmp_path, taxi):
    write_lake(tmp_path, taxi, DATES)
    cell = read_map(places(tmp_path), taxi, Span(1, LAST)).cells["drift", LAST]
    assert (cell.version, cell.level, cell.error) == (2, "watch", 6.5)


def test_alarm_among_other_levels_is_the_worst(tmp_path, taxi):
    write_lake(tmp_path, taxi, DATES)
    drift = f"{places(tmp_path).tables_of('taxi')}/drift"
    row = {"event_date": LAST, "model_version": 2, "subject": "rows", "measure": "rejected"}
    alarm = pa.Table.from_pylist([row | {"value": 0.9, "expected": 0.1, "level": "alarm"}])
    write_deltalake(drift, alarm, mode="append")
    assert read_map(places(tmp_path), taxi, Span(1, LAST)).mark(LAST) == "alarm"


def damage(folder: Path, table: str, date: dt.date) -> None:
    """Overwrite the file of the date."""
    root = Path(places(folder).tables_of("taxi"))
    file = next((root / table / f"event_date={date}").glob("*.parquet"))
    file.write_bytes(b"damaged")


def test_damaged_file_of_drift_hides_one_date(tmp_path, taxi):
    write_lake(tmp_path, taxi, DATES)
    damage(tmp_path, "drift", DATES[7])
    day_map = read_map(places(tmp_path), taxi, Span(4, LAST))
    levels = [day_map.cells["drift", date].level for date in day_map.dates]
    assert levels == ["watch", None, "watch", "watch"]
    (unreadable,) = day_map.unreadable
    assert unreadable.message.startswith("drift of 2021-01-08 cannot be read: ")
    assert day_map.last(2).unreadable == []


def test_reading_stops_after_three_damaged_dates(tmp_path, taxi):
    write_lake(tmp_path, taxi, DATES)
    for date in DATES[5:9]:
        damage(tmp_path, "drift", date)
    day_map = read_map(places(tmp_path), taxi, Span(10, LAST))
    assert len(day_map.unreadable) == 3
    assert day_map.cells["drift", DATES[0]].level is None


def test_maps_of_ten_pipelines_take_three_seconds(tmp_path, taxi):
    dates = days_between(LAST - dt.timedelta(days=DAYS - 1), LAST)
    first = taxi.model_copy(update={"name": "p0"})
    write_lake(tmp_path, first, dates)
    pipelines = [first]
    for number in range(1, PIPELINES):
        pipelines.append(taxi.model_copy(update={"name": f"p{number}"}))
        root = places(tmp_path).tables_of("p0")
        Path(places(tmp_path).tables_of(f"p{number}")).symlink_to(root)

    start = time.process_time()
    maps = [read_map(places(tmp_path), pipeline, Span(DAYS, LAST)) for pipeline in pipelines]
    seconds = time.process_time() - start

    assert [len(day_map.cells) for day_map in maps] == [6 * DAYS] * PIPELINES
    assert seconds < LIMIT_SECONDS
