"""Run a job from its arguments to its exit code: configuration, session, step, the JSON line."""

import argparse
import ast
import datetime as dt
import importlib
import logging
import os
import sys
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from batchml import config
from batchml.clients import champion_probe, revision
from batchml.clients.parent_death import die_with_parent
from batchml.errors import BadConfig, NothingToDo, PipelineError, Unavailable, without_secrets
from batchml.job_line import JobError, JobLine, Rows, Status
from batchml.job_specs import (
    CATCH_UP_MODES,
    JOBS,
    Option,
    options_of,
    spark_of,
    step_of,
    writes,
)

if TYPE_CHECKING:
    from batchml.context import Run, Summary
    from batchml.workflow.catch_up import FindUnchanged, Result, Work

EPILOG = """\
exit codes: 0 done, 3 the data is bad, 4 the configuration is wrong, 5 something outside failed
(retry), 99 nothing to do. The last line on stdout is one JSON object that reports what was done.

example: spark-submit jobs/{job}.py {example}
"""
EXAMPLE = "--pipeline taxi --start 2021-01-05 --end 2021-01-07"


@dataclass(frozen=True)
class Arguments:
    """The arguments of a job, not yet checked.

    A job of no pipeline has neither pipeline nor dates.
    """

    pipeline: str | None = None
    start: str | None = None
    end: str | None = None
    settings: tuple[str, ...] = ()
    env: str = ""
    options: Mapping[str, Any] = field(default_factory=dict)


NO_ARGUMENTS = Arguments()  # until they are parsed


@dataclass(frozen=True)
class Chosen:
    """The pipeline and the dates of a job."""

    pipeline: config.Pipeline
    start: dt.date
    end: dt.date


@dataclass(frozen=True)
class Task:
    """A job of a pipeline: its dates, its work, and the check that no other job writes."""

    chosen: Chosen
    work: "Work"
    require_lease: Callable[[], None] = lambda: None


@dataclass
class Trace:
    """The facts about a job that its last line reports even if it fails."""

    arguments: Arguments = NO_ARGUMENTS
    seconds: dict[str, float] = field(default_factory=dict)
    application: str | None = None
    caught_up: "Result | None" = None


@dataclass(frozen=True)
class Outcome:
    """The end of a job: the summary of its step, or an error."""

    status: Status
    exit_code: int
    summary: "Summary | None" = None
    error: JobError | None = None


class PlainFormatter(logging.Formatter):
    """Formats log lines and traces of Java and Python without the passwords of addresses."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the record's text."""
        return without_secrets(super().format(record))


def main(job: str, argv: Sequence[str]) -> int:
    """Run ``job`` and return its exit code. Everything but the last line goes to stderr."""
    logging.basicConfig(stream=sys.stderr, level=logging.WARNING)
    for handler in logging.getLogger().handlers:
        handler.setFormatter(PlainFormatter("%(asctime)s %(message)s", datefmt="%H:%M:%S"))
    logging.getLogger("batchml").setLevel(logging.INFO)
    logging.getLogger("XGBoost-PySpark").setLevel(logging.WARNING)
    # spark-submit, the parent of this process, sets this variable.
    if "PYSPARK_GATEWAY_PORT" in os.environ:
        die_with_parent(os.getppid())

    trace = Trace()
    begun = time.monotonic()
    outcome = _attempt(job, argv, trace)
    trace.seconds["total"] = round(time.monotonic() - begun, 2)
    print(_last_line(job, trace, outcome).to_text(), flush=True)
    return outcome.exit_code


def _attempt(job: str, argv: Sequence[str], trace: Trace) -> Outcome:
    """Run the job and turn every error into an outcome."""
    try:
        trace.arguments = _parse(job, argv)
        return Outcome("done", 0, summary=_run(job, trace.arguments, trace))
    except PipelineError as error:
        return _failure(error)
    except SystemExit as error:
        if trace.arguments is NO_ARGUMENTS:  # of --help
            raise
        return _failure(
            PipelineError(f"a library or model code ended the job: sys.exit({error.code!r})")
        )
    except Exception as error:
        fault = _known_fault(error)
        if fault.exit_code == PipelineError.exit_code:
            logging.getLogger("batchml").exception("%s failed with an unexpected error", job)
        return _failure(fault)


def _last_line(job: str, trace: Trace, outcome: Outcome) -> JobLine:
    summary = outcome.summary
    arguments = trace.arguments
    caught_up = None
    if "catch_up" in arguments.options:
        caught_up = trace.caught_up
    rows = None
    if summary is not None:
        rows = Rows(read=summary.rows_in, written=summary.rows_out)
    return JobLine(
        job=job,
        pipeline=arguments.pipeline,
        start=arguments.start or arguments.end,
        end=arguments.end,
        seconds=trace.seconds,
        spark_application_id=trace.application,
        rows=rows,
        tables=summary and summary.tables,
        caught_up=caught_up and tuple(caught_up.dates),
        still_owed=caught_up and caught_up.postponed,
        mlflow=summary and summary.mlflow,
        details=summary and summary.details,
        status=outcome.status,
        error=outcome.error,
    )


