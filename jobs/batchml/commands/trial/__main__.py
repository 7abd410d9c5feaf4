"""`python -m batchml.commands.trial`: run an edited pipeline on some days in a sandbox.

Print the difference to production, whose tables and models are only read.
"""

import argparse
import dataclasses
import datetime as dt
import json
import os
import signal
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from types import FrameType
from typing import Any

from rich.console import Console

from batchml import config
from batchml.commands.trial import text
from batchml.commands.trial.dates import choose_dates, training_settings
from batchml.commands.trial.jobs import RunJob, SubmittedJobs
from batchml.commands.trial.sandbox import open_sandbox, sandbox_folder
from batchml.commands.trial.trial import Production, Request, Trial, run_trial
from batchml.errors import PipelineError
from batchml.job_line import JobLine

WIDTH = 120
DAYS = 7
KEEP_HINT = "for the logs of the jobs, run the trial with KEEP=1 (--keep)"
INTERRUPTED = 128 + signal.SIGINT


def main(argv: Sequence[str]) -> int:
    """Make the trial and print it. Return 0 if it could be made, else an exit code."""
    options = _parse(argv)
    progress = Console(stderr=True, highlight=False, soft_wrap=True)
    try:
        trial = _try(options, progress)
    except PipelineError as error:
        progress.print(str(error), style="red", markup=False)
        return error.exit_code
    except KeyboardInterrupt:
        progress.print("interrupted", style="red")
        return INTERRUPTED

    # In a narrow window or a log, a table wraps instead of losing text.
    console = Console(width=max(Console().width, WIDTH), highlight=False)
    if options.json:
        content = json.dumps(as_json(trial), indent=2)
        console.print(content, soft_wrap=True, markup=False)
    else:
        print_trial(console, trial)
    return trial.exit_code


def _interrupt(_number: int, _frame: FrameType | None) -> None:
    """End as Ctrl-C does, so that the sandbox is removed."""
    raise KeyboardInterrupt


def _parse(argv: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m batchml.commands.trial", description=__doc__)
    parser.add_argument("--pipeline", required=True, metavar="NAME", help="the edited pipeline")
    parser.add_argument(
        "--days",
        type=int,
        default=DAYS,
        metavar="N",
        help=f"the last N dates of production (default: {DAYS})",
    )
    parser.add_argument("--keep", action="store_true", help="leave the sandbox, to look into it")
    parser.add_argument("--json", action="store_true", help="print JSON for other programs")
    parser.add_argument(
        "--env", default=config.default_env(), metavar="NAME", help="a file of conf/env"
    )
    return parser.parse_args(argv)


def _try(options: argparse.Namespace, progress: Console) -> Trial:
    """Run the trial that ``options`` describe in a sandbox, which is removed at the end."""
    conf = config.conf_folder()
    places = config.load_places(options.env, conf, os.environ)
    pipeline = config.load_pipeline(options.pipeline, conf)
    production = Production.read(pipeline, places)
    dates = choose_dates(production.ledger, pipeline, options.days)
    settings = training_settings(pipeline, (dates[-1] - dates[0]).days + 1)

    folder = sandbox_folder(pipeline.name, places)
    with open_sandbox(folder, places, keep=options.keep) as sandbox:
        progress.print(
            f"{pipeline.name}: {len(dates)} dates, {dates[0]}..{dates[-1]}, in {folder}",
            markup=False,
        )
        run_job = Announced(SubmittedJobs(pipeline, sandbox, settings), progress)
        trial = run_trial(Request(pipeline, dates, production, sandbox, run_job, settings))
    if options.keep:
        progress.print(f"kept until the next trial: {folder}", markup=False)
    elif trial.exit_code:
        progress.print(KEEP_HINT, markup=False)
    return trial


@dataclass(frozen=True)
class Announced:
    """Runs jobs and prints the beginning and the end of each."""

    run_job: RunJob
    progress: Console

    def __call__(self, job: str, first: dt.date, last: dt.date) -> JobLine:
        """Run ``job`` and return its last line."""
        with self.progress.status(f"{job} {first}..{last}"):
            line = self.run_job(job, first, last)
        self.progress.print(text.job_text(line), markup=False)
        return line


def print_trial(console: Console, trial: Trial) -> None:
    """Print the differences, and then what the trial says about dates and models."""
    difference = trial.difference
    if difference is not None:
        console.print("rows, in production → in the trial", markup=False)
        tables = (text.row_table, text.check_table, text.column_table)
        for make_table in tables:
            table = make_table(difference)
            if table is not None:
                console.print(table)
        for sentence in text.column_sentences(difference):
            console.print(sentence, markup=False, soft_wrap=True)
    for sentence in (*text.date_sentences(trial), *text.model_sentences(trial)):
        console.print(sentence, markup=False, soft_wrap=True)


def as_json(trial: Trial) -> dict[str, Any]:
    """Return the trial as JSON, with dates as text."""
    content = {
        "pipeline": trial.pipeline,
        "tried": trial.tried,
        "settings": trial.settings,
        "exit_code": trial.exit_code,
        "dates": dataclasses.asdict(trial.dates),
        "champion": dataclasses.asdict(trial.champion),
        "jobs": [line.to_value() for line in trial.jobs],
        "difference": None,
    }
    if trial.difference is not None:
        difference = dataclasses.asdict(trial.difference)
        for table, by_date in difference["rows"].items():
            difference["rows"][table] = {str(date): counts for date, counts in by_date.items()}
        content["difference"] = difference
    plain: dict[str, Any] = json.loads(json.dumps(content, default=str))
    return plain


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, _interrupt)
    sys.exit(main(sys.argv[1:]))
