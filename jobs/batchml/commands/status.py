"""`python -m batchml.commands.status`: print the state of every pipeline and a map of its days.

Late pipelines and unusual volumes come first, then a line for each pipeline: its state, since when,
and what to do.
"""

import argparse
import datetime as dt
import json
import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from rich.console import Console

from batchml import config
from batchml.clients.delta_tables import DeltaTables
from batchml.config.freshness import Freshness
from batchml.errors import PipelineError, Unavailable
from batchml.report import alarms, calendar
from batchml.report import status as overview
from batchml.report.conditions import PipelineState
from batchml.report.days import DayMap
from batchml.report.links import Links
from batchml.report.state_table import print_states
from batchml.workflow.conditions import read_state
from batchml.workflow.day_map import Span
from batchml.workflow.freshness import freshness_of
from batchml.workflow.stored import read_stored

FRESHNESS = "freshness"
"""The key of late dates and volumes in the JSON. No pipeline has the name of this DAG."""


@dataclass(frozen=True)
class Request:
    """The pipelines to look at, where they are, the dates, and the present time."""

    conf: Path
    places: config.Places
    names: Sequence[str]
    span: Span
    now: dt.datetime
    is_json: bool = False


@dataclass
class States:
    """What was read of the pipelines: overviews, freshness, states with their maps, errors."""

    overviews: overview.Overviews = field(default_factory=overview.Overviews)
    freshness: list[Freshness] = field(default_factory=list)
    pipelines: list[PipelineState] = field(default_factory=list)
    errors: list[PipelineError] = field(default_factory=list)

    @property
    def maps(self) -> list[DayMap]:
        """Return the maps of the pipelines that have dates."""
        maps = (state.day_map for state in self.pipelines)
        return [day_map for day_map in maps if day_map is not None]

    @property
    def exit_code(self) -> int:
        """Return 0 without errors, else the code of the last one."""
        if not self.errors:
            return 0
        return self.errors[-1].exit_code


def main(argv: Sequence[str]) -> int:
    """Print the states and the maps. Return 0 if all could be read, else an exit code."""
    options = _parse(argv)
    try:
        request = _request(options)
    except PipelineError as error:
        sys.stderr.write(f"{error}\n")
        return error.exit_code

    states = _read(request)
    if options.json:
        _print_errors(states)
        sys.stdout.write(json.dumps(_to_json(states)) + "\n")
        return states.exit_code

    # Tables of a narrow window wrap, and no cell is cut.
    console = Console(width=max(Console().width, overview.WIDTH), highlight=False)
    alarms.print_alarms(console, states.freshness)
    print_states(console, states.pipelines, Links.from_environment())
    states.overviews.print(console)
    overview_code = states.overviews.exit_code
    if overview_code and options.pipeline:
        return overview_code  # its map would fail in the same way
    _print_errors(states)
    if states.maps:
        _print(console, states.maps, is_calendar=options.days is not None)
    return overview_code or states.exit_code


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
    now = present_time()
    yesterday = now.date() - dt.timedelta(days=1)
    end = None
    if options.end:
        end = config.parse_date(options.end, "--end")
    days = options.days or calendar.DAYS
    monitored_days = calendar.DAYS
    if options.json or options.pipeline:
        monitored_days = days
    span = Span(days, yesterday, end, monitored_days)
    return Request(conf, places, names, span, now, options.json)


def present_time() -> dt.datetime:
    """Return the present time in UTC."""
    return dt.datetime.now(dt.UTC)


def _read(request: Request) -> States:
    """Return the states of the pipelines. An error of one does not hide the others."""
    states = States()
    for name in request.names:
        tables = DeltaTables(request.places.tables_of(name))
        if not request.is_json:
            states.overviews.add(tables, name, request.span.end)
        try:
            _read_pipeline(states, request, name, tables)
        except PipelineError as error:
            states.errors.append(error)
    return states


def _read_pipeline(states: States, request: Request, name: str, tables: DeltaTables) -> None:
    """Add freshness and state of a pipeline."""
    pipeline = config.load_pipeline(name, request.conf)
    stored = read_stored(request.places, pipeline, tables)
    freshness = freshness_of(stored.ledger, pipeline, request.now)
    states.freshness.append(freshness)
    state = read_state(stored, freshness, request.span, request.now)
    states.pipelines.append(state)
    for condition in state.conditions:
        if condition.kind == "unknown":
            states.errors.append(Unavailable(f"{name}: {condition.reason}"))


def _print_errors(states: States) -> None:
    for error in states.errors:
        sys.stderr.write(f"{error}\n")


def _print(console: Console, maps: Sequence[DayMap], is_calendar: bool) -> None:
    console.print()
    if not is_calendar:
        calendar.print_lines(console, maps)
        return
    for day_map in maps:
        calendar.print_calendar(console, day_map)


def _to_json(states: States) -> dict[str, object]:
    """Return late dates, volumes and states first, then the records of each pipeline."""
    freshness = {each.pipeline: each.model_dump(mode="json") for each in states.freshness}
    for state in states.pipelines:
        freshness[state.pipeline]["state"] = [each.to_json() for each in state.conditions]
    records = {day_map.pipeline: _records(day_map) for day_map in states.maps}
    return {FRESHNESS: freshness, **records}


def _records(day_map: DayMap) -> list[dict[str, object]]:
    """Return the cells by date, the tables of a date in their order."""
    records = []
    for date in day_map.dates:
        for cell in day_map.of_day(date):
            records.append(cell.to_json())
    return records


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
