"""`python -m batchml.commands.status`: print the state of every pipeline and a map of its days."""

import argparse
import datetime as dt
import json
import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console

from batchml import config
from batchml.errors import PipelineError
from batchml.report import calendar
from batchml.report import status as overview
from batchml.report.days import DayMap
from batchml.workflow.day_map import Span, read_map


@dataclass(frozen=True)
class Request:
    """The pipelines to look at, where they are, and the dates."""

    conf: Path
    places: config.Places
    names: Sequence[str]
    span: Span


def main(argv: Sequence[str]) -> int:
    """Print the overview and the map of days. Return 0 if all could be read, else an exit code."""
    options = _parse(argv)
    try:
        request = _request(options)
    except PipelineError as error:
        sys.stderr.write(f"{error}\n")
        return error.exit_code

    if options.json:
        maps, code = _read_maps(request)
        days = {day_map.pipeline: _records(day_map) for day_map in maps}
        sys.stdout.write(json.dumps(days) + "\n")
        return code

    # Tables of a narrow window wrap, and no cell is cut.
    console = Console(width=max(Console().width, overview.WIDTH), highlight=False)
    lake, end = request.places.lake, request.span.end
    overview_code = overview.print_overviews(console, lake, request.names, end)
    if overview_code and options.pipeline:
        return overview_code  # its map would fail in the same way
    maps, code = _read_maps(request)
    if maps:
        _print(console, maps, is_calendar=options.days is not None)
    return overview_code or code


def _parse(argv: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m batchml.commands.status", description=__doc__)
    parser.add_argument("--pipeline", metavar="NAME", help="only this one (default: all)")
    parser.add_argument("--days", type=_days, metavar="N", help="print a calendar of N days")
    parser.add_argument("--json", action="store_true", help="print the map of days as JSON")
    parser.add_argument("--end", metavar="YYYY-MM-DD", help="the last day (default: yesterday)")
    default = config.default_env()
    parser.add_argument("--env", default=default, metavar="NAME", help="a file of conf/env")
    return parser.parse_args(argv)


def _days(text: str) -> int:
    days = int(text)
    if days < 1:
        raise ValueError(text)
    return days


def _request(options: argparse.Namespace) -> Request:
    """Return what to look at. Raise BadConfig for a wrong name, date or environment."""
    conf = config.conf_folder()
    places = config.load_places(options.env, conf, os.environ)
    names = config.pipeline_names(conf)
    if options.pipeline:
        names = [config.load_pipeline(options.pipeline, conf).name]
    yesterday = dt.datetime.now(dt.UTC).date() - dt.timedelta(days=1)
    end = None
    if options.end:
        end = config.parse_date(options.end, "--end")
    days = options.days or calendar.DAYS
    monitored_days = calendar.DAYS
    if options.json or options.pipeline:
        monitored_days = days
    return Request(conf, places, names, Span(days, yesterday, end, monitored_days))


def _read_maps(request: Request) -> tuple[list[DayMap], int]:
    """Return the maps of the pipelines that have dates, and an exit code. Print errors."""
    maps, code = [], 0
    for name in request.names:
        try:
            pipeline = config.load_pipeline(name, request.conf)
            day_map = read_map(request.places, pipeline, request.span)
        except PipelineError as error:
            sys.stderr.write(f"{error}\n")
            code = error.exit_code
            continue
        if day_map is not None:
            maps.append(day_map)
    return maps, code


def _print(console: Console, maps: Sequence[DayMap], is_calendar: bool) -> None:
    console.print()
    if not is_calendar:
        calendar.print_lines(console, maps)
        return
    for day_map in maps:
        calendar.print_calendar(console, day_map)


def _records(day_map: DayMap) -> list[dict[str, object]]:
    """Return the cells by date, the tables of a date in their order."""
    records = []
    for date in day_map.dates:
        for cell in day_map.of_day(date):
            records.append(cell.to_json())
    return records


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
