"""Time jobs that catch up with many days against the same jobs of one day, and print the ratio.

    .venv/bin/python -m benchmarks.catch_up --landing FOLDER

FOLDER has the files of January and February 2021 of ``taxi``: the samples, or the real ones
(``make fetch MONTHS="2021-01 2021-02"``). Each run begins with the first day on an empty lake. The
last day is then requested with all days in between owed, and again with nothing owed.
"""

import argparse
import datetime as dt
import statistics
import tempfile
from pathlib import Path

from benchmarks.environment import ROOT, last_line

FIRST = dt.date(2021, 1, 1)
JOBS = ("ingest", "build_features")
CASES = ("one day", "catching up", "nothing owed", "without --catch-up")


def main() -> None:
    """Run each case ``--runs`` times in turn, and print the medians and the ratio."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--landing", type=Path, required=True, help="the folder of the months")
    parser.add_argument("--days", type=int, default=57, help="how many days are owed")
    parser.add_argument("--runs", type=int, default=3)
    arguments = parser.parse_args()
    last = FIRST + dt.timedelta(days=arguments.days + 1)

    seconds: dict[str, list[float]] = {case: [] for case in CASES}
    landing = str(arguments.landing.resolve())
    for _ in range(arguments.runs):
        with tempfile.TemporaryDirectory() as lake:
            settings = {"BATCHML_LAKE": lake, "BATCHML_LANDING": landing}
            seconds["one day"].append(run_jobs(settings, FIRST))
            seconds["catching up"].append(run_jobs(settings, last, catches_up=True))
            seconds["nothing owed"].append(run_jobs(settings, last, catches_up=True))
            seconds["without --catch-up"].append(run_jobs(settings, last))

    medians = {}
    for case, times in seconds.items():
        medians[case] = statistics.median(times)
        print(f"{case:>20}  median {medians[case]:6.1f} s  of {times}")
    ratio = medians["catching up"] / medians["one day"]
    print(f"{arguments.days} owed days and the last one cost {ratio:.2f} times one day")
    extra = (medians["nothing owed"] - medians["without --catch-up"]) / len(JOBS)
    print(f"with nothing owed, --catch-up costs {extra:.2f} s a job")


def run_jobs(settings: dict[str, str], day: dt.date, *, catches_up: bool = False) -> float:
    """Return the seconds of all jobs for ``day``, as their JSON lines report them."""
    options = []
    if catches_up:
        options = ["--catch-up"]
    total = 0.0
    for job in JOBS:
        command = ["spark-submit", f"jobs/{job}.py", "--pipeline", "taxi", "--end", str(day)]
        line = last_line(command + options, ROOT, settings)
        seconds = line["seconds"]["total"]
        print(job, day, *options, seconds, flush=True)
        total += seconds
    return total


if __name__ == "__main__":
    main()
