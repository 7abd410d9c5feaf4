"""`python -m batchml.status`: how every pipeline is, with a map of its days, without Spark."""

import argparse
import datetime as dt
import json
import os
import sys
from collections.abc import Sequence

from rich.console import Console

from batchml import config
from batchml.errors import PipelineError
from batchml.report import calendar
from batchml.report import status as overview
from batchml.report.days import DayMap
from batchml.workflow.day_map import read_map


def main(argv: Sequence[str]) -> int:
    """Print the overview and the map of days. Return 0 if all could be read, else an exit code."""
    options = _parse(argv)
    if options.json:
        maps, code = _maps(options)
        days = {day_map.pipeline: _records(day_map) for day_map in maps}
        sys.stdout.write(json.dumps(days) + "\n")
        return code

    code_of_overview = overview.main(_overview_arguments(options))
    if code_of_overview:
        return code_of_overview  # the map would fail in the same way
    maps, code = _maps(options)
    _print(maps, is_calendar=options.days is not None)
    return code


def _parse(argv: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m batchml.status", description=__doc__)
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


def _overview_arguments(options: argparse.Namespace) -> list[str]:
    """Return the arguments that the overview has too."""
    shared = {"--pipeline": options.pipeline, "--end": options.end, "--env": options.env}
    return [f"{name}={value}" for name, value in shared.items() if value]


def _maps(options: argparse.Namespace) -> tuple[list[DayMap], int]:
    """Return the maps of the pipelines that have dates, and an exit code. Print errors to stderr."""
    maps, code = [], 0
    for name in _names(options):
        try:
            day_map = _map(options, name)
        except PipelineError as error:
            sys.stderr.write(f"{error}\n")
            code = error.exit_code
            continue
        if day_map is not None:
            maps.append(day_map)
    return maps, code


def _names(options: argparse.Namespace) -> list[str]:
    if options.pipeline:
        return [options.pipeline]
    return config.pipeline_names(config.conf_folder())


def _map(options: argparse.Namespace, name: str) -> DayMap | None:
    conf = config.conf_folder()
    places = config.load_places(options.env, conf, os.environ)
    pipeline = config.load_pipeline(name, conf)
    yesterday = dt.datetime.now(dt.UTC).date() - dt.timedelta(days=1)
    end = None
    if options.end:
        end = config.parse_date(options.end, "--end")
    return read_map(places, pipeline, options.days or calendar.DAYS, yesterday, end)


def _print(maps: Sequence[DayMap], is_calendar: bool) -> None:
    if not maps:
        return
    # Tables of a narrow window wrap instead of being cut, as those of the overview do.
    width = max(Console().width, overview.WIDTH)
    console = Console(width=width, highlight=False)
    console.print()
    if not is_calendar:
        calendar.print_lines(console, maps)
        return
    for day_map in maps:
        calendar.print_calendar(console, day_map)


def _records(day_map: DayMap) -> list[dict[str, object]]:
    """Return the cells by date, the tables of a date in their order."""
    cells = [cell for date in day_map.dates for cell in day_map.of_day(date)]
    return [cell.to_json() for cell in cells]


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
