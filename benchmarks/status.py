"""Time the status of many pipelines with a long history, and print the median.

    PYTHONPATH=jobs .venv/bin/python -m benchmarks.status

The lake and the configuration are made in a temporary folder: each pipeline is `taxi` by another
name, with a file per date in every table.
"""

import argparse
import datetime as dt
import os
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from batchml.config import load_pipeline
from batchml.config.sources import days_between
from benchmarks.environment import ROOT
from tests.support.lakes import places, write_lake

COMMAND = [sys.executable, "-m", "batchml.commands.status"]


def main() -> None:
    """Make the lake, run the status ``--runs`` times, and print seconds and CPU seconds."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--pipelines", type=int, default=10)
    parser.add_argument("--days", type=int, default=400)
    parser.add_argument("--runs", type=int, default=5)
    arguments = parser.parse_args()

    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        make_lake(folder, arguments.pipelines, arguments.days)
        walls, cpus = [], []
        for _ in range(arguments.runs):
            wall, cpu = run_status(folder)
            print(f"{wall:.2f} s, {cpu:.2f} s of CPU", flush=True)
            walls.append(wall)
            cpus.append(cpu)
    wall, cpu = statistics.median(walls), statistics.median(cpus)
    print(f"{arguments.pipelines} pipelines with {arguments.days} days each")
    print(f"median {wall:.2f} s, {cpu:.2f} s of CPU")


def make_lake(folder: Path, pipelines: int, days: int) -> None:
    """Write the configuration and the tables of the pipelines up to yesterday."""
    conf = folder / "conf"
    shutil.copytree(ROOT / "conf", conf)
    text = (conf / "pipelines" / "taxi.yaml").read_text()
    for file in (conf / "pipelines").glob("*.yaml"):
        file.unlink()

    yesterday = dt.datetime.now(dt.UTC).date() - dt.timedelta(days=1)
    dates = days_between(yesterday - dt.timedelta(days=days - 1), yesterday)
    first = places(folder).tables_of("taxi0")
    for number in range(pipelines):
        name = f"taxi{number}"
        (conf / "pipelines" / f"{name}.yaml").write_text(text)
        if number == 0:
            write_lake(folder, load_pipeline(name, conf), dates)
        else:
            shutil.copytree(first, places(folder).tables_of(name))


def run_status(folder: Path) -> tuple[float, float]:
    """Return the seconds of one status, and those of its CPU time."""
    variables = {
        "BATCHML_CONF": str(folder / "conf"),
        "BATCHML_LAKE": places(folder).lake,
        "BATCHML_LANDING": places(folder).landing,
        "PYTHONPATH": str(ROOT / "jobs"),
    }
    before = _cpu_seconds()
    start = time.perf_counter()
    subprocess.run(COMMAND, env=os.environ | variables, stdout=subprocess.DEVNULL, check=True)
    return time.perf_counter() - start, _cpu_seconds() - before


def _cpu_seconds() -> float:
    """Return the CPU time of all ended child processes."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


if __name__ == "__main__":
    main()
