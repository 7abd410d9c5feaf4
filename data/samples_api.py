"""Serve noisy samples of a line: the source of the pipeline `line`, and an example of a web API.

`make ui` starts it with the other services. To start it alone, run
`uvicorn --app-dir data samples_api:app`. http://127.0.0.1:8000/docs lists its parameters.
"""

import datetime as dt
from typing import Annotated

import numpy as np
from fastapi import FastAPI, Query, Request
from pydantic import BaseModel, Field

app = FastAPI(title="Samples of a line", description=__doc__)


class Sample(BaseModel):
    """One sample. For about one in two hundred, ``y`` is not a number."""

    id: int
    x: float = Field(ge=0, le=1)
    y: float | str | None


class Page(BaseModel):
    """Some of the date's samples, and the address of the next page."""

    samples: list[Sample]
    next: str | None


class Parameters(BaseModel):
    """The parameters of a request."""

    date: dt.date = Field(description="every request for a date returns the same samples")
    n: int = Field(1000, description="number of samples of the date", ge=1, le=1_000_000)
    slope: float = 2.0
    intercept: float = 1.0
    noise: float = Field(0.1, description="standard deviation of the noise in y", ge=0)
    page: int = Field(1, ge=1)
    size: int = Field(500, description="number of samples per page", ge=1, le=10_000)


@app.get("/samples")
def samples(request: Request, parameters: Annotated[Parameters, Query()]) -> Page:
    """Return samples ``y = slope * x + intercept + noise`` of a date, with ``x`` from 0 to 1."""
    first = min((parameters.page - 1) * parameters.size, parameters.n)
    last = min(parameters.page * parameters.size, parameters.n)
    x, errors, chance = _draw(parameters.date, parameters.n)
    y = parameters.slope * x + parameters.intercept + parameters.noise * errors

    samples = []
    for number in range(first, last):
        sample = Sample(
            id=number,
            x=round(float(x[number]), 6),
            y=_with_gaps(float(y[number]), float(chance[number])),
        )
        samples.append(sample)

    next_page = None
    if last < parameters.n:
        next_page = str(request.url.include_query_params(page=parameters.page + 1))
    return Page(samples=samples, next=next_page)


def _draw(date: dt.date, n: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return ``n`` values each of x, of the error, and of the chance of a gap.

    Each has a separate random stream, so that a larger ``n`` only adds samples.
    """
    seed = date.toordinal()
    x = np.random.default_rng([seed, 0]).random(n)
    errors = np.random.default_rng([seed, 1]).standard_normal(n)
    chance = np.random.default_rng([seed, 2]).random(n)
    return x, errors, chance


def _with_gaps(y: float, chance: float) -> float | str | None:
    """Return ``y``, or a value that is not a number if ``chance`` is small."""
    if chance < 0.003:
        return None
    if chance < 0.005:
        return "n/a"
    return round(y, 6)
