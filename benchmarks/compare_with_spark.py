"""Compare the jobs of one large month with the same work in bare Spark and in native XGBoost.

    make bench
    make bench ROWS=3000000 RUNS=1 PARTS=tables

``tables``: ``ingest`` and ``build_features`` against a script that reads and writes the same rows
as many times. ``models``: ``train_model`` against XGBoost without Spark, and ``evaluate_model``,
``score_batch`` and ``monitor_drift`` against a script that applies the same model to the same
dates.

Both sides run in turn, as one application each, with the same heap, packages and settings file, and
with Java's default compiler. The rows are those of the sample month of ``taxi``, drawn at random.
The memory is the peak of a run's processes together (PSS), sampled twice a second.
"""

import argparse
import datetime as dt
import json
import shlex
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import psutil
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from batchml.config import load_pipeline
from batchml.models.splits import Windows, windows_up_to
from benchmarks.environment import BINARIES, ROOT, environment, places
from local.samples.green_taxi import green_taxi_month

MONTH = "2021-01"
FIRST_DATE = "2021-01-01"
LAST_DATE = "2021-01-31"
LAST = ["--end", LAST_DATE]
MONTH_DATES = ["--start", FIRST_DATE, "--end", LAST_DATE]
WITH_FIRST_VERSION = ["--with", "1"]
TAXI = load_pipeline("taxi", ROOT / "conf")
PARTS = ("tables", "models")
PAIRS: tuple[tuple[tuple[str, ...], tuple[str, ...]], ...] = (
    (("ingest", "build_features"), ("bare ingest", "bare features")),
    (("train_model",), ("native XGBoost",)),
    (("evaluate_model",), ("bare evaluate",)),
    (("score_batch",), ("bare score",)),
    (("monitor_drift",), ("bare score",)),
)
# Without the quick compiler of the settings file.
SUBMIT = [str(BINARIES / "spark-submit"), "--conf", "spark.driver.extraJavaOptions="]
GROUP = 500_000
SEED = 7


@dataclass(frozen=True)
class Measured:
    """One application: seconds from start to exit, and the peak of its memory in bytes."""

    seconds: float
    memory: int
    output: str


@dataclass(frozen=True)
class Place:
    """The source files, and the folder of one round, with the lake and the models of both sides."""

    landing: Path
    folder: Path

    @property
    def month(self) -> Path:
        """Return the source file."""
        return self.landing / f"green_tripdata_{MONTH}.parquet"

    def job(self, name: str, arguments: list[str]) -> Measured:
        """Run a job of the pipeline."""
        words = [str(ROOT / "jobs" / f"{name}.py"), "--pipeline", "taxi"]
        measured = submit(words + arguments, places(self.landing, self.folder))
        assert json.loads(measured.output.splitlines()[-1])["status"] == "done"
        return measured

    def bare(self, part: str, lake: str, arguments: list[str]) -> Measured:
        """Run a part of the bare script on a folder of this round."""
        script = str(ROOT / "benchmarks" / "bare_spark.py")
        words = [script, part, str(self.folder / lake)]
        return submit(words + arguments, {})

    def model(self) -> str:
        """Return the folder of the trained model as Spark stores it."""
        (model,) = (self.folder / "artifacts").rglob("sparkml")
        return str(model)

    def native_training(self) -> Measured:
        """Fit without Spark on the rows that ``train_model`` fits on."""
        parts = training_windows()
        params = dict(TAXI.estimator.params) | {"random_state": TAXI.training.seed}
        description = {
            "table": str(self.folder / "lake" / "taxi" / "features"),
            "fit": [str(parts.fit.start), str(parts.fit.end)],
            "holdout": [str(parts.holdout.start), str(parts.holdout.end)],
            "numeric": TAXI.inputs.numeric,
            "categorical": TAXI.inputs.categorical,
            "label": TAXI.label,
            "params": params,
        }
        script = str(ROOT / "benchmarks" / "native_xgboost.py")
        return run([str(BINARIES / "python"), script, json.dumps(description)], {})


