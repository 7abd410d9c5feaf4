"""`make run`: one pipeline through Airflow on a real cluster, over a range of dates and then the day after it."""

import argparse
import datetime as dt
import os
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import requests
from rich.console import Console

from batchml.config import Pipeline, Places, conf_folder, load_pipeline, parse_date
from batchml.errors import BadConfig, NothingToDo, PipelineError
from batchml.job_line import JobLine
from local import run_report
from local.run_report import RunResult
from local.samples.registry import provide_rows, provide_sample, services_of
from local.stack.airflow_api import TASK_STATES_AT_REST
from local.stack.processes import StackError, exit_on_signals
from local.stack.secret_files import PRIVATE
from local.stack.stack import ROOT, Stack, Wanted, places_of, running

POOL, DRIVERS = "spark_drivers", 1
SECONDS_TO_PARSE = 60


def main() -> int:
    """0 if both runs succeeded, 1 if one failed, else the exit code of what was wrong beforehand."""
    arguments = _parse()
    console = run_report.console()
    exit_on_signals()
    os.umask(PRIVATE)
    try:
        conf = conf_folder()
        pipeline = load_pipeline(arguments.pipeline, conf)
        start, end = _dates(pipeline, arguments.start, arguments.end)
        places = _places(arguments.landing, arguments.state)
        if arguments.landing is None and not os.environ.get("BATCHML_LANDING"):
            provide_sample(pipeline, Path(places.landing), console)
        wanted = Wanted(beside=services_of([pipeline]))
        with running(arguments.state, places, console, wanted) as stack:
            run_report.print_addresses(console, stack.addresses())
            provide_rows(pipeline, Path(places.landing), console, stack.environment)
            results = _both_runs(stack, pipeline, start, end, console)
        run_report.print_results(console, pipeline, results, places, arguments.state)
    except (PipelineError, StackError, TimeoutError, requests.RequestException) as error:
        console.print(str(error), style="red", markup=False)
        return error.exit_code if isinstance(error, PipelineError) else 1
    except KeyboardInterrupt:
        console.print("stopped")
        return 130
    return 0 if all(result.state == "success" for result in results) else 1


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="make run", description=__doc__)
    parser.add_argument("--pipeline", required=True, help="a file of conf/pipelines, without .yaml")
    parser.add_argument("--landing", help="the folder that holds the source files (default: data/landing)")
    parser.add_argument("--start", help="first date of the bootstrap range (default: the pipeline's)")
    parser.add_argument("--end", help="last date of the bootstrap range (default: the pipeline's)")
    parser.add_argument("--state", type=lambda given: Path(given).resolve(), default=ROOT / "data" / "local")
    return parser.parse_args()


def _dates(pipeline: Pipeline, start: str | None, end: str | None) -> tuple[dt.date, dt.date]:
    if pipeline.schedule is None:
        raise BadConfig(
            f"{pipeline.name} has no schedule, and so no DAG",
            remedy=f"run its jobs by hand: spark-submit jobs/ingest.py --pipeline {pipeline.name} --end YYYY-MM-DD",
        )
    default = pipeline.bootstrap
    if (start is None or end is None) and default is None:
        raise BadConfig(f"give START and END: conf/pipelines/{pipeline.name}.yaml has no bootstrap range")
    first = parse_date(start, "START") if start else default.start
    last = parse_date(end, "END") if end else max(first, default.end)
    if first > last:
        raise BadConfig(f"START {first} is after END {last}")
    return first, last


def _places(landing: str | None, state: Path) -> Places:
    """The local places, with the folder given on the command line as the user sees it."""
    places = places_of(state)
    if landing is None:
        return places
    folder = Path(landing).resolve()
    if not folder.is_dir():
        raise BadConfig(f"LANDING is {landing}, which is no folder")
    return replace(places, landing=str(folder))


def _both_runs(stack: Stack, pipeline: Pipeline, start: dt.date, end: dt.date, console: Console) -> list[RunResult]:
    """The bootstrap range, which trains; then, if that went well, the following day, which is scored."""
    stack.airflow.wait_for_dag(pipeline.name, SECONDS_TO_PARSE)
    stack.airflow.ensure_pool(POOL, DRIVERS, "bounds how many Spark drivers run at once")
    bootstrap = {"start": str(start), "end": str(end), "train": "yes"}
    results = [_run(stack, pipeline.name, f"bootstrap {start}..{end}", bootstrap, console)]
    ingested = results[0].lines.get("ingest")
    if ingested is not None and ingested.status == "nothing_to_do" and ingested.error is not None:
        raise NothingToDo(ingested.error.message, remedy=ingested.error.remedy)
    if results[0].state == "success":
        day = end + dt.timedelta(days=1)
        results.append(
            _run(stack, pipeline.name, f"the day after, {day}", {"start": str(day), "end": str(day)}, console)
        )
    return results


def _run(stack: Stack, dag_id: str, title: str, conf: dict[str, Any], console: Console) -> RunResult:
    """One DAG run, told as it goes."""
    run_id = f"{conf['start']}_{conf['end']}_{time.strftime('%Y%m%dT%H%M%S')}"
    stack.airflow.trigger(dag_id, run_id, conf)
    console.print(f"\n[bold]{dag_id}[/bold]  {title}")
    result = RunResult(title, "queued")
    told: set[str] = set()
    with console.status("queued") as status:
        while result.state not in ("success", "failed"):
            time.sleep(2)
            stack.require_alive()
            result.state = stack.airflow.run_state(dag_id, run_id)
            result.tasks = stack.airflow.tasks(dag_id, run_id)
            for task in result.tasks:
                if task["state"] in ("running", "up_for_retry"):
                    doing = "is running" if task["state"] == "running" else "failed and will be tried again"
                    status.update(f"{task['task_id']} {doing}")
                is_news = task["state"] in TASK_STATES_AT_REST and task["task_id"] not in told
                if is_news and task["task_id"] not in ("rollback", "maintain_tables"):  # no run of ours asks for them
                    told.add(task["task_id"])
                    value = stack.airflow.value(dag_id, run_id, task["task_id"])
                    line = JobLine.read(value)
                    if line is not None:
                        result.lines[task["task_id"]] = line
                    run_report.print_task(console, task, value)
    return result


if __name__ == "__main__":
    sys.exit(main())
