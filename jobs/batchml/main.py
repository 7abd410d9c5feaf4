"""A job from its arguments to its exit code: configuration, session, step, the JSON line."""

import argparse
import ast
import datetime as dt
import importlib
import json
import logging
import math
import os
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any, NoReturn

from batchml import config
from batchml.clients import champion_probe, revision
from batchml.clients.parent_death import die_with_parent
from batchml.errors import BadConfig, PipelineError, Unavailable

if TYPE_CHECKING:
    from batchml.context import Run, Summary

EPILOG = """\
exit codes: 0 done, 3 the data is bad, 4 the configuration is wrong, 5 something outside failed (retry),
99 nothing to do. The last line on stdout is one JSON object that tells what was done.

example: spark-submit jobs/{job}.py {example}
"""
EXAMPLE = "--pipeline taxi --start 2021-01-05 --end 2021-01-07"


ABOUT_THE_STACK = {"preflight"}  # jobs of no pipeline
WITHOUT_DATES = {"maintain_tables"}
WITHOUT_SPARK = {"report_day"}
WITHOUT_EXECUTORS = {"promote_model"}  # unless it rolls back
ABOUT_A_DATE = {"approved_by", "approved_version"}
# What only one job understands. With such an option --end may be left out: it is about a model, not about dates
# (but for those above).
OPTIONS: dict[str, dict[str, dict[str, Any]]] = {
    "promote_model": {
        "rollback": {
            "action": "store_true",
            "help": "go back to the previous champion, and score again what the present one has scored",
        },
        "approved_by": {
            "metavar": "NAME",
            "help": "who approves of the challenger, where the gate asks for a person's word",
        },
        "approved_version": {
            "type": int,
            "metavar": "VERSION",
            "help": "what the approval is about: another challenger is not promoted",
        },
    },
    "maintain_tables": {
        "dry_run": {"action": "store_true", "help": "only tell what would be compacted and freed"},
    },
    "train_model": {
        "reproduce": {
            "type": int,
            "metavar": "VERSION",
            "help": "train that version again from its record, and fail unless its metrics come out the same",
        }
    },
}


@dataclass(frozen=True)
class Arguments:
    """A job's arguments, not yet checked; a job about the stack has neither pipeline nor dates."""

    pipeline: str | None
    start: str | None
    end: str | None
    settings: tuple[str, ...]
    env: str
    options: Mapping[str, Any]


@dataclass(frozen=True)
class Chosen:
    """What a pipeline's job is about."""

    pipeline: config.Pipeline
    start: dt.date
    end: dt.date


def main(job: str, argv: Sequence[str]) -> int:
    """Runs ``job`` and gives its exit code. Everything but the last line goes to stderr."""
    logging.basicConfig(stream=sys.stderr, level=logging.WARNING, format="%(asctime)s %(message)s", datefmt="%H:%M:%S")
    logging.getLogger("batchml").setLevel(logging.INFO)
    logging.getLogger("XGBoost-PySpark").setLevel(logging.WARNING)
    if "PYSPARK_GATEWAY_PORT" in os.environ:  # of spark-submit, whose child this process then is
        die_with_parent(os.getppid())

    line: dict[str, Any] = {"job": job, "pipeline": None, "start": None, "end": None}
    begun = time.monotonic()
    arguments = None
    try:
        arguments = _parse(job, argv)
        line["pipeline"] = arguments.pipeline
        line["start"] = arguments.start or arguments.end
        line["end"] = arguments.end
        _run(job, arguments, line)
        line["status"], code = "done", 0
    except PipelineError as error:
        code = _report(error, line)
    except SystemExit as error:
        if arguments is None:  # of --help
            raise
        code = _report(PipelineError(f"a library or model code ended the job: sys.exit({error.code!r})"), line)
    except Exception as error:
        fault = _known_fault(error)
        if fault.exit_code == PipelineError.exit_code:
            logging.getLogger("batchml").exception("%s failed with an unexpected error", job)
        code = _report(fault, line)
    line.setdefault("seconds", {})["total"] = round(time.monotonic() - begun, 2)
    print(json.dumps(_finite(line), default=str), flush=True)
    return code


def _report(error: PipelineError, line: dict[str, Any]) -> int:
    """Write ``error`` to the log and into ``line``; return its exit code."""
    line["status"] = "nothing_to_do" if error.kind == "nothing_to_do" else "failed"
    text = "\n".join([error.message, *error.details])
    line["error"] = {"kind": error.kind, "message": text, "remedy": error.remedy}
    for row in str(error).splitlines():
        print(row, file=sys.stderr)
    sys.stderr.flush()
    return error.exit_code


def _known_fault(error: Exception) -> PipelineError:
    """Return what ``error`` means to the user: a fault of the cluster or of memory, else our defect."""
    if isinstance(error, MemoryError):
        return Unavailable(
            "the driver's Python ran out of memory",
            remedy="raise the memory limit of this machine or container, or run fewer dates at once",
        )
    # Before a session was opened there is no cluster, and its modules take a second to import.
    if "pyspark" not in sys.modules:
        return PipelineError(f"{type(error).__name__}: {error}")

    from batchml.spark.faults import cluster_fault, headline

    return cluster_fault(error) or PipelineError(headline(error))


class Parser(argparse.ArgumentParser):
    """A parser whose errors end the job as all others do: with the JSON line and an exit code."""

    def error(self, message: str) -> NoReturn:
        """Print the usage and raise BadConfig."""
        self.print_usage(sys.stderr)
        raise BadConfig(message, remedy=f"correct the arguments: {self.prog} --help lists them")


