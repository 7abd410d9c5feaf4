"""`make ui`: start the stack on the results of earlier runs, until Ctrl-C or `make local-down`.

Schedules are off by default, so that looking at results does not train. A run can be triggered in
Airflow's UI.
"""

import argparse
import signal
from pathlib import Path

from rich.console import Console

from batchml.config import Pipeline, conf_folder, load_pipeline, pipeline_names
from batchml.errors import PipelineError
from local import run_report
from local.samples.registry import provide_rows, services_of
from local.stack import state_folder
from local.stack.postgres import programs
from local.stack.processes import StackError, exit_on_signals
from local.stack.stack import StackOptions, running


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command."""
    parser.add_argument("--schedules", action="store_true", help="let Airflow start the daily runs")
    state_folder.add_argument(parser)


def main(arguments: argparse.Namespace, console: Console) -> int:
    """Run the stack until Ctrl-C, which is the normal end, and return 0."""
    exit_on_signals()
    state_folder.keep_files_private()
    try:
        _run_until_interrupted(arguments.state, arguments.schedules, console)
    except KeyboardInterrupt:
        console.print("stopped")
    return 0


def _run_until_interrupted(state: Path, schedules: bool, console: Console) -> None:
    """Start the stack, fill the databases of samples, print the addresses, and wait."""
    pipelines = _valid_pipelines(console)
    services = _available(services_of(pipelines), console)
    places = state_folder.places_of(state)
    options = StackOptions(history=True, schedules=schedules, services=services)
    with running(state, places, console, options) as stack:
        stack.ensure_drivers_pool()
        if "postgres" in services:
            for pipeline in pipelines:
                provide_rows(pipeline, Path(places.landing), console, stack.environment)
        run_report.print_addresses(console, stack.addresses())
        console.print("Ctrl-C stops the stack")
        signal.pause()


def _valid_pipelines(console: Console) -> list[Pipeline]:
    """Return the pipelines with a valid YAML. Print the errors of the others."""
    pipelines = []
    for name in pipeline_names(conf_folder()):
        try:
            pipelines.append(load_pipeline(name, conf_folder()))
        except PipelineError as error:
            console.print(str(error), style="red", markup=False)
    return pipelines


def _available(services: list[str], console: Console) -> list[str]:
    """Return ``services`` without a database that is not installed.

    The pages of the pipelines that do not need the database are still worth opening.
    """
    try:
        programs()
    except StackError as error:
        console.print(str(error), style="red", markup=False)
        return [service for service in services if service != "postgres"]
    return services
