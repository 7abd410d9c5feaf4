"""Which event dates a run is about."""

import datetime as dt
from typing import Any


def last_date(params: Any, dag_run: Any) -> str:
    """Return ``end`` of the trigger form, or else the last whole day of the data interval.

    A daily run is about the day before. A run triggered without a logical date has no interval: it
    is about the day before the trigger.
    """
    if params["end"]:
        return str(params["end"])
    if dag_run.data_interval_start is not None:
        last = max(dag_run.data_interval_start, dag_run.data_interval_end - dt.timedelta(days=1))
        return f"{last:%Y-%m-%d}"
    return f"{dag_run.run_after - dt.timedelta(days=1):%Y-%m-%d}"


def first_date(params: Any, dag_run: Any) -> str:
    """Return ``start`` of the trigger form, or else the first date of the run.

    That is the last date if the form has one, and otherwise the first day of the data interval.
    """
    if params["start"]:
        return str(params["start"])
    if params["end"] or dag_run.data_interval_start is None:
        return last_date(params, dag_run)
    return f"{dag_run.data_interval_start:%Y-%m-%d}"