def _parse(job: str, argv: Sequence[str]) -> Arguments:
    parser = Parser(
        prog=f"{job}.py",
        description=_docstring(job),
        epilog=EPILOG.format(job=job, example="" if job in ABOUT_THE_STACK else EXAMPLE),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    options = OPTIONS.get(job, {})
    if job not in ABOUT_THE_STACK:
        _add_pipeline_arguments(parser, end_required=not options)
    for name, how in options.items():
        parser.add_argument(f"--{name.replace('_', '-')}", **how)
    parser.add_argument(
        "--env",
        default=config.default_env(),
        metavar="NAME",
        help="a file of conf/env (default: $BATCHML_ENV, else local)",
    )
    parser.set_defaults(pipeline=None, start=None, end=None, settings=[])
    found = parser.parse_args(argv)
    asked = {name: value for name in options if (value := getattr(found, name))}
    if options and found.end is None:
        if not asked.keys() - ABOUT_A_DATE and job not in WITHOUT_DATES:
            parser.error("the following arguments are required: --end")
        found.end = f"{dt.datetime.now(dt.UTC):%Y-%m-%d}"
    return Arguments(found.pipeline, found.start, found.end, tuple(found.settings), found.env, asked)


def _add_pipeline_arguments(parser: argparse.ArgumentParser, *, end_required: bool) -> None:
    parser.add_argument("--pipeline", required=True, metavar="NAME", help="a file of conf/pipelines, without .yaml")
    parser.add_argument("--start", metavar="YYYY-MM-DD", help="first event date (default: the last one)")
    parser.add_argument("--end", required=end_required, metavar="YYYY-MM-DD", help="last event date, inclusive")
    parser.add_argument(
        "--set",
        dest="settings",
        action="append",
        metavar="KEY=VALUE",
        help="any value of the YAML by its dotted key, as in training.window_days=31 (repeatable)",
    )


def _docstring(job: str) -> str:
    """What a step says of itself; read, not imported, so that --help need not wait for Spark's modules."""
    source = Path(__file__).with_name("steps") / f"{job}.py"
    return ast.get_docstring(ast.parse(source.read_text(encoding="utf-8"))) or ""


def _run(job: str, arguments: Arguments, line: dict[str, Any]) -> None:
    conf = config.conf_folder()
    chosen = _chosen(arguments, conf)
    places = config.load_places(arguments.env, conf, os.environ)
    code_version = revision.code_version(conf.parent)

    if (
        chosen is not None
        and job in champion_probe.NEEDED
        and champion_probe.lacks_champion(chosen.pipeline.name, places)
    ):
        raise champion_probe.no_champion(job, chosen.pipeline.name)

    # Only now, so that neither a wrong argument nor a pipeline's first run costs a Spark that has nothing to do.
    from batchml.context import Desk, Run

    run = Run(code_version=code_version, places=places, clock=time.monotonic, now=time.time)
    line["seconds"] = run.seconds
    if chosen is not None and job in WITHOUT_SPARK:
        summary = _step(job).run(Desk(**vars(run), **vars(chosen)))
    else:
        summary = _run_on_spark(run, chosen, arguments.options, line)
    line["rows"] = {"in": summary.rows_in, "out": summary.rows_out}
    line["tables"] = summary.tables
    line["mlflow"] = summary.mlflow
    line["details"] = summary.details


def _step(job: str) -> ModuleType:
    return importlib.import_module(f"batchml.steps.{job}")


def _run_on_spark(run: "Run", chosen: Chosen | None, options: Mapping[str, Any], line: dict[str, Any]) -> "Summary":
    from batchml.context import Context, Job
    from batchml.lake.tables import Lake
    from batchml.spark.executor_watch import watched_executors
    from batchml.spark.session import close_session, open_session

    job = line["job"]
    name = f"{chosen.pipeline.name}.{job} {chosen.end}" if chosen else job
    spark = open_session(job, name, idle=job in WITHOUT_EXECUTORS and "rollback" not in options)
    application = spark.sparkContext.applicationId
    logging.getLogger("batchml").info("Spark application %s", application)
    line["spark_application_id"] = application
    try:
        step = _step(job)  # not before: MLflow and pandas are imported while the executors start
        with watched_executors(spark):
            if chosen is None:
                summary: Summary = step.run(Job(**vars(run), spark=spark))
            else:
                commit = {"job": job, "run": application, "code_version": run.code_version}
                lake = Lake(spark, run.places.lake, chosen.pipeline.name, commit)
                summary = step.run(Context(**vars(run), spark=spark, **vars(chosen), lake=lake, options=options))
    finally:
        close_session(spark)
    return summary


def _chosen(arguments: Arguments, conf: Path) -> Chosen | None:
    """The pipeline and the dates; None for a job about the stack. Raises BadConfig for what does not fit."""
    if arguments.pipeline is None or arguments.end is None:
        return None
    end = config.parse_date(arguments.end, "--end")
    start = config.parse_date(arguments.start, "--start") if arguments.start else end
    if start > end:
        raise BadConfig(f"--start {start} is after --end {end}", remedy="dates are inclusive, the earlier one first")
    return Chosen(config.load_pipeline(arguments.pipeline, conf, arguments.settings), start, end)


def _finite(value: Any) -> Any:
    """JSON has no NaN: null stands for it."""
    if isinstance(value, dict):
        return {str(key): _finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
