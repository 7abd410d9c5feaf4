"""Find late dates and unusual volumes from the ledger of a pipeline, without Spark.

Nothing of this needs a run: a pipeline that stands still is late, too.
"""

import datetime as dt
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

from croniter import croniter

from batchml.config import Pipeline, Places
from batchml.config.freshness import HEAL, DayVolume, Freshness, Late, trigger_snapshot
from batchml.config.monitoring import Levels
from batchml.config.sources import days_between
from batchml.lake.first_ledger import read_ledger
from batchml.lake.ledger import IN_WORK, Entry, Ledger
from batchml.lake.owed import DERIVATIONS, NOT_MADE
from batchml.models.volume import volume_of

DAY = dt.timedelta(days=1)
SETTLED = ("done", "empty", "accepted")
COUNTED = ("done", "empty")
DERIVED = (DERIVATIONS["build_features"], DERIVATIONS["score_batch"])
"""The tables that are made every day once they are in use, each with the one it is made from."""
LONG_AGO = dt.datetime.min.replace(tzinfo=dt.UTC)
NOT_RUN = "no run has worked on it"
UNFINISHED = "a run is writing it, or was ended while it wrote it"
REASONS = {"missing": "its delivery has not arrived", "rejected": "its delivery cannot be used"}
NEWEST = 7
"""So many newest dates are looked at.

Their volumes are compared if they were written within as many days.
"""


@dataclass(frozen=True)
class _Gap:
    """A date that was not made: the table that lacks it, and why.

    ``input_time``: when its input was written. ``since``: when it becomes late.
    """

    date: dt.date
    table: str
    reason: str
    input_time: dt.datetime = LONG_AGO
    since: dt.datetime = LONG_AGO


def read_freshness(places: Places, pipeline: Pipeline, now: dt.datetime) -> Freshness:
    """Return what is late at ``now``, and unusual volumes.

    Raise Unavailable if the ledger cannot be read.
    """
    ledger = read_ledger(places.tables_of(pipeline.name), pipeline)
    return freshness_of(ledger, pipeline, now)


def freshness_of(ledger: Ledger, pipeline: Pipeline, now: dt.datetime) -> Freshness:
    """Return what is late at ``now``, and unusual volumes, by the ledger."""
    return Freshness(
        pipeline=pipeline.name,
        late=late_dates(ledger, pipeline, now),
        volume=tuple(recent_volumes(ledger, pipeline, now)),
        volume_excluded=volume_excluded(pipeline),
    )


def keeps_up(ledger: Ledger, pipeline: Pipeline) -> bool:
    """Return True if the pipeline has a schedule, and one of its newest dates was made in time.

    A pipeline that was run on dates of years ago does not owe the years since then. The newest date
    alone may have been made again since.
    """
    entries = ledger.of_table("bronze")
    if pipeline.schedule is None:
        return False
    slack = dt.timedelta(days=pipeline.source.lookback_days)
    for date in sorted(entries)[-NEWEST:]:
        time = entries[date].time
        if time is not None and time.date() - date <= slack:
            return True
    return False


def late_dates(ledger: Ledger, pipeline: Pipeline, now: dt.datetime) -> Late | None:
    """Return the dates that are late at ``now``, or None.

    A date is due with the first run of the schedule after its end (midnight UTC), or after the end
    of its period if a run has looked for the delivery, and late
    ``monitoring.late_after_hours`` after that, if its delivery was not ingested or accepted, or if
    its features or predictions were not made, where the pipeline has these tables.
    """
    late = [gap for gap in _gaps(ledger, pipeline, now) if gap.since <= now]
    if not late:
        return None
    first = late[0]
    return Late(
        since=min(gap.since for gap in late),
        dates=len(late),
        first=first.date,
        table=first.table,
        reason=first.reason,
        remedy=_remedy(pipeline, first),
    )


