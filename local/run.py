"""`make run`: run a pipeline through Airflow on a cluster, for a range and the day after it."""

import argparse
import datetime as dt
import os
import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.status import Status

from batchml.config import Pipeline, Places, conf_folder, load_pipeline, parse_date
from batchml.errors import BadConfig, NothingToDo
from batchml.job_line import JobLine
from local import run_report
from local.run_report import RunResult
from local.samples.registry import provide_rows, provide_sample, services_of
from local.stack import state_folder
from local.stack.airflow_api import TASK_STATES_AT_REST
from local.stack.processes import exit_on_signals
from local.stack.running_stack import Stack
from local.stack.stack import StackOptions, running

SECONDS_TO_PARSE = 60
NEVER_REQUESTED = {"rollback", "maintain_tables", "accept"}  # Tasks that these runs always skip.
PROGRESS = {"running": "is running", "up_for_retry": "failed and will be retried"}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command."""
    parser.add_argument("--pipeline", required=True, help="a file of conf/pipelines, without .yaml")
    parser.add_argument(
        "--landing", help="the folder with the source files (default: data/landing)"
    )
    parser.add_argument(
        "--start", help="first date of the bootstrap range (default: the pipeline's)"
    )
    parser.add_argument("--end", help="last date of the bootstrap range (default: the pipeline's)")
    state_folder.add_argument(parser)


def main(arguments: argparse.Namespace, console: Console) -> int:
    """Run the bootstrap range and the day after it. Return 0 if both runs succeed, else 1."""
    exit_on_signals()
    state_folder.keep_files_private()

    pipeline = load_pipeline(arguments.pipeline, conf_folder())
    start, end = _dates(pipeline, arguments.start, arguments.end)
    places = _places(arguments.landing, arguments.state)
    if arguments.landing is None and not os.environ.get("BATCHML_LANDING"):
        provide_sample(pipeline, Path(places.landing), console)

    options = StackOptions(services=services_of([pipeline]))
    with running(arguments.state, places, console, options) as stack:
        run_report.print_addresses(console, stack.addresses())
        provide_rows(pipeline, Path(places.landing), console, stack.environment)
        results = _both_runs(stack, pipeline, start, end, console)
    run_report.print_results(console, pipeline, results, places, arguments.state)
    if all(result.state == "success" for result in results):
        return 0
    return 1


def _dates(pipeline: Pipeline, start: str | None, end: str | None) -> tuple[dt.date, dt.date]:
    """Return the bootstrap range: the user's dates, or else those of the pipeline."""
    if pipeline.schedule is None:
        raise BadConfig(
            f"{pipeline.name} has no schedule and therefore no DAG",
            remedy="run its jobs manually: spark-submit jobs/ingest.py "
            f"--pipeline {pipeline.name} --end YYYY-MM-DD",
        )
    default = pipeline.bootstrap
    if (start is None or end is None) and default is None:
        raise BadConfig(
            f"give START and END: conf/pipelines/{pipeline.name}.yaml has no bootstrap range"
        )
    first = parse_date(start or str(default.start), "START")
    last = parse_date(end or str(max(first, default.end)), "END")
    if first > last:
        raise BadConfig(f"START {first} is after END {last}")
    return first, last


def _places(landing: str | None, state: Path) -> Places:
    """Return the local places, with the landing folder of the command line if there is one."""
    places = state_folder.places_of(state)
    if landing is None:
        return places
    folder = Path(landing).resolve()
    if not folder.is_dir():
        raise BadConfig(f"LANDING={landing} is not a folder")
    return replace(places, landing=str(folder))


def _both_runs(
    stack: Stack, pipeline: Pipeline, start: dt.date, end: dt.date, console: Console
) -> list[RunResult]:
    """Run the bootstrap range, which trains, and if it succeeds the next day, which is scored."""
    stack.airflow.wait_for_dag(pipeline.name, SECONDS_TO_PARSE)
    stack.ensure_drivers_pool()
    bootstrap = {"start": str(start), "end": str(end), "train": "yes"}
    first = _run(stack, pipeline.name, f"bootstrap {start}..{end}", bootstrap, console)

    ingested = first.lines.get("ingest")
    if ingested is not None and ingested.status == "nothing_to_do" and ingested.error is not None:
        raise NothingToDo(ingested.error.message, remedy=ingested.error.remedy)
    if first.state != "success":
        return [first]

    day = str(end + dt.timedelta(days=1))
    conf = {"start": day, "end": day}
    second = _run(stack, pipeline.name, f"the day after, {day}", conf, console)
    return [first, second]


def _run(
    stack: Stack, dag_id: str, title: str, conf: Mapping[str, str], console: Console
) -> RunResult:
    """Run the DAG to its end, and print each task when it has ended."""
    run_id = f"{conf['start']}_{conf['end']}_{time.strftime('%Y%m%dT%H%M%S')}"
    stack.airflow.trigger(dag_id, run_id, dict(conf))
    console.print(f"\n[bold]{dag_id}[/bold]  {title}")
    result = RunResult(title, "queued")
    printed: set[str] = set()
    with console.status("queued") as status:
        while result.state not in ("success", "failed"):
            time.sleep(2)
            stack.require_alive()
            result.state = stack.airflow.run_state(dag_id, run_id)
            result.tasks = stack.airflow.tasks(dag_id, run_id)
            for task in result.tasks:
                _show_progress(status, task)
                task_id = task["task_id"]
                if task_id in printed or not _is_at_rest(task):
                    continue
                printed.add(task_id)
                value = stack.airflow.value(dag_id, run_id, task_id)
                line = JobLine.read(value)
                if line is not None:
                    result.lines[task_id] = line
                run_report.print_task(console, task, value)
    return result


def _show_progress(status: Status, task: Mapping[str, Any]) -> None:
    """Show a task that is being worked on."""
    if task["state"] in PROGRESS:
        status.update(f"{task['task_id']} {PROGRESS[task['state']]}")


def _is_at_rest(task: Mapping[str, Any]) -> bool:
    """Return True for a task that has ended, except those that these runs always skip."""
    return task["state"] in TASK_STATES_AT_REST and task["task_id"] not in NEVER_REQUESTED
