"""Late dates and unusual volumes, from the ledger alone."""

import datetime as dt
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest

from batchml.config import Pipeline, conf_folder, load_pipeline
from batchml.config.freshness import Freshness, FreshnessLine, Late
from batchml.config.sources import days_between
from batchml.lake.ledger import IN_WORK, Entry, Ledger
from batchml.workflow.freshness import (
    _gaps,
    day_volume,
    freshness_of,
    keeps_up,
    late_dates,
    recent_volumes,
    volume_excluded,
)
from tests.support.lakes import all_entries

FIRST, LAST = dt.date(2021, 1, 1), dt.date(2021, 1, 7)
DATES = days_between(FIRST, LAST)
# The first date that is not made ends at midnight before Saturday, and is late two days later.
FRIDAY = LAST + dt.timedelta(days=1)
LATE_AT = dt.datetime(2021, 1, 11, tzinfo=dt.UTC)
HOUR, DAY = dt.timedelta(hours=1), dt.timedelta(days=1)


def pipeline(name: str = "taxi", *settings: str) -> Pipeline:
    return load_pipeline(name, conf_folder(), settings)


def made(dates: Sequence[dt.date] = DATES, **changes: Any) -> list[Entry]:
    """Return the entries of dates that were ingested at four on the day after each."""
    entries = []
    for date in dates:
        written = dt.datetime.combine(date + DAY, dt.time(4), dt.UTC)
        entry = Entry("bronze", date, "done", 100, "rows", "file", "definition", "run", written)
        entries.append(replace(entry, **changes))
    return entries


def late(entries: Sequence[Entry], now: dt.datetime, *settings: str) -> Late | None:
    return late_dates(Ledger.of(entries), pipeline("taxi", *settings), now)


def test_standstill_of_two_days_is_late():
    found = late(made(), LATE_AT)
    assert found.headline == "late since 2021-01-11 00:00 UTC: 1 date, first 2021-01-08"
    assert (found.cause, found.remedy) == (
        "bronze: no run has worked on it",
        "make heal PIPELINE=taxi",
    )


def test_minute_before_is_not_late():
    assert late(made(), LATE_AT - dt.timedelta(minutes=1)) is None


def test_hour_later_is_late_since_then():
    assert late(made(), LATE_AT + HOUR).since == LATE_AT


def test_late_dates_are_counted():
    found = late(made(), LATE_AT + 2 * DAY + HOUR)
    assert (found.dates, found.first, found.since) == (3, FRIDAY, LATE_AT)


def test_hours_are_configurable():
    since = dt.datetime(2021, 1, 9, 6, tzinfo=dt.UTC)
    setting = "monitoring.late_after_hours=6"
    assert late(made(), since - HOUR, setting) is None
    assert late(made(), since, setting).since == since


def test_null_turns_lateness_off():
    assert late(made(), LATE_AT + 9 * DAY, "monitoring.late_after_hours=null") is None


def test_pipeline_without_schedule_is_not_late():
    assert late(made(), LATE_AT + 9 * DAY, "schedule=null") is None


def test_pipeline_run_on_old_dates_is_not_late():
    now = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)
    assert late(made(time=now), now + 9 * DAY) is None


def test_weekend_without_delivery_is_not_late():
    friday = made([*DATES, FRIDAY])
    weekdays = "source.days=weekdays"
    # Monday's delivery is the first after Friday's. It is late on Thursday at midnight.
    assert late(friday, LATE_AT + 2 * DAY, weekdays) is None
    assert late(friday, LATE_AT + 3 * DAY, weekdays).first == dt.date(2021, 1, 11)


def test_holiday_is_not_late():
    assert late(made(), LATE_AT, f"source.holidays=[{FRIDAY}]") is None


def test_accepted_date_is_not_late():
    assert late([*made(), Entry("bronze", FRIDAY, "accepted")], LATE_AT) is None


def test_empty_date_is_not_late():
    assert late([*made(), Entry("bronze", FRIDAY, "empty", 0)], LATE_AT) is None


