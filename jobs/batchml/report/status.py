"""`python -m batchml.report.status`: how every pipeline is, as a table, from its tables alone and without Spark."""

import argparse
import math
import os
import sys
from collections.abc import Sequence

from rich.console import Console
from rich.table import Table
from rich.text import Text

from batchml import config
from batchml.errors import NothingToDo, PipelineError
from batchml.report.overview import Overview, Row, read_overview

COLOURS = {"ok": "green", "watch": "yellow", "alarm": "red"}
WIDTH = 170
COLUMNS = (
    "pipeline",
    "day",
    "rows",
    "quarantined",
    "drift",
    "error (promised)",
    "scored by",
    "trained to",
    "gate",
)


def main(argv: Sequence[str]) -> int:
    """Print the table. Return 0 if every existing table could be read, else an exit code."""
    parser = argparse.ArgumentParser(prog="python -m batchml.report.status", description=__doc__)
    parser.add_argument("--pipeline", metavar="NAME", help="only this one (default: all)")
    parser.add_argument(
        "--end", metavar="YYYY-MM-DD", help="the day (default: the last one each pipeline has)"
    )
    parser.add_argument(
        "--env", default=config.default_env(), metavar="NAME", help="a file of conf/env"
    )
    given = parser.parse_args(argv)
    console = Console(
        width=max(Console().width, WIDTH), highlight=False
    )  # a narrow window wraps, and nothing is cut
    table, notes, code = Table(*COLUMNS), [], 0
    try:
        conf = config.conf_folder()
        lake = config.load_places(given.env, conf, os.environ).lake
        date = config.parse_date(given.end, "--end") if given.end else None
        names = (
            [config.load_pipeline(given.pipeline, conf).name]
            if given.pipeline
            else config.pipeline_names(conf)
        )
    except PipelineError as error:
        console.print(str(error), style="red", markup=False)
        return error.exit_code
    for name in names:
        try:
            table.add_row(*_cells(read_overview(lake, name, date)))
        except NothingToDo as error:
            notes.append(error.message)
        except PipelineError as error:
            notes.append(str(error))
            code = error.exit_code
    if table.row_count:
        console.print(table)
    for note in notes:
        console.print(note, style="dim", markup=False)
    return code


def _cells(day: Overview) -> list[Text]:
    error, serving, verdict = day.error, day.serving, day.verdict
    gate = f"version {verdict['model_version']} {day.outcome}" if verdict else ""
    age = serving.age(day.date) if serving else None
    days = "day" if age == 1 else "days"
    cells = [
        day.pipeline,
        str(day.date),
        f"{day.rows.get('bronze', 0):,}",
        f"{day.quarantined:.1%}" if day.quarantined is not None else "",
        day.level or "",
        _error_cell(day, error) if error else day.unknown_error,
        f"version {serving.version}" if serving else "",
        f"{serving.trained_end}, {age} {days} before" if serving and age is not None else "",
        gate,
    ]
    return [Text(cell, style=COLOURS.get(cell, "")) for cell in cells]


def _error_cell(day: Overview, error: Row) -> str:
    """Return the error of the date, the one at evaluation, and the share of rows left out."""
    expected = f"{error['expected']:.4g}" if error["expected"] < math.inf else "not judged"
    text = f"{error['measure']} {error['value']:.4g} ({expected})"
    return f"{text}, {day.seen_share:.0%} seen" if day.seen_share else text


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
