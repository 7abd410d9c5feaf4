"""What is delivered period by period: which periods a range of dates asks for, and what came, as one extract."""

import datetime as dt
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import reduce

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from batchml.config.sources import DatedSource, days_between
from batchml.sources.extract import Extract, Request


@dataclass(frozen=True)
class Delivery:
    """A period's rows in the columns of an Extract, and where their schema departed from the declared one."""

    frame: DataFrame
    differences: tuple[str, ...] = ()


def asked(request: Request) -> list[dt.date]:
    """The first days of the periods that hold a date of the range. A snapshot is read anew for every date it is held
    for, unless its rows carry their own date."""
    source = request.pipeline.source
    if source.period == "snapshot" and source.event_time is not None:
        return [request.start]
    return list(dict.fromkeys(source.first_day(day) for day in days_between(request.start, request.end)))


def gather(request: Request, delivered: Mapping[dt.date, Delivery], missing: Sequence[str]) -> Extract:
    """The rows of the request's dates, of deliveries by the first day of their period."""
    frame = reduce(DataFrame.unionByName, [delivery.frame for delivery in delivered.values()])
    wanted = F.col("event_date").between(F.lit(request.start), F.lit(request.end))
    differences = tuple(difference for delivery in delivered.values() for difference in delivery.differences)
    return Extract(frame.where(wanted), _covered(request, delivered), differences, tuple(missing))


def dated(source: DatedSource, first_day: dt.date) -> dict[str, Column]:
    """``event_date`` and ``in_period``: a row outside its period is filed under the period's first day."""
    if source.event_time is None:
        return {"event_date": F.lit(first_day), "in_period": F.lit(True)}
    day = F.to_date(source.event_time)
    if source.period == "snapshot":
        return {"event_date": F.coalesce(day, F.lit(first_day)), "in_period": day.isNotNull()}
    unit = {"day": "DAY", "month": "MONTH", "year": "YEAR"}[source.period]
    inside = F.coalesce(
        F.trunc(day, unit) == F.lit(first_day) if unit != "DAY" else day == F.lit(first_day), F.lit(False)
    )
    return {"event_date": F.when(inside, day).otherwise(F.lit(first_day)), "in_period": inside}


def _covered(request: Request, delivered: Mapping[dt.date, Delivery]) -> frozenset[dt.date]:
    """The dates of the request that the source could answer for."""
    source = request.pipeline.source
    days = days_between(request.start, request.end)
    if source.period == "snapshot" and source.event_time is not None:
        return frozenset(days)
    return frozenset(day for day in days if source.first_day(day) in delivered)
