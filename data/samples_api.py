"""A web service that gives noisy samples of a line: the source of the pipeline `line`, and a stand-in for an API of
your own. `make ui` starts it beside the rest; alone it is `uvicorn --app-dir data samples_api:app`, and
http://127.0.0.1:8000/docs shows what it takes.
"""

import datetime as dt
from typing import Annotated

import numpy as np
from fastapi import FastAPI, Query, Request
from pydantic import BaseModel, Field

app = FastAPI(title="Samples of a line", description=__doc__)


class Sample(BaseModel):
    """One sample. About one in two hundred has no number for ``y``, as happens with sensors."""

    id: int
    x: float = Field(ge=0, le=1)
    y: float | str | None


class Page(BaseModel):
    """Some of the date's samples, and where the next ones are."""

    samples: list[Sample]
    next: str | None


@app.get("/samples")
def samples(
    request: Request,
    date: Annotated[
        dt.date, Query(description="the same date has the same samples, whenever it is asked for")
    ],
    n: Annotated[int, Query(description="samples of the date", ge=1, le=1_000_000)] = 1000,
    slope: float = 2.0,
    intercept: float = 1.0,
    noise: Annotated[
        float, Query(description="standard deviation of what is added to y", ge=0)
    ] = 0.1,
    page: Annotated[int, Query(ge=1)] = 1,
    size: Annotated[int, Query(description="samples of a page", ge=1, le=10_000)] = 500,
) -> Page:
    """The samples ``y = slope * x + intercept + noise`` of a date, ``x`` evenly spread over 0 to 1."""
    first, last = min((page - 1) * size, n), min(page * size, n)
    x, errors, chance = _draw(date, n)
    y = slope * x + intercept + noise * errors
    found = [
        Sample(
            id=place, x=round(float(x[place]), 6), y=_told(float(y[place]), float(chance[place]))
        )
        for place in range(first, last)
    ]
    following = str(request.url.include_query_params(page=page + 1)) if last < n else None
    return Page(samples=found, next=following)


def _draw(date: dt.date, n: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Three streams of their own, so that more samples of a date begin with the fewer ones."""
    streams = [np.random.default_rng([date.toordinal(), stream]) for stream in range(3)]
    return streams[0].random(n), streams[1].standard_normal(n), streams[2].random(n)


def _told(y: float, chance: float) -> float | str | None:
    if chance < 0.003:
        return None
    return "n/a" if chance < 0.005 else round(y, 6)
