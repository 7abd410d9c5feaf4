"""Print the progress and the results of `make run`."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from batchml.config import Pipeline, Places
from batchml.job_line import (
    EvaluateModelDetails,
    IngestDetails,
    JobError,
    JobLine,
    MaintainTablesDetails,
    Metrics,
    PromoteModelDetails,
    ReproduceModelDetails,
    RollBackModelDetails,
    ScoreBatchDetails,
    TrainingDecision,
)

DETAILS_WITH_REASON = (
    EvaluateModelDetails,
    MaintainTablesDetails,
    PromoteModelDetails,
    ReproduceModelDetails,
    RollBackModelDetails,
)
COLOURS = {"success": "green", "failed": "red", "upstream_failed": "red", "skipped": "magenta"}


@dataclass
class RunResult:
    """One DAG run: its state and, per task, Airflow's record and the last line of the job."""

    title: str
    state: str
    tasks: list[dict[str, Any]] = field(default_factory=list)
    lines: dict[str, JobLine] = field(default_factory=dict)


def console() -> Console:
    """Return a console that does not cut lines, and is wide if it is not a terminal."""
    console = Console(soft_wrap=True, highlight=False)
    if console.is_terminal:
        return console
    return Console(soft_wrap=True, highlight=False, width=160)


def print_addresses(console: Console, pages: Mapping[str, str]) -> None:
    """Print the addresses of the pages while the stack runs."""
    addresses = [f"{name} {address}" for name, address in pages.items()]
    console.print("open   " + "   ".join(addresses))


def print_task(console: Console, task: Mapping[str, Any], value: object) -> None:
    """Print a task that has ended on one line, with a summary of its ``value``."""
    seconds = "-"
    if task["duration"]:
        seconds = f"{task['duration']:.0f} s"
    colour = COLOURS.get(task["state"], "white")
    state = f"[{colour}]{task['state']:<15}[/{colour}]"
    console.print(f"  {task['task_id']:<15} {state} {seconds:>6}  {escape(_summarise(value))}")


def _summarise(value: object) -> str:
    """Return the most important part of a task's value, in a few words."""
    decision = TrainingDecision.read(value)
    if decision is not None:
        return decision.reason
    line = JobLine.read(value)
    if line is None:
        return ""
    if line.caught_up:
        return f"{_summarise_dates(line)}; caught up with {len(line.caught_up)} dates"
    return _summarise_dates(line)


def _summarise_dates(line: JobLine) -> str:
    """Return a summary of the job's work on the dates of the run."""
    if line.error is not None:
        parts = [line.error.message.splitlines()[0], line.error.remedy]
        return "; ".join(part for part in parts if part)
    if isinstance(line.details, DETAILS_WITH_REASON):
        return f"version {line.model_version}: {line.details.reason}"
    if line.model_version is not None:
        return f"{_row_counts(line)}, model version {line.model_version}"
    return _row_counts(line)


def _row_counts(line: JobLine) -> str:
    if line.rows is None:
        return ""
    return f"{line.rows.read:,} rows in, {line.rows.written:,} out"


def print_results(
    console: Console, pipeline: Pipeline, results: list[RunResult], places: Places, state: Path
) -> None:
    """Print the tables at the end."""
    for result in results:
        console.print()
        console.print(_tasks(result))
        _print_failures(console, result, state)
    for table in (_metrics(results), _rejected(results)):
        if table.row_count:
            console.print()
            console.print(table)
    console.print()
    for name, location in _locations(pipeline, places, state):
        console.print(f"{name:<14} {location}")


def _tasks(result: RunResult) -> Table:
    table = Table(
        "task", "state", "seconds", "rows in", "rows out", title=result.title, title_justify="left"
    )
    for task in result.tasks:
        line = result.lines.get(task["task_id"])
        rows_in = rows_out = ""
        if line is not None and line.rows is not None:
            rows_in = f"{line.rows.read:,}"
            rows_out = f"{line.rows.written:,}"
        colour = COLOURS.get(task["state"], "white")
        state = f"[{colour}]{task['state']}[/{colour}]"
        seconds = f"{task['duration'] or 0:.0f}"
        table.add_row(task["task_id"], state, seconds, rows_in, rows_out)
    return _right(table, 2)


