"""Time ``ingest`` of this checkout and of another revision in turn, and print the ratio.

    .venv/bin/python -m benchmarks.compare_ingest 37b9df6 month --landing FOLDER
    .venv/bin/python -m benchmarks.compare_ingest 37b9df6 csv --megabytes 300

``month`` reads January 2021 of ``taxi`` from FOLDER (``make fetch MONTHS=2021-01``). ``csv`` reads
a generated file of one day. Both revisions run with the packages of this checkout.
"""

import argparse
import shutil
import statistics
import subprocess
import tempfile
from pathlib import Path

from benchmarks.environment import ROOT, last_line

TRIPS = """\
description: trips in a large CSV file
source: {kind: csv, path: "trips_{yyyy}-{MM}-{dd}.csv", event_time: started}
columns: {started: timestamp_ntz, kilometres: double, riders: long, note: string}
key: [source_row]
task: regression
label: kilometres
inputs: {numeric: [riders]}
estimator: {kind: linear}
training: {split: hash}
gate: {metric: rmse, limit: 10}
"""
DAY = "2024-05-01"
ARGUMENTS = {
    "month": ["--pipeline", "taxi", "--start", "2021-01-01", "--end", "2021-01-31"],
    "csv": ["--pipeline", "trips", "--end", DAY],
}


def main() -> None:
    """Run both revisions ``--runs`` times in turn, and print each time and the ratio of medians."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("revision", help="the git revision to compare with")
    parser.add_argument("case", choices=sorted(ARGUMENTS))
    parser.add_argument("--landing", type=Path, help="the folder of the month's file")
    parser.add_argument("--megabytes", type=int, default=300, help="the size of the CSV file")
    parser.add_argument("--runs", type=int, default=3)
    arguments = parser.parse_args()
    if arguments.case == "month" and arguments.landing is None:
        parser.error("month needs --landing")

    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        other = folder / "other"
        git("worktree", "add", "--quiet", "--detach", str(other), arguments.revision)
        try:
            landing = arguments.landing
            if arguments.case == "csv":
                landing = write_trips(folder / "landing", arguments.megabytes)
            trees = {"this": ROOT, arguments.revision: other}
            seconds = measure(trees, folder, landing.resolve(), arguments)
        finally:
            git("worktree", "remove", "--force", str(other))

    medians = {}
    for label, times in seconds.items():
        medians[label] = statistics.median(times)
        print(f"{label:>10}  median {medians[label]:6.1f} s  of {times}")
    print(f"ratio {medians['this'] / medians[arguments.revision]:.2f}")


def git(*words: str) -> None:
    """Run git on this checkout."""
    subprocess.run(["git", "-C", str(ROOT), *words], check=True)


def measure(
    trees: dict[str, Path], folder: Path, landing: Path, arguments: argparse.Namespace
) -> dict[str, list[float]]:
    """Return the seconds of each run by tree, as the job's JSON line reports them."""
    command = ["spark-submit", "jobs/ingest.py"] + ARGUMENTS[arguments.case]
    seconds: dict[str, list[float]] = {label: [] for label in trees}
    for label, tree in trees.items():
        shutil.copytree(tree / "conf", folder / f"conf-{label}")
        (folder / f"conf-{label}" / "pipelines" / "trips.yaml").write_text(TRIPS)

    for number in range(arguments.runs):
        for label, tree in trees.items():
            settings = {
                "BATCHML_CONF": str(folder / f"conf-{label}"),
                "BATCHML_LANDING": str(landing),
                "BATCHML_LAKE": str(folder / f"lake-{label}-{number}"),
            }
            line = last_line(command, tree, settings)
            seconds[label].append(line["seconds"]["total"])
            print(label, line["seconds"]["total"], line["rows"], flush=True)
            shutil.rmtree(settings["BATCHML_LAKE"])
    return seconds


def write_trips(landing: Path, megabytes: int) -> Path:
    """Write a CSV file of one day."""
    landing.mkdir()
    with (landing / f"trips_{DAY}.csv").open("w") as file:
        size = file.write("started,kilometres,riders,note\n")
        number = 0
        while size < megabytes * 1_000_000:
            started = f"{DAY} {number % 24:02}:{number % 60:02}:{number % 59:02}"
            kilometres = number % 977 / 7
            riders = number % 5
            size += file.write(f"{started},{kilometres:.3f},{riders},note {number}\n")
            number += 1
    return landing


if __name__ == "__main__":
    main()
