"""The event dates of a DAG run."""

import datetime as dt
from typing import Any


def last_date(params: Any, dag_run: Any) -> str:
    """Return ``end`` of the trigger form, or else the last whole day of the data interval.

    That is the day before a daily run. A run triggered without a logical date has no data interval,
    and uses the day before the trigger.
    """
    if params["end"]:
        return str(params["end"])
    if dag_run.data_interval_start is not None:
        last = max(dag_run.data_interval_start, dag_run.data_interval_end - dt.timedelta(days=1))
        return f"{last:%Y-%m-%d}"
    return f"{dag_run.run_after - dt.timedelta(days=1):%Y-%m-%d}"


def first_date(params: Any, dag_run: Any) -> str:
    """Return ``start`` of the trigger form, or else the first date of the run.

    That is the last date if the form has one, and otherwise the first day of the data interval. The
    action ``heal`` without a first date covers all dates since the first run.
    """
    if params["start"]:
        return str(params["start"])
    if params["action"] == "heal":
        return ""
    if params["end"] or dag_run.data_interval_start is None:
        return last_date(params, dag_run)
    return f"{dag_run.data_interval_start:%Y-%m-%d}"


def catch_up_mode(params: Any) -> str:
    """Return the value of ``--catch-up`` for the jobs of a run."""
    if params["action"] == "heal":
        return "only"
    return "yes" if params["catch_up"] else "no"


def if_changed(dag_run: Any) -> str:
    """Return the value of ``--if-changed``: a backfill leaves dates that have not changed."""
    return "yes" if dag_run.run_type == "backfill" else "no"


def owed_since(params: Any, dag_run: Any, start_date: str, lookback_days: int) -> str:
    """Return ``start_date`` for a scheduled run not long after it, else an empty string.

    A pipeline that was unpaused some days late has missed these days. A start date
    years ago only allows runs of any date.
    """
    if dag_run.run_type != "scheduled":
        return ""
    days = dt.date.fromisoformat(last_date(params, dag_run)) - dt.date.fromisoformat(start_date)
    if days.days > lookback_days:
        return ""
    return start_date