@pytest.mark.parametrize(
    ("entry", "cause", "remedy"),
    [
        (
            Entry("bronze", FRIDAY, "missing"),
            "bronze: its delivery has not arrived",
            "make heal PIPELINE=taxi when it has arrived, "
            "make accept PIPELINE=taxi DATE=2021-01-08 if it never comes",
        ),
        (
            Entry("bronze", FRIDAY, "rejected"),
            "bronze: its delivery cannot be used",
            "correct the delivery, then make heal PIPELINE=taxi",
        ),
        (
            Entry("bronze", FRIDAY, "missing", made_from=IN_WORK),
            "bronze: a run is writing it, or was ended while it wrote it",
            "make heal PIPELINE=taxi",
        ),
    ],
)
def test_open_state_is_late_with_its_remedy(entry: Entry, cause: str, remedy: str):
    daily = "source.path=trips_{yyyy}-{MM}-{dd}.parquet"
    found = late([*made(), replace(entry, time=LATE_AT - DAY)], LATE_AT, daily, "source.url=null")
    assert (found.cause, found.remedy) == (cause, remedy)


@pytest.mark.parametrize(
    ("path", "since"),
    [
        ("trips_{yyyy}-{MM}.parquet", dt.datetime(2021, 2, 3, tzinfo=dt.UTC)),
        ("trips_{yyyy}.parquet", dt.datetime(2022, 1, 3, tzinfo=dt.UTC)),
    ],
)
def test_missing_file_is_late_after_its_period(path: str, since: dt.datetime):
    entries = [*made(), Entry("bronze", FRIDAY, "missing", time=LATE_AT)]
    settings = (f"source.path={path}", "source.url=null")
    found = list(_gaps(Ledger.of(entries), pipeline("taxi", *settings), LATE_AT))
    assert found[0].since == since


def test_rerun_of_the_newest_date_stays_late():
    entries = made()
    entries[-1] = replace(entries[-1], time=LATE_AT + 30 * DAY)
    assert late(entries, LATE_AT + 31 * DAY).first == FRIDAY


def test_gap_in_the_middle_is_late():
    entries = made([date for date in DATES if date != dt.date(2021, 1, 5)])
    found = late(entries, dt.datetime(2021, 1, 8, tzinfo=dt.UTC))
    assert (found.dates, found.first) == (1, dt.date(2021, 1, 5))


@pytest.mark.parametrize("table", ["features", "predictions"])
def test_table_in_use_is_late_without_the_date(table: str):
    entries = [
        replace(entry, time=dt.datetime.combine(entry.event_date + DAY, dt.time(4), dt.UTC))
        for entry in all_entries(pipeline(), DATES)
        if (entry.table_name, entry.event_date) != (table, LAST)
    ]
    # The input was written at four, so the table has until four.
    since = LATE_AT - DAY + 4 * HOUR
    assert late(entries, since - dt.timedelta(minutes=1)) is None
    found = late(entries, since)
    assert (found.first, found.cause) == (LAST, f"{table}: not made yet")


def test_pipeline_without_champion_is_not_late():
    entries = [
        entry for entry in all_entries(pipeline(), DATES) if entry.table_name != "predictions"
    ]
    assert late(entries, LATE_AT - HOUR) is None


def test_dates_before_the_first_prediction_are_not_late():
    entries = [
        entry
        for entry in all_entries(pipeline(), DATES)
        if entry.table_name != "predictions" or entry.event_date >= LAST
    ]
    assert late(entries, LATE_AT - HOUR) is None


def test_weekly_run_is_not_late_before_it_starts():
    week = made(days_between(dt.date(2021, 1, 4), dt.date(2021, 1, 10)))
    weekly = "schedule='0 0 * * 1'"
    now = dt.datetime(2021, 1, 19, 23, 59, tzinfo=dt.UTC)
    assert late(week, now, weekly) is None
    found = late(week, now + dt.timedelta(minutes=1), weekly)
    assert (found.first, found.since) == (dt.date(2021, 1, 11), now + dt.timedelta(minutes=1))


def test_snapshot_is_late_after_its_interval():
    iris = pipeline("iris")
    entries = made([LAST - 7 * DAY, LAST])
    ledger = Ledger.of(entries)
    due = dt.datetime(2021, 1, 15, tzinfo=dt.UTC) + 2 * DAY
    assert late_dates(ledger, iris, due - HOUR) is None
    found = late_dates(ledger, iris, due)
    assert (found.first, found.dates) == (dt.date(2021, 1, 14), 1)
    assert found.remedy.startswith("trigger the DAG iris")


