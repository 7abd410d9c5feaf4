"""`make local-down`: stop what `make local-up` started."""

import argparse

from rich.console import Console

from local import daemon
from local.stack import state_folder


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command."""
    state_folder.add_argument(parser)


def main(arguments: argparse.Namespace, console: Console) -> int:
    """Stop the stack and return 0, also if none is running."""
    console.print(daemon.stop(arguments.state), markup=False)
    return 0
