"""The commands of the local stack: `python -m local COMMAND --help` describes each."""

import argparse
import sys
from collections.abc import Sequence
from importlib import import_module

import requests

from batchml.errors import PipelineError
from local import run_report
from local.stack.processes import StackError

# Module and purpose by name. Only the module of the command is imported: some take seconds.
COMMANDS = {
    "run": ("local.run", "run a pipeline through Airflow on a new stack, then stop the stack"),
    "ui": ("local.ui", "start the stack and keep its pages open until Ctrl-C"),
    "up": ("local.up", "start the stack in the background"),
    "down": ("local.down", "stop the stack that up started"),
    "fetch": ("local.fetch", "download official source files"),
    "seed": ("local.seed", "insert a CSV file into the table of a database source"),
    "samples": ("local.samples.command", "provide the sample of every pipeline"),
}
# The Makefile's names of the commands, for their usage line.
MAKE_TARGETS = {"up": "make local-up", "down": "make local-down", "samples": "make land"}
INTERRUPTED = 130


def main(words: Sequence[str]) -> int:
    """Run the command that ``words`` names and return its exit code."""
    name = command_parser().parse_args(words[:1]).command
    module, purpose = COMMANDS[name]
    command = import_module(module)
    parser = argparse.ArgumentParser(MAKE_TARGETS.get(name, f"make {name}"), description=purpose)
    command.add_arguments(parser)
    arguments = parser.parse_args(words[1:])

    console = run_report.console()
    try:
        return int(command.main(arguments, console))
    except PipelineError as error:
        console.print(str(error), style="red", markup=False)
        return error.exit_code
    except (StackError, TimeoutError, requests.RequestException) as error:
        console.print(str(error), style="red", markup=False)
        return 1
    except KeyboardInterrupt:
        console.print("stopped")
        return INTERRUPTED


def command_parser() -> argparse.ArgumentParser:
    """Return the parser of the first word."""
    lines = [f"  {name:<8} {purpose}" for name, (_, purpose) in COMMANDS.items()]
    commands = "\n".join(lines)
    parser = argparse.ArgumentParser(
        prog="python -m local",
        description=__doc__,
        epilog=f"commands:\n{commands}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("command", choices=COMMANDS, metavar="COMMAND")
    return parser


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
