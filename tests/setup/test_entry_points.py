"""The entry points of the jobs, as processes."""

import subprocess
import sys
from pathlib import Path

import pytest

JOBS = Path(__file__).resolve().parents[2] / "jobs"
NAMES = [
    *(
        "build_features",
        "evaluate_model",
        "ingest",
        "maintain_tables",
        "monitor_drift",
        "preflight",
        "promote_model",
    ),
    *("report_day", "score_batch", "train_model"),
]


def test_jobs_have_the_expected_names():
    assert sorted(path.stem for path in JOBS.glob("*.py")) == NAMES


@pytest.mark.parametrize("job", NAMES)
def test_entry_point_has_under_ten_lines(job: str):
    assert len((JOBS / f"{job}.py").read_text().splitlines()) < 10


@pytest.mark.parametrize("job", NAMES)
def test_entry_point_shadows_no_module(job: str):
    # Outside of the project a module of that name would be another's.
    found = f"import importlib.util as u; print(u.find_spec({job!r}))"
    command = [sys.executable, "-I", "-c", found]
    assert (
        subprocess.run(command, capture_output=True, text=True, check=True, cwd="/").stdout
        == "None\n"
    )


def test_help_lists_arguments_with_exit_codes():
    command = [sys.executable, JOBS / "ingest.py", "--help"]
    text = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    for expected in (
        "--pipeline",
        "--start",
        "--end",
        "--set",
        "--env",
        "99",
        "spark-submit jobs/ingest.py",
    ):
        assert expected in text
