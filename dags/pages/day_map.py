"""The page `Map of days` with the states of all pipelines, which Airflow's API server serves.

Airflow mounts the applications of plugins without a log-in, so each route here requires one.
"""

import datetime as dt
import os
import secrets
from dataclasses import replace
from typing import Annotated

from airflow.api_fastapi.app import get_auth_manager
from airflow.api_fastapi.core_api.security import GetUserDep, requires_access_dag
from fastapi import Depends, FastAPI, HTTPException, Query, Request
from fastapi.responses import HTMLResponse
from markupsafe import escape

from batchml import config
from batchml.errors import PipelineError
from batchml.report.calendar import DAYS
from batchml.report.conditions import PipelineState
from batchml.report.links import Links
from batchml.report.map_page import render_overview, render_pipeline
from batchml.workflow.conditions import read_state
from batchml.workflow.day_map import Span
from batchml.workflow.freshness import freshness_of
from batchml.workflow.stored import read_stored

DayCount = Annotated[int, Query(ge=1, le=2000)]
LastDay = Annotated[dt.date | None, Query(ge=dt.date(1970, 1, 1))]


def create_app() -> FastAPI:
    """Return the application. Each of its routes requires a user who may read DAGs."""
    app = FastAPI(
        title="Map of days",
        dependencies=[Depends(requires_access_dag(method="GET"))],
        docs_url=None,
        redoc_url=None,
        openapi_url=None,
    )
    app.exception_handler(HTTPException)(_error_page)
    app.get("/days")(show_all)
    app.get("/days/{dag_id}")(show_one)
    return app


# Functions and not coroutines, so FastAPI runs them in threads: reading the ledgers takes time.
def show_all(user: GetUserDep, days: DayCount = DAYS, end: LastDay = None) -> HTMLResponse:
    """Show the state and the last days of each pipeline that the user may read."""
    span = _span(days, end)
    names = set(config.pipeline_names(config.conf_folder()))
    allowed = get_auth_manager().filter_authorized_dag_ids(dag_ids=names, user=user)
    states: list[PipelineState] = []
    problems: list[str] = []
    for name in sorted(allowed):
        try:
            states.append(_read(name, span))
        except PipelineError as error:
            problems.append(f"{name}: {error}")
    nonce = secrets.token_urlsafe(16)
    return _page(render_overview(states, problems, _links(".."), nonce), nonce)


def show_one(dag_id: str, days: DayCount = DAYS, end: LastDay = None) -> HTMLResponse:
    """Show the state and each date of one pipeline."""
    if dag_id not in config.pipeline_names(config.conf_folder()):
        raise HTTPException(404, f"There is no pipeline {dag_id}.")
    try:
        state = _read(dag_id, _span(days, end))
    except PipelineError as error:
        raise HTTPException(503, str(error)) from error
    if state.day_map is None:
        raise HTTPException(404, f"{dag_id} has not been run yet.")
    nonce = secrets.token_urlsafe(16)
    return _page(render_pipeline(state, _links("../.."), nonce), nonce)


def _span(days: int, end: dt.date | None) -> Span:
    today = dt.datetime.now(dt.UTC).date()
    if end is not None:
        end = min(end, today)  # the map has a row for each date up to its end
    return Span(days, today - dt.timedelta(days=1), end, monitored_days=days)


def _read(name: str, span: Span) -> PipelineState:
    """Return the state of the pipeline with its map."""
    conf = config.conf_folder()
    places = config.load_places(config.default_env(), conf, os.environ)
    stored = read_stored(places, config.load_pipeline(name, conf))
    now = dt.datetime.now(dt.UTC)
    freshness = freshness_of(stored.ledger, stored.pipeline, now)
    return read_state(stored, freshness, span, now)


def _links(root: str) -> Links:
    """Return the addresses. ``root`` is the relative one of Airflow.

    A server behind a proxy knows neither the scheme nor the prefix that the browser uses.
    """
    return replace(Links.from_environment(), airflow=root)


def _page(text: str, nonce: str) -> HTMLResponse:
    """Return a page that runs only its own script, and connects only to this server."""
    policy = (
        f"default-src 'none'; style-src 'nonce-{nonce}'; script-src 'nonce-{nonce}'; "
        "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'self'"
    )
    headers = {"Content-Security-Policy": policy, "Cache-Control": "no-store"}
    return HTMLResponse(text, headers=headers)


def _error_page(_: Request, error: HTTPException) -> HTMLResponse:
    """Return the error in plain words."""
    text = f"<!doctype html><title>Map of days</title><p>{escape(error.detail)}</p>"
    if error.status_code == 401:
        text += "<p>Log in to Airflow, then reload this page.</p>"
    return HTMLResponse(text, status_code=error.status_code, headers=error.headers)
