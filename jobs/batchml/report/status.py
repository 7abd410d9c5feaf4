"""Print the state of every pipeline, without Spark: `python -m batchml.report.status`."""

import argparse
import datetime as dt
import math
import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field

from rich.console import Console
from rich.table import Table
from rich.text import Text

from batchml import config
from batchml.clients.delta_tables import DeltaTables
from batchml.errors import NothingToDo, PipelineError
from batchml.report.overview import Overview, overview_of

COLOURS = {"ok": "green", "watch": "yellow", "alarm": "red"}
WIDTH = 170
COLUMNS = (
    "pipeline",
    "day",
    "rows",
    "quarantined",
    "drift",
    "error (holdout)",
    "scored by",
    "trained to",
    "gate",
)


def main(argv: Sequence[str]) -> int:
    """Print the table. Return 0 if every existing table could be read, else an exit code."""
    parser = argparse.ArgumentParser(prog="python -m batchml.report.status", description=__doc__)
    parser.add_argument("--pipeline", metavar="NAME", help="only this one (default: all)")
    parser.add_argument(
        "--end",
        metavar="YYYY-MM-DD",
        help="the day (default: the last one of each pipeline)",
    )
    parser.add_argument(
        "--env",
        default=config.default_env(),
        metavar="NAME",
        help="a file of conf/env",
    )
    arguments = parser.parse_args(argv)
    # Let a narrow window wrap the lines, so that no cell is cut.
    console = Console(width=max(Console().width, WIDTH), highlight=False)
    try:
        conf = config.conf_folder()
        lake = config.load_places(arguments.env, conf, os.environ).lake
        date = None
        if arguments.end:
            date = config.parse_date(arguments.end, "--end")
        names = config.pipeline_names(conf)
        if arguments.pipeline:
            names = [config.load_pipeline(arguments.pipeline, conf).name]
    except PipelineError as error:
        console.print(str(error), style="red", markup=False)
        return error.exit_code
    return print_overviews(console, lake, names, date)


def print_overviews(
    console: Console,
    lake: str,
    names: Sequence[str],
    date: dt.date | None,
) -> int:
    """Print a line for each pipeline on ``date``, or on its newest date.

    Return 0 if every existing table could be read, else an exit code.
    """
    overviews = Overviews()
    for name in names:
        overviews.add(DeltaTables(f"{lake.rstrip('/')}/{name}"), name, date)
    overviews.print(console)
    return overviews.exit_code


@dataclass
class Overviews:
    """The overviews of several pipelines, and notes about those that have none."""

    days: list[Overview] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    exit_code: int = 0
    """0 if every existing table could be read, else that of the last error."""

    def add(self, tables: DeltaTables, name: str, date: dt.date | None) -> None:
        """Add the pipeline on ``date``, or on its newest date."""
        try:
            self.days.append(overview_of(tables, name, date, is_line=True))
        except NothingToDo as error:
            self.notes.append(error.message)
        except PipelineError as error:
            self.notes.append(str(error))
            self.exit_code = error.exit_code

    def print(self, console: Console) -> None:
        """Print a line for each pipeline, and the notes."""
        if self.days:
            table = Table(*COLUMNS)
            for day in self.days:
                table.add_row(*_cells(day))
            console.print(table)
        for note in self.notes:
            console.print(note, style="dim", markup=False)


def _cells(day: Overview) -> list[Text]:
    """Return the cells of a pipeline in the order of ``COLUMNS``."""
    quarantined = ""
    if day.quarantined is not None:
        quarantined = f"{day.quarantined:.1%}"
    version = ""
    if day.serving:
        version = f"version {day.serving.version}"
    gate = ""
    if day.verdict:
        gate = f"version {day.verdict['model_version']} {day.outcome}"

    cells = [
        day.pipeline,
        str(day.date),
        f"{day.rows.get('bronze', 0):,}",
        quarantined,
        day.level or "",
        _error_cell(day),
        version,
        _trained_cell(day),
        gate,
    ]
    return [Text(cell, style=COLOURS.get(cell, "")) for cell in cells]


def _trained_cell(day: Overview) -> str:
    """Return the last date of the version's training, and its age."""
    if day.serving is None:
        return ""
    age = day.serving.age(day.date)
    if age is None:
        return ""
    unit = "day" if age == 1 else "days"
    return f"{day.serving.trained_end}, {age} {unit} before"


def _error_cell(day: Overview) -> str:
    """Return the error of the date, the one at evaluation, and the share of rows left out."""
    error = day.error
    if error is None:
        return day.unknown_error
    expected = "not evaluated"
    if error["expected"] < math.inf:
        expected = f"{error['expected']:.4g}"
    text = f"{error['measure']} {error['value']:.4g} ({expected})"
    if day.seen_share:
        text += f", {day.seen_share:.0%} seen"
    return text


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