def _failure(error: PipelineError) -> Outcome:
    """Write ``error`` to the log and return the outcome of the job."""
    for row in str(error).splitlines():
        print(row, file=sys.stderr)
    sys.stderr.flush()

    status: Status = "failed"
    if isinstance(error, NothingToDo):
        status = "nothing_to_do"
    message = "\n".join([error.message, *error.details])
    reason = JobError(kind=error.kind, message=message, remedy=error.remedy)
    summary = getattr(error, "summary", None)
    return Outcome(status, error.exit_code, summary=summary, error=reason)


def _known_fault(error: Exception) -> PipelineError:
    """Return ``error`` as a fault of the cluster or of memory, else as an unexpected error."""
    if isinstance(error, MemoryError):
        return Unavailable(
            "the driver's Python ran out of memory",
            remedy="raise the memory limit of this machine or container, or run fewer dates at "
            "once",
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
    parser = _parser(job)
    parsed = parser.parse_args(argv)
    values = {name: getattr(parsed, name) for name in options_of(job)}
    # Airflow passes an empty text where no one approved; 0 is a value.
    options = {name: value for name, value in values.items() if value or type(value) is int}

    if JOBS[job].of_a_pipeline and parsed.end is None:
        if _needs_end(job, options):
            parser.error("the following arguments are required: --end")
        parsed.end = f"{dt.datetime.now(dt.UTC):%Y-%m-%d}"
    return Arguments(
        parsed.pipeline, parsed.start, parsed.end, tuple(parsed.settings), parsed.env, options
    )


def _needs_end(job: str, options: Collection[str]) -> bool:
    """Return True unless one of the ``options`` makes ``--end`` superfluous."""
    return JOBS[job].needs_end and all(options_of(job)[name].needs_end for name in options)


def _parser(job: str) -> Parser:
    spec = JOBS[job]
    example = ""
    if spec.of_a_pipeline:
        example = EXAMPLE
    parser = Parser(
        prog=f"{job}.py",
        description=_docstring(job),
        epilog=EPILOG.format(job=job, example=example),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    if spec.of_a_pipeline:
        may_lack_end = any(not option.needs_end for option in spec.options.values())
        _add_pipeline_arguments(parser, end_required=spec.needs_end and not may_lack_end)
    for name, option in options_of(job).items():
        _add_option(parser, name, option)
    parser.add_argument(
        "--env",
        default=config.default_env(),
        metavar="NAME",
        help="a file of conf/env (default: $BATCHML_ENV, else local)",
    )
    parser.set_defaults(pipeline=None, start=None, end=None, settings=[])
    return parser


def _add_pipeline_arguments(parser: argparse.ArgumentParser, *, end_required: bool) -> None:
    parser.add_argument(
        "--pipeline", required=True, metavar="NAME", help="a file of conf/pipelines, without .yaml"
    )
    parser.add_argument(
        "--start", metavar="YYYY-MM-DD", help="first event date (default: the last one)"
    )
    parser.add_argument(
        "--end", required=end_required, metavar="YYYY-MM-DD", help="last event date, inclusive"
    )
    parser.add_argument(
        "--set",
        dest="settings",
        action="append",
        metavar="KEY=VALUE",
        help="any value of the YAML by its dotted key, as in training.window_days=31 (repeatable)",
    )


def _add_option(parser: argparse.ArgumentParser, name: str, option: Option) -> None:
    flag = f"--{name.replace('_', '-')}"
    if option.metavar is None:
        parser.add_argument(flag, action="store_true", help=option.help)
        return
    form: dict[str, Any] = {"type": option.parse, "metavar": option.metavar, "help": option.help}
    if option.default is not None:
        form |= {"nargs": "?", "const": option.default}
    parser.add_argument(flag, **form)


def _docstring(job: str) -> str:
    """Return the docstring of a step without importing it.

    So ``--help`` does not wait for Spark's modules.
    """
    source = Path(__file__).with_name("steps") / f"{job}.py"
    return ast.get_docstring(ast.parse(source.read_text(encoding="utf-8"))) or ""


def _run(job: str, arguments: Arguments, trace: Trace) -> "Summary":
    conf = config.conf_folder()
    chosen = _chosen(arguments, conf)
    places = config.load_places(arguments.env, conf, os.environ)
    code_version = revision.code_version(conf.parent)
    with ExitStack() as stack:
        task = None
        if chosen is not None:
            _require_champion(job, chosen.pipeline.name, places)
            task = _task(job, chosen, arguments, places)
            if writes(job, arguments.options):
                task = _with_lease(task, arguments, stack)
            trace.caught_up = task.work.result
            # A date without a delivery must not wait for Spark either.
            task.work.look()

        # Import this late, so that a wrong argument or a missing champion fails without a wait for
        # Spark's modules.
        from batchml.context import Run

        run = Run(
            job=job, code_version=code_version, places=places, clock=time.monotonic, now=time.time
        )
        trace.seconds = run.seconds
        if spark_of(job, arguments.options) == "none":
            return _run_step(run, task, arguments.options)
        return _run_on_spark(run, task, arguments.options, trace)


def _task(job: str, chosen: Chosen, arguments: Arguments, places: config.Places) -> Task:
    from batchml.workflow.catch_up import Request, Work

    start, since = None, None
    if arguments.start:
        start = chosen.start
    if arguments.options.get("catch_up_from"):
        since = config.parse_date(arguments.options["catch_up_from"], "--catch-up-from")
    mode = arguments.options.get("catch_up", "no")
    if mode not in CATCH_UP_MODES:
        raise BadConfig(f"--catch-up {mode}: expected one of {', '.join(CATCH_UP_MODES)}")
    if arguments.options.get("if_changed", "no") not in ("yes", "no"):
        raise BadConfig(f"--if-changed {arguments.options['if_changed']}: expected yes or no")
    request = Request(
        job=job,
        pipeline=chosen.pipeline,
        places=places,
        start=start,
        end=chosen.end,
        mode=mode,
        since=since,
        is_own_step=step_of(job, arguments.options) == job,
        version=arguments.options.get("with"),
    )
    work = Work(request)
    if arguments.options.get("if_changed") == "yes":
        work.find_unchanged = find_unchanged_by(job)
    return Task(chosen, work)


def find_unchanged_by(job: str) -> "FindUnchanged":
    """Return the function that finds the unchanged dates of a job, and import no other one."""
    name = "unchanged"
    if job in ("score_batch", "monitor_drift"):
        name = "unchanged_scores"
    module = importlib.import_module(f"batchml.workflow.{name}")
    find: FindUnchanged = getattr(module, f"unchanged_by_{job}")
    return find


def _with_lease(task: Task, arguments: Arguments, stack: ExitStack) -> Task:
    """Take the lease of the pipeline, and create its ledger if there is none."""
    from batchml.lake.first_ledger import create_ledger
    from batchml.lake.lease import Holder, Lease, held

    request = task.work.request
    lease = Lease(request.folder, Holder.this_process(request.job))
    lease = stack.enter_context(held(lease))
    pipeline = request.pipeline
    if arguments.settings:  # existing tables were made by the file's own configuration
        pipeline = config.load_pipeline(pipeline.name, config.conf_folder())
    create_ledger(request.folder, pipeline)
    return replace(task, require_lease=lease.require_held)


def _require_champion(job: str, pipeline: str, places: config.Places) -> None:
    """Raise NothingToDo if the job needs a champion and MLflow's server has none."""
    if JOBS[job].needs_champion_to and champion_probe.has_no_champion(pipeline, places):
        raise champion_probe.no_champion(job, pipeline)


def _run_on_spark(
    run: "Run",
    task: Task | None,
    options: Mapping[str, Any],
    trace: Trace,
) -> "Summary":
    from batchml.spark.executor_watch import watched_executors
    from batchml.spark.session import close_session, open_session

    name = run.job
    if task is not None:
        name = f"{task.chosen.pipeline.name}.{run.job} {task.chosen.end}"
    session = open_session(name, spark_of(run.job, options))
    trace.application = session.sparkContext.applicationId
    logging.getLogger("batchml").info("Spark application %s", trace.application)
    try:
        with watched_executors(session):
            return _run_step(replace(run, session=session), task, options)
    finally:
        close_session(session)


def _run_step(run: "Run", task: Task | None, options: Mapping[str, Any]) -> "Summary":
    from batchml.context import Context

    # Import this while the executors start: MLflow and pandas take seconds.
    step = importlib.import_module(f"batchml.steps.{step_of(run.job, options)}")
    if task is None:
        summary: Summary = step.run(run)
        return summary
    context = Context(
        **vars(run), **vars(task.chosen), options=options, require_lease=task.require_lease
    )
    return task.work.run(context, step.run, _known_fault)


def _chosen(arguments: Arguments, conf: Path) -> Chosen | None:
    """Return the pipeline and the dates, or None for a job of no pipeline.

    Raise BadConfig if they are wrong.
    """
    if arguments.pipeline is None or arguments.end is None:
        return None

    end = config.parse_date(arguments.end, "--end")
    start = end
    if arguments.start:
        start = config.parse_date(arguments.start, "--start")
    if start > end:
        raise BadConfig(
            f"--start {start} is after --end {end}",
            remedy="give the earlier date as --start; both dates are inclusive",
        )
    return Chosen(config.load_pipeline(arguments.pipeline, conf, arguments.settings), start, end)
