"""`make local-up`: start what `make ui` starts, in the background."""

import argparse

from rich.console import Console

from local import daemon
from local.stack import state_folder


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command."""
    parser.add_argument("--schedules", action="store_true", help="let Airflow start the daily runs")
    state_folder.add_argument(parser)


def main(arguments: argparse.Namespace, console: Console) -> int:
    """Start the stack, print its addresses and return 0."""
    state_folder.keep_files_private()
    console.print(daemon.start(arguments.state, arguments.schedules), markup=False)
    return 0