def main() -> None:
    """Run both sides ``--runs`` times in turn, and print medians and ratios."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=10_000_000)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=PARTS)
    arguments = parser.parse_args()

    measured: dict[str, list[Measured]] = {}
    with tempfile.TemporaryDirectory() as name:
        landing = Path(name, "landing")
        write_month(landing, arguments.rows)
        for _ in range(arguments.runs):
            with tempfile.TemporaryDirectory(dir=name) as folder:
                for part, result in run_round(Place(landing, Path(folder)), arguments.parts):
                    measured.setdefault(part, []).append(result)
                    print(f"{part:>16}  {result.seconds:6.1f} s", flush=True)

    print_results(measured)


def print_results(measured: dict[str, list[Measured]]) -> None:
    """Print the median and the memory of each part, and the ratios of both sides."""
    medians = {}
    for part, runs in measured.items():
        median = statistics.median([each.seconds for each in runs])
        memory = max([each.memory for each in runs])
        print(f"{part:>16}  median {median:6.1f} s, at most {memory / 1e9:.2f} GB")
        medians[part] = median
    for ours, theirs in PAIRS:
        if medians.keys() >= set(ours + theirs):
            seconds = sum(medians[part] for part in ours)
            other_seconds = sum(medians[part] for part in theirs)
            ratio = seconds / other_seconds
            print(f"ratio {ratio:.2f} of {' and '.join(ours)} to {' and '.join(theirs)}")


def run_round(place: Place, parts: Sequence[str]) -> Iterator[tuple[str, Measured]]:
    """Run both sides once, on an empty lake."""
    if "tables" in parts:
        yield "bare ingest", place.bare("ingest", "bare", [str(place.month)])
        yield "bare features", place.bare("features", "bare", [])
    yield "ingest", place.job("ingest", MONTH_DATES)
    yield "build_features", place.job("build_features", MONTH_DATES)
    if "models" not in parts:
        return
    yield "native XGBoost", place.native_training()
    yield "train_model", place.job("train_model", LAST)
    holdout = training_windows().holdout
    on_holdout = [place.model(), str(holdout.start), str(holdout.end)]
    yield "bare evaluate", place.bare("score", "lake/taxi", on_holdout)
    yield "evaluate_model", place.job("evaluate_model", LAST)
    place.job("promote_model", LAST)
    on_month = [place.model(), FIRST_DATE, LAST_DATE]
    yield "bare score", place.bare("score", "lake/taxi", on_month)
    yield "score_batch", place.job("score_batch", MONTH_DATES + WITH_FIRST_VERSION)
    yield "monitor_drift", place.job("monitor_drift", MONTH_DATES)


def write_month(landing: Path, rows: int, date: str | None = None) -> Path:
    """Write a month of ``rows`` trips, drawn from the sample's, with varied distances.

    With ``date`` all of them begin on that date, at the hour at which they began.
    """
    landing.mkdir()
    path = landing / f"green_tripdata_{MONTH}.parquet"
    month = green_taxi_month(MONTH)
    random = np.random.default_rng(SEED)
    place = month.schema.get_field_index("trip_distance")
    with pq.ParquetWriter(path, month.schema) as writer:
        for start in range(0, rows, GROUP):
            size = min(GROUP, rows - start)
            drawn = month.take(pa.array(random.integers(0, month.num_rows, size)))
            factor = 1 + 0.02 * random.standard_normal(size)
            distance = pa.array(np.asarray(drawn["trip_distance"]) * factor)
            drawn = drawn.set_column(place, "trip_distance", distance)
            if date is not None:
                drawn = moved(drawn, date)
            writer.write_table(drawn)
    return path


def moved(trips: pa.Table, date: str) -> pa.Table:
    """Return the trips with their times moved by whole days, so that all begin on ``date``."""
    begun = trips["lpep_pickup_datetime"]
    target = pa.scalar(dt.datetime.fromisoformat(date), begun.type)
    by = pc.subtract(target, pc.floor_temporal(begun))
    for name in ("lpep_pickup_datetime", "lpep_dropoff_datetime"):
        place = trips.schema.get_field_index(name)
        trips = trips.set_column(place, trips.schema.field(name), pc.add(trips[name], by))
    return trips


def training_windows() -> Windows:
    """Return the dates that ``train_model`` fits on, and those that its model is evaluated on."""
    return windows_up_to(dt.date.fromisoformat(LAST_DATE), TAXI.training)


def submit(arguments: list[str], settings: dict[str, str]) -> Measured:
    """Run one application of Spark to its end."""
    return run(SUBMIT + arguments, settings)


def run(command: Sequence[str], settings: dict[str, str]) -> Measured:
    """Run one side to its end; end the benchmark if it fails."""
    begun = time.monotonic()
    with subprocess.Popen(
        command,
        cwd=ROOT,
        env=environment(settings),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        peaks = [0]
        ended = threading.Event()
        watch = threading.Thread(target=sample, args=(process.pid, peaks, ended))
        watch.start()
        output, errors = process.communicate()
        ended.set()
        watch.join()
    if process.returncode:
        sys.exit(f"{shlex.join(command)}: exit code {process.returncode}\n{output}{errors[-2000:]}")
    return Measured(time.monotonic() - begun, max(peaks), output)


def sample(driver: int, peaks: list[int], ended: threading.Event) -> None:
    """Append the memory of a process and of all it started to ``peaks`` until the run has ended."""
    while not ended.wait(0.5):
        with suppress(psutil.NoSuchProcess):
            process = psutil.Process(driver)
            descendants = process.children(recursive=True)
            memory = sum(memory_of(each) for each in descendants)
            peaks.append(memory + memory_of(process))


def memory_of(process: psutil.Process) -> int:
    """Return the memory of a process in bytes, with its part of shared pages."""
    try:
        return int(process.memory_full_info().pss)
    except psutil.Error:
        return 0


if __name__ == "__main__":
    main()
