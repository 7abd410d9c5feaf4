"""`make ui`: the stack on what earlier runs left, with Spark's history server, until Ctrl-C or `make local-down`.

Schedules are not live unless asked for: to look must not train. A run can be triggered in Airflow's UI.
"""

import argparse
import os
import signal
import sys
from pathlib import Path

from rich.console import Console

from batchml.config import Pipeline, conf_folder, load_pipeline, pipeline_names
from batchml.errors import PipelineError
from local import run_report
from local.run import DRIVERS, POOL
from local.samples.registry import provide_rows, services_of
from local.stack.postgres import programs
from local.stack.processes import StackError, exit_on_signals
from local.stack.secret_files import PRIVATE
from local.stack.stack import ROOT, Wanted, places_of, running


def main() -> int:
    """Waits for Ctrl-C."""
    parser = argparse.ArgumentParser(prog="make ui", description=__doc__)
    parser.add_argument("--schedules", action="store_true", help="let Airflow start the daily runs")
    parser.add_argument("--state", type=lambda given: Path(given).resolve(), default=ROOT / "data" / "local")
    given = parser.parse_args()
    console = run_report.console()
    exit_on_signals()
    os.umask(PRIVATE)
    try:
        pipelines = _pipelines(console)
        places = places_of(given.state)
        wanted = Wanted(history=True, schedules=given.schedules, beside=_available(services_of(pipelines), console))
        with running(given.state, places, console, wanted) as stack:
            stack.airflow.ensure_pool(POOL, DRIVERS, "bounds how many Spark drivers run at once")
            for pipeline in pipelines if "postgres" in wanted.beside else ():
                provide_rows(pipeline, Path(places.landing), console, stack.environment)
            run_report.print_addresses(console, stack.addresses())
            console.print("Ctrl-C stops all of it")
            signal.pause()
    except (PipelineError, StackError) as error:
        console.print(str(error), style="red", markup=False)
        return 1
    except KeyboardInterrupt:
        console.print("stopped")
    return 0


def _pipelines(console: Console) -> list[Pipeline]:
    """Those whose YAML is right; of the others it is said why: they must not keep the rest from being looked at."""
    found = []
    for name in pipeline_names(conf_folder()):
        try:
            found.append(load_pipeline(name, conf_folder()))
        except PipelineError as error:
            console.print(str(error), style="red", markup=False)
    return found


def _available(services: list[str], console: Console) -> list[str]:
    """Without the database that a sample comes from, the pages of all other pipelines are still worth opening."""
    try:
        programs()
    except StackError as error:
        console.print(str(error), style="red", markup=False)
        return [service for service in services if service != "postgres"]
    return services


if __name__ == "__main__":
    sys.exit(main())