def _remedy(pipeline: Pipeline, gap: _Gap) -> str:
    """Return the command that makes the late dates."""
    if pipeline.is_snapshot and gap.table == "bronze":
        return trigger_snapshot(pipeline.name)
    heal = f"{HEAL} PIPELINE={pipeline.name}"
    if gap.reason == REASONS["missing"]:
        accept = f"make accept PIPELINE={pipeline.name} DATE={gap.date}"
        return f"{heal} when it has arrived, {accept} if it never comes"
    if gap.reason == REASONS["rejected"]:
        return f"correct the delivery, then {heal}"
    return heal


def _gaps(ledger: Ledger, pipeline: Pipeline, now: dt.datetime) -> Iterator[_Gap]:
    """Yield the dates up to yesterday that were not made, in order."""
    hours, schedule = pipeline.monitoring.late_after_hours, pipeline.schedule
    if hours is None or schedule is None:
        return
    patience = dt.timedelta(hours=hours)
    first_dates = _first_dates(ledger)
    runs = croniter(schedule)  # once, because parsing a schedule takes longer than a step
    for date in _expected_dates(ledger, pipeline, now.date() - DAY):
        if not pipeline.source.has_delivery(date):
            continue
        gap = _gap_in_bronze(ledger, date) or _gap_downstream(ledger, date, first_dates)
        if gap is None:
            continue
        last_day = date
        if gap.reason == REASONS["missing"]:
            # The file of a month is complete when the month has ended.
            last_day = pipeline.source.last_day(date)
        due = max(_due(runs, last_day), gap.input_time)
        yield replace(gap, since=due + patience)


def _first_dates(ledger: Ledger) -> dict[str, dt.date | None]:
    """Return the first date of each derived table; None for one that is not in use."""
    first_dates: dict[str, dt.date | None] = {}
    for derivation in DERIVED:
        table = derivation.table
        first_dates[table] = min(ledger.of_table(table), default=None)
    return first_dates


def _gap_in_bronze(ledger: Ledger, date: dt.date) -> _Gap | None:
    entry = ledger.get("bronze", date)
    if entry is not None and entry.state in SETTLED:
        return None
    return _Gap(date, "bronze", _reason(entry))


def _reason(entry: Entry | None) -> str:
    """Return why bronze lacks a date with this entry."""
    if entry is None:
        return NOT_RUN
    if entry.made_from == IN_WORK:
        return UNFINISHED
    return REASONS.get(entry.state, entry.state)


def _gap_downstream(
    ledger: Ledger, date: dt.date, first_dates: Mapping[str, dt.date | None]
) -> _Gap | None:
    """Return the first table that lacks ``date`` although its input has rows, or None.

    Dates before the first one of a table are not expected of it.
    """
    for derivation in DERIVED:
        table = derivation.table
        first = first_dates[table]
        source = ledger.get(derivation.upstream, date)
        is_expected = first is not None and date >= first
        if not is_expected or source is None or not source.has_rows:
            continue
        if ledger.get(table, date) is None:
            # A date that was ingested late has as much time from then on.
            return _Gap(date, table, NOT_MADE, source.time or LONG_AGO)
    return None


def _due(runs: croniter, date: dt.date) -> dt.datetime:
    """Return when the first of ``runs`` after the end of ``date`` starts."""
    end = dt.datetime.combine(date + DAY, dt.time(), dt.UTC)
    # The iterator returns times after its start only, and a run at the end itself counts.
    start = end - dt.timedelta(seconds=1)
    due: dt.datetime = runs.get_next(dt.datetime, start_time=start)
    return due


def _expected_dates(ledger: Ledger, pipeline: Pipeline, last: dt.date) -> list[dt.date]:
    """Return the dates up to ``last`` that the pipeline should have made."""
    if not ledger.of_table("bronze"):
        return _dates_before_the_first_run(pipeline, last)
    if not keeps_up(ledger, pipeline):
        return []
    if pipeline.is_snapshot:
        return _expected_snapshots(ledger, last)
    first = ledger.first_date(pipeline.source.lookback_days)
    if first is None:
        return []
    return days_between(first, last)