def _print_failures(console: Console, result: RunResult, state: Path) -> None:
    for task in result.tasks:
        if task["state"] != "failed":
            continue
        line = result.lines.get(task["task_id"])
        error = JobError(message="the job printed no JSON line")
        if line is not None and line.error is not None:
            error = line.error
        text = f"{task['task_id']} failed: {error.message}\n  {error.remedy}"
        console.print(text, style="red", markup=False)
        logs = state / "airflow" / "logs"
        run_logs = logs / f"dag_id={task['dag_id']}" / f"run_id={task['dag_run_id']}"
        task_log = run_logs / f"task_id={task['task_id']}"
        console.print(f"  its log: {task_log}")


def _metrics(results: Sequence[RunResult]) -> Table:
    """Return a table of models and the rows they were measured on, with a column per metric."""
    measured: list[tuple[str, str, Metrics]] = []
    for result in results:
        measured += _measured(result.lines)
    names: dict[str, None] = {}
    for _, _, metrics in measured:
        names |= dict.fromkeys(metrics)
    table = Table("metrics of", "on", *names, title="Metrics", title_justify="left")
    for model, rows, metrics in measured:
        numbers = [_number(metrics.get(name)) for name in names]
        table.add_row(model, rows, *numbers)
    return _right(table, 2)


def _measured(lines: Mapping[str, JobLine]) -> Iterator[tuple[str, str, Metrics]]:
    """Yield model, rows and metrics from the evaluation and from the scoring of one run."""
    evaluated = lines.get("evaluate_model")
    if evaluated is not None and isinstance(evaluated.details, EvaluateModelDetails):
        for model, metrics in evaluated.details.metrics.items():
            yield model, "the holdout", metrics
    scored = lines.get("score_batch")
    if scored is not None and isinstance(scored.details, ScoreBatchDetails):
        champion = f"version {scored.model_version}"
        if scored.details.champion in {None, scored.model_version}:
            champion = f"champion, {champion}"
        rows = f"{scored.start}..{scored.end}"
        if scored.details.seen_rows:
            rows = f"{rows}, unseen rows"
        if len(scored.details.versions) > 1:
            rows = f"{rows} of this version"
        if scored.is_done:
            yield champion, rows, scored.details.realised


def _number(value: float | None) -> str:
    """Return counts in full, other numbers to four digits, and an empty text for None."""
    if value is None:
        return ""
    if isinstance(value, int):
        return f"{value:,}"
    return f"{value:,.4g}"


def _rejected(results: Sequence[RunResult]) -> Table:
    """Return a table of rows by failed check. Rejected rows are quarantined."""
    table = Table(
        "dates",
        "",
        "check that failed",
        "rows",
        title="Rows quarantined or with warnings",
        title_justify="left",
    )
    for result in results:
        ingest = result.lines.get("ingest")
        if ingest is None or not isinstance(ingest.details, IngestDetails):
            continue
        dates = f"{ingest.start}..{ingest.end}"
        by_kind = {"rejected": ingest.details.rejected, "warned": ingest.details.warned}
        for kind, sizes in by_kind.items():
            for check, size in sizes.items():
                table.add_row(dates, kind, check, f"{size:,}")
    return _right(table, 3)


def _right(table: Table, first: int) -> Table:
    for column in table.columns[first:]:
        column.justify = "right"
    return table


def _locations(pipeline: Pipeline, places: Places, state: Path) -> list[tuple[str, str]]:
    return [
        ("tables", f"{places.lake}/{pipeline.name}"),
        ("models", f"{state}/mlflow (registered model {pipeline.name!r})"),
        ("logs", f"{state}/airflow/logs (tasks), {state}/stack.log (services)"),
        ("Airflow UI", "make ui, then http://127.0.0.1:8080"),
        ("MLflow UI", "make ui, then http://127.0.0.1:5000"),
        (
            "Spark UI",
            "make ui, then http://127.0.0.1:8081 (cluster) and "
            "http://127.0.0.1:18080 (finished applications)",
        ),
    ]
