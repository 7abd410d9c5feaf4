"""Which event dates a run is about."""

import datetime as dt
from typing import Any


def last_date(params: Any, dag_run: Any) -> str:
    """``end`` of the trigger form, or the day the data interval begins with: a daily run is about the day that is over.

    A run triggered without a logical date has no interval: it is about the day before it was asked for.
    """
    if params["end"]:
        return str(params["end"])
    if dag_run.data_interval_start is not None:
        return f"{dag_run.data_interval_start:%Y-%m-%d}"
    return f"{dag_run.run_after - dt.timedelta(days=1):%Y-%m-%d}"


def first_date(params: Any, dag_run: Any) -> str:
    """``start`` of the trigger form, or the last date: a run is about one day unless it is told otherwise."""
    return str(params["start"] or last_date(params, dag_run))