def test_scheduled_pipeline_that_never_ran_is_late():
    found = late([], LATE_AT, f"start_date={FRIDAY}")
    assert (found.first, found.cause) == (FRIDAY, "bronze: no run has worked on it")


def test_start_date_of_long_ago_owes_nothing():
    assert late([], dt.datetime(2021, 3, 1, tzinfo=dt.UTC)) is None


def test_keeping_up_needs_a_recent_run():
    assert keeps_up(Ledger.of(made()), pipeline())
    assert not keeps_up(Ledger(), pipeline())
    assert not keeps_up(Ledger.of(made(time=None)), pipeline())


NOW = dt.datetime(2021, 2, 27, 5, tzinfo=dt.UTC)
LONG = days_between(FIRST, dt.date(2021, 2, 26))


def volumes(entries: Sequence[Entry], now: dt.datetime = NOW, *settings: str) -> list[str]:
    found = recent_volumes(Ledger.of(entries), pipeline("taxi", *settings), now)
    return [f"{each.date} {each.level}{' again' if each.is_continued else ''}" for each in found]


def with_rows(**rows: int) -> list[Entry]:
    """Return sixty dates of a hundred rows, with other ``rows`` on days of February."""
    entries = {entry.event_date: entry for entry in made(LONG)}
    for day, count in rows.items():
        date = dt.date(2021, 2, int(day.removeprefix("feb_")))
        entries[date] = replace(entries[date], rows=count)
    return list(entries.values())


def test_usual_volumes_raise_nothing():
    assert volumes(with_rows()) == []


def test_unusual_volume_of_a_new_date_is_found():
    assert volumes(with_rows(feb_25=20)) == ["2021-02-25 alarm"]


def test_same_direction_on_the_next_date_continues():
    assert volumes(with_rows(feb_24=40, feb_25=20, feb_26=300)) == [
        "2021-02-24 alarm",
        "2021-02-25 alarm again",
        "2021-02-26 alarm",
    ]


def test_worse_level_on_the_next_date_is_new():
    entries = with_rows(feb_24=6_000, feb_25=2_000)
    entries = [replace(entry, rows=10_000) if entry.rows == 100 else entry for entry in entries]
    assert volumes(entries) == ["2021-02-24 watch", "2021-02-25 alarm"]


def test_older_dates_are_not_reported_again():
    assert volumes(with_rows(feb_19=20)) == []


def test_dates_of_an_old_run_are_not_reported():
    assert volumes(with_rows(feb_25=20), NOW + 10 * DAY) == []


def test_holiday_is_neither_compared_nor_compared_with():
    holiday = "source.holidays=[2021-02-25]"
    assert volumes(with_rows(feb_25=20), NOW, holiday) == []
    entries = with_rows(feb_25=20)
    ledger = Ledger.of(entries)
    assert day_volume(ledger, pipeline("taxi", holiday), dt.date(2021, 2, 25)) is None


def test_accepted_and_rejected_dates_have_no_volume():
    for state in ("accepted", "rejected", "missing"):
        entries = [*with_rows(), Entry("bronze", LONG[-1], state, 0, time=NOW)]
        assert volumes(entries) == []


@pytest.mark.parametrize(
    ("name", "settings", "reason"),
    [
        ("iris", (), "every snapshot has the whole of the source"),
        ("taxi", ("monitoring.volume=null",), "monitoring.volume is null"),
        (
            "taxi",
            ("source.event_time=null",),
            "the rows of a month all belong to its first day",
        ),
        ("taxi", (), ""),
    ],
)
def test_irregular_sources_are_excluded_with_a_reason(name, settings, reason):
    excluded = pipeline(name, *settings)
    assert volume_excluded(excluded) == reason
    if reason:
        ledger = Ledger.of(with_rows(feb_25=20))
        assert freshness_of(ledger, excluded, NOW).volume == ()


def test_line_is_read_by_an_older_reader():
    state = freshness_of(Ledger.of(made()), pipeline(), LATE_AT)
    line = FreshnessLine(pipelines={"taxi": state}, errors={"bikes": "no lake"})
    newer = line.model_dump_json()[:-1] + ', "newer": 1}'
    assert FreshnessLine.parse(newer) == line
    assert isinstance(line.pipelines["taxi"], Freshness)
