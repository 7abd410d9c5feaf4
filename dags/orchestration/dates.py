"""Which event dates a run is about."""

import datetime as dt
from typing import Any


def last_date(params: Any, dag_run: Any) -> str:
    """``end`` of the trigger form, or the last whole day of the data interval: a daily run is about the day before.

    A run triggered without a logical date has no interval: it is about the day before it was asked for.
    """
    if params["end"]:
        return str(params["end"])
    if dag_run.data_interval_start is not None:
        last = max(dag_run.data_interval_start, dag_run.data_interval_end - dt.timedelta(days=1))
        return f"{last:%Y-%m-%d}"
    return f"{dag_run.run_after - dt.timedelta(days=1):%Y-%m-%d}"


def first_date(params: Any, dag_run: Any) -> str:
    """``start`` of the trigger form; else the last date if that was given, or the day the data interval begins with."""
    if params["start"]:
        return str(params["start"])
    if params["end"] or dag_run.data_interval_start is None:
        return last_date(params, dag_run)
    return f"{dag_run.data_interval_start:%Y-%m-%d}"
