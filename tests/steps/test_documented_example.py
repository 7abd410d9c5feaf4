"""Run the complete example of docs/pipelines.md, unchanged."""

import datetime as dt
import re
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from batchml.config import load_pipeline
from orchestration.pipeline_dag import build_dag

PAGE = Path(__file__).resolve().parents[2] / "docs" / "pipelines.md"


def recipe() -> str:
    """Return the one YAML of the page that names its file."""
    blocks = re.findall(
        r"```yaml\n(# conf/pipelines/rides\.yaml\n.*?)```", PAGE.read_text(), re.DOTALL
    )
    assert len(blocks) == 1
    return blocks[0]


def deliver(landing: Path, day: dt.date) -> None:
    """Write a day of 60 rides, three kilometres in ten minutes. One ends before it begins."""
    started = [dt.datetime.combine(day, dt.time(n % 24, n)) for n in range(60)]
    kilometres = [1.0 + n % 9 for n in range(60)]
    ended = [
        begin + dt.timedelta(minutes=10 / 3 * length)
        for begin, length in zip(started, kilometres, strict=True)
    ]
    ended[7] = started[7] - dt.timedelta(minutes=1)
    columns = {
        "started": pa.array(started, pa.timestamp("us")),
        "ended": pa.array(ended, pa.timestamp("us")),
        "station": ["north", "south", "west"] * 20,
        "kilometres": kilometres,
    }
    if day != dt.date(2024, 5, 2):  # the column is optional
        columns["rider_age"] = [20.0 + n for n in range(60)]
    pq.write_table(pa.table(columns), landing / f"rides_{day}.parquet")


def test_documented_example_runs(workbench):
    (workbench.conf / "pipelines" / "rides.yaml").write_text(recipe())
    days = [dt.date(2024, 5, 1) + dt.timedelta(days=n) for n in range(5)]
    for day in days:
        deliver(Path(workbench.places.landing), day)
    first, end, after = str(days[0]), str(days[3]), str(days[4])

    ingested = workbench.run("ingest", "rides", first, after)
    assert ingested.details.rejected == {"ride_takes_time": 5}
    assert ingested.details.warned == {"age_is_known": 60}
    workbench.run("build_features", "rides", first, after)
    workbench.run("train_model", "rides", end)
    assert workbench.run("evaluate_model", "rides", end).details.passed
    workbench.run("promote_model", "rides", end)
    assert workbench.run("score_batch", "rides", after).details.realised["rows"] == 59


def test_documented_example_has_a_dag(workbench):
    (workbench.conf / "pipelines" / "rides.yaml").write_text(recipe())
    assert build_dag(load_pipeline("rides", workbench.conf)).dag_id == "rides"
