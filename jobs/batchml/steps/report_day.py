"""report_day: write one HTML page about the last date, without Spark, and log it to MLflow."""

import datetime as dt

from batchml.context import Context, Summary
from batchml.job_line import MlflowIds, ReportDayDetails
from batchml.lake.ledger import Ledger
from batchml.report import calendar
from batchml.report.links import Links
from batchml.report.overview import Overview, overview_of
from batchml.report.page import Banner, PageContext, banners_of, render
from batchml.tracking import CHAMPION, Tag, Version, open_tracker
from batchml.workflow.day_map import Span, map_of
from batchml.workflow.freshness import day_volume, late_dates
from batchml.workflow.stored import read_stored


def run(context: Context) -> Summary:
    """Write the page of ``--end``; a second call replaces it."""
    name = context.pipeline.name
    tracker = open_tracker(name, context.places)
    with context.phase("read"):
        stored = read_stored(context.places, context.pipeline)
        day = overview_of(stored.tables, name, context.end)
        champion = tracker.by_alias(CHAMPION)
        banners = _banners(context, stored.ledger)
        span = Span(calendar.DAYS, context.end, context.end)
        day_map = map_of(stored, span)
    with context.phase("write"):
        links = _links(name, champion)
        page_context = PageContext(_about(champion, day), links, banners, day_map)
        page = render(day, page_context)
        logged = tracker.log_report(str(context.end), page)
    return Summary(
        rows_in=day.rows.get("bronze", 0),
        rows_out=day.rows.get("predictions", 0),
        mlflow=MlflowIds(**logged),
        details=ReportDayDetails(
            level=day.level,
            rows=day.rows,
            rejected=day.rejected,
            bytes=len(page),
        ),
    )


def _banners(context: Context, ledger: Ledger) -> list[Banner]:
    """Return what the page states first: late dates, and an unusual volume of its date."""
    now = dt.datetime.fromtimestamp(context.now(), dt.UTC)
    late = late_dates(ledger, context.pipeline, now)
    return banners_of(late, day_volume(ledger, context.pipeline, context.end))


def _about(champion: Version | None, day: Overview) -> str:
    if champion is None:
        return "There is no champion yet."
    sentence = f"Champion is version {champion.version}, trained up to {champion.tags[Tag.END]}."
    if day.serving is None or day.serving.version == int(champion.version):
        return sentence
    return f"{sentence} The day was scored by version {day.serving.version}."


def _links(name: str, champion: Version | None) -> dict[str, str]:
    """Return links to the UIs whose addresses for a browser are in the environment."""
    known = Links.from_environment()
    links = {}
    if champion is not None:
        links["model in MLflow"] = known.of_model(name, int(champion.version))
    links["runs in Airflow"] = known.of_dag(name)
    return {title: address for title, address in links.items() if address}
