"""Compare ``ingest`` and ``build_features`` of one large month with the same work in bare Spark.

    make bench
    make bench ROWS=3000000 RUNS=1

Both sides run as two applications with the same heap, packages and settings file, and with Java's
default compiler, in turn. The rows are those of the sample month of ``taxi``, drawn at random. The
memory is the peak of what a run's processes hold together (PSS), sampled twice a second.
"""

import argparse
import json
import shutil
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import psutil
import pyarrow as pa
import pyarrow.parquet as pq

from benchmarks.environment import BINARIES, ROOT, environment
from local.samples.green_taxi import green_taxi_month

MONTH = "2021-01"
DATES = ["--pipeline", "taxi", "--start", "2021-01-01", "--end", "2021-01-31"]
DEFAULT_COMPILER = ["--conf", "spark.driver.extraJavaOptions="]
GROUP = 500_000
SEED = 7


@dataclass(frozen=True)
class Measured:
    """One application: seconds from start to exit, and the peak of its memory in bytes."""

    seconds: float
    memory: int
    output: str


def main() -> None:
    """Run both sides ``--runs`` times in turn, and print medians and ratio."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=10_000_000)
    parser.add_argument("--runs", type=int, default=5)
    given = parser.parse_args()

    seconds: dict[str, list[float]] = {}
    memory: dict[str, int] = {}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        source = write_month(folder / "landing", given.rows)
        for _ in range(given.runs):
            for part, measured in [*run_bare(source, folder), *run_jobs(source.parent, folder)]:
                seconds.setdefault(part, []).append(measured.seconds)
                memory[part] = max(memory.get(part, 0), measured.memory)
                print(f"{part:>16}  {measured.seconds:6.1f} s", flush=True)

    medians = {part: statistics.median(times) for part, times in seconds.items()}
    for part, median in medians.items():
        print(f"{part:>16}  median {median:6.1f} s, at most {memory[part] / 1e9:.2f} GB")
    ours = medians["ingest"] + medians["build_features"]
    print(f"ratio {ours / (medians['bare ingest'] + medians['bare features']):.2f}")


def write_month(landing: Path, rows: int) -> Path:
    """Write a month of ``rows`` trips, drawn from the sample's, with varied distances."""
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
            writer.write_table(drawn.set_column(place, "trip_distance", distance))
    return path


def run_bare(source: Path, folder: Path) -> list[tuple[str, Measured]]:
    """Run the bare script's two applications on an empty lake."""
    lake = folder / "bare"
    script = str(ROOT / "benchmarks" / "bare_spark.py")
    try:
        return [
            (f"bare {part}", submit([script, part, str(source), str(lake)], {}))
            for part in ("ingest", "features")
        ]
    finally:
        shutil.rmtree(lake, ignore_errors=True)


def run_jobs(landing: Path, folder: Path) -> list[tuple[str, Measured]]:
    """Run the pipeline's two jobs on an empty lake."""
    lake = folder / "lake"
    settings = {"BATCHML_LANDING": str(landing), "BATCHML_LAKE": str(lake)}
    found = []
    try:
        for job in ("ingest", "build_features"):
            measured = submit([str(ROOT / "jobs" / f"{job}.py"), *DATES], settings)
            assert json.loads(measured.output.splitlines()[-1])["status"] == "done"
            found.append((job, measured))
    finally:
        shutil.rmtree(lake, ignore_errors=True)
    return found


def submit(arguments: Sequence[str], settings: dict[str, str]) -> Measured:
    """Run one application to its end; end the benchmark if it fails."""
    command = [str(BINARIES / "spark-submit"), *DEFAULT_COMPILER, *arguments]
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
        sys.exit(f"{arguments[0]}: exit code {process.returncode}\n{output}{errors[-2000:]}")
    return Measured(time.monotonic() - begun, max(peaks), output)


def sample(driver: int, peaks: list[int], ended: threading.Event) -> None:
    """Append the memory of a process and of all it started to ``peaks`` until the run has ended."""
    while not ended.wait(0.5):
        with suppress(psutil.NoSuchProcess):
            process = psutil.Process(driver)
            peaks.append(sum(map(held, [process, *process.children(recursive=True)])))


def held(process: psutil.Process) -> int:
    """Return the memory of a process in bytes, with its part of shared pages."""
    try:
        return int(process.memory_full_info().pss)
    except psutil.Error:
        return 0


if __name__ == "__main__":
    main()
