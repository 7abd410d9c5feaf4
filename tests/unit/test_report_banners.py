"""The banners of the daily summary."""

import datetime as dt
from dataclasses import replace
from types import SimpleNamespace

import pytest

from batchml.config import conf_folder, load_pipeline
from batchml.config.freshness import DayVolume, Late
from batchml.config.sources import days_between
from batchml.lake.ledger import Ledger
from batchml.report.overview import Overview
from batchml.report.page import Banner, PageContext, banners_of, render
from batchml.steps import report_day
from tests.unit.test_freshness import made

DATE = dt.date(2021, 2, 1)
LATE = Late(
    since=dt.datetime(2021, 2, 1, tzinfo=dt.UTC),
    dates=2,
    first=dt.date(2021, 1, 29),
    table="bronze",
    reason="its delivery has not arrived",
    remedy="make heal PIPELINE=taxi",
)
VOLUME = DayVolume(date=DATE, rows=272, usual=2886, level="alarm")


@pytest.fixture
def day() -> Overview:
    return Overview("taxi", DATE, {"bronze": 272}, {}, [], [], None, None)


def page_with(day: Overview, banners: list[Banner]) -> str:
    """Return the page of the day with ``banners``."""
    return render(day, PageContext("No champion.", {}, banners, day_map=None))


def test_page_begins_with_its_banners(day):
    page = page_with(day, banners_of(LATE, VOLUME))
    body = page.partition("<body>")[2].partition("<h1>")[0]
    assert "Late since 2021-02-01 00:00 UTC: 2 dates, first 2021-01-29 (bronze: its" in body
    assert "Volume: 272 rows on 2021-02-01, -91% from the usual 2,886 on a Monday (alarm)." in body
    assert body.count("border-color: #D55E00") == 2


def test_usual_day_has_no_banner(day):
    usual = VOLUME.model_copy(update={"level": "ok"})
    assert 'class="banner"' not in page_with(day, banners_of(None, usual))


def test_watched_volume_has_another_colour():
    (banner,) = banners_of(None, VOLUME.model_copy(update={"level": "watch"}))
    assert banner.colour == "#E69F00"


def test_step_finds_lateness_and_volume_in_the_ledger():
    last = dt.date(2021, 2, 26)
    entries = made(days_between(dt.date(2021, 1, 1), last))
    entries[-1] = replace(entries[-1], rows=5)
    now = dt.datetime(2021, 3, 2, tzinfo=dt.UTC)
    context = SimpleNamespace(
        pipeline=load_pipeline("taxi", conf_folder()),
        end=last,
        now=now.timestamp,
    )
    banners = report_day._banners(context, Ledger.of(entries))
    assert [banner.text for banner in banners] == [
        "Late since 2021-03-02 00:00 UTC: 1 date, first 2021-02-27 "
        "(bronze: no run has worked on it).",
        "Volume: 5 rows on 2021-02-26, -95% from the usual 100 on a Friday (alarm).",
    ]