def _dates_before_the_first_run(pipeline: Pipeline, last: dt.date) -> list[dt.date]:
    """Return the dates since a ``start_date`` that is recent: one of years ago owes nothing."""
    start = pipeline.start_date
    is_recent = (last - start).days <= pipeline.source.lookback_days
    if "start_date" in pipeline.model_fields_set and is_recent:
        return days_between(start, last)
    return []


def _expected_snapshots(ledger: Ledger, last: dt.date) -> list[dt.date]:
    """Return the newest snapshot and the dates on which another one was due."""
    return [*_settled_dates(ledger)[-1:], *due_snapshots(ledger, last)]


def due_snapshots(ledger: Ledger, last: dt.date) -> list[dt.date]:
    """Return the dates after the newest snapshot, up to ``last``, on which another one was due.

    Earlier gaps cannot be closed any more.
    """
    newest = _settled_dates(ledger)[-2:]
    if not newest:
        return days_between(min(ledger.of_table("bronze")), last)
    interval = max(newest[-1] - newest[0], DAY)
    return days_between(newest[-1] + interval, last)


def _settled_dates(ledger: Ledger) -> list[dt.date]:
    """Return the dates of bronze that need no more work, in order."""
    entries = ledger.of_table("bronze")
    return sorted(date for date, entry in entries.items() if entry.state in SETTLED)


def volume_excluded(pipeline: Pipeline) -> str:
    """Return why volumes of the pipeline are not compared; empty if they are."""
    if pipeline.monitoring.volume is None:
        return "monitoring.volume is null"
    if pipeline.is_snapshot:
        return "every snapshot has the whole of the source"
    if pipeline.is_undated and pipeline.source.period != "day":
        return f"the rows of a {pipeline.source.period} all belong to its first day"
    return ""


def recent_volumes(ledger: Ledger, pipeline: Pipeline, now: dt.datetime) -> Iterator[DayVolume]:
    """Yield the unusual volumes among the newest dates that were written in the last days."""
    levels = pipeline.monitoring.volume
    if levels is None or volume_excluded(pipeline):
        return
    bronze, counts = ledger.of_table("bronze"), _counts(ledger, pipeline)
    earliest = now - dt.timedelta(days=NEWEST)
    for date in sorted(counts)[-NEWEST:]:
        time = bronze[date].time
        if time is None or time < earliest:
            continue
        volume = _compared(date, counts, levels)
        if volume is not None and volume.level != "ok":
            yield volume


def day_volume(ledger: Ledger, pipeline: Pipeline, date: dt.date) -> DayVolume | None:
    """Return the volume of ``date``, or None if it cannot be compared."""
    levels = pipeline.monitoring.volume
    if levels is None or volume_excluded(pipeline):
        return None
    return _compared(date, _counts(ledger, pipeline), levels)


def _compared(date: dt.date, counts: Mapping[dt.date, int], levels: Levels) -> DayVolume | None:
    """Return the volume of ``date``, which may continue that of the counted date before."""
    volume = volume_of(date, counts, levels)
    before = max((other for other in counts if other < date), default=None)
    if volume is None or before is None:
        return volume
    previous = volume_of(before, counts, levels)
    is_continued = previous is not None and _is_as_unusual(previous, volume)
    return volume.model_copy(update={"is_continued": is_continued})


def _is_as_unusual(previous: DayVolume, volume: DayVolume) -> bool:
    """Return True if ``previous`` differs in the direction of ``volume``, and at least as much."""
    is_same_direction = (previous.change > 0) == (volume.change > 0)
    return is_same_direction and previous.level in (volume.level, "alarm")


def _counts(ledger: Ledger, pipeline: Pipeline) -> dict[dt.date, int]:
    """Return the rows of each date that has a delivery by the calendar of the source."""
    counts = {}
    for date, entry in ledger.of_table("bronze").items():
        is_counted = entry.state in COUNTED and pipeline.source.has_delivery(date)
        if is_counted and entry.rows is not None:
            counts[date] = entry.rows
    return counts
