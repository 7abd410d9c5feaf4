"""Every job of taxi on large months, at the default settings and under a hard limit of memory.

``make test-long`` runs them, for an hour or more: CI does not.
"""

import json
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from batchml.errors import BadConfig
from benchmarks.compare_with_spark import write_month
from benchmarks.environment import ROOT, environment, places
from tests.long.memory_limit import memory_limit

LIMIT = 4 << 30
# XGBoost needs all rows to fit on in memory, and those of this month need more than the limit.
TOO_MANY_TO_FIT = 20_000_000
MONTH = ("--start", "2021-01-01", "--end", "2021-01-31")
LAST = ("--end", "2021-01-31")
JOBS = {
    "ingest": MONTH,
    "build_features": MONTH,
    "train_model": LAST,
    "evaluate_model": LAST,
    "promote_model": LAST,
    "score_batch": (*MONTH, "--with", "1"),
    "monitor_drift": MONTH,
    "report_day": LAST,
    "maintain_tables": LAST,
}
OF_TABLES = ("ingest", "build_features")
Run = tuple[int, dict[str, str]]


@pytest.fixture(params=[3_000_000, 10_000_000, TOO_MANY_TO_FIT])
def month(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Run]:
    """Return a month of so many rows, and the environment of jobs on it."""
    yield from delivered(tmp_path, request.param, None)


@pytest.fixture
def date(tmp_path: Path) -> Iterator[Run]:
    """Ten million rows on one date."""
    yield from delivered(tmp_path, 10_000_000, "2021-01-15")


def delivered(folder: Path, rows: int, date: str | None) -> Iterator[Run]:
    write_month(folder / "landing", rows, date)
    yield rows, environment(places(folder / "landing", folder))
    shutil.rmtree(folder)


def submit(job: str, run: Run, *settings: str) -> tuple[int, dict[str, Any]]:
    """Run a job within the limit, and return its exit code and last line."""
    rows, variables = run
    words = ["spark-submit", f"jobs/{job}.py", "--pipeline", "taxi", *JOBS[job]]
    for setting in settings:
        words += ["--set", setting]
    begun = time.monotonic()
    with memory_limit(LIMIT) as limited:
        done = subprocess.run(
            [*limited, *words], capture_output=True, text=True, check=False, cwd=ROOT, env=variables
        )
    seconds = time.monotonic() - begun
    sys.stderr.write(f"{rows:>12,} rows  {job:<16} {seconds:6.1f} s  exit {done.returncode}\n")
    assert done.stdout, done.stderr
    line: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return done.returncode, line


def test_every_job_stays_within_memory_limit(month: Run):
    for job in JOBS:
        code, line = submit(job, month)
        if job == "train_model" and month[0] == TOO_MANY_TO_FIT:
            assert code == BadConfig.exit_code, line
            assert "rows to fit on do not fit into memory" in line["error"]["message"]
            code, line = submit(job, month, "training.window_days=14")
        assert code == 0, line


def test_large_date_stays_within_memory_limit(date: Run):
    for job in OF_TABLES:
        code, line = submit(job, date)
        assert code == 0, line
