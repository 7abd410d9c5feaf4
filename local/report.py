"""What a run tells the person who waits for it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from batchml.config import Pipeline, Places

COLOURS = {"success": "green", "failed": "red", "upstream_failed": "red", "skipped": "magenta"}


@dataclass
class RunResult:
    """What one DAG run came to: its state and, per task, Airflow's record and the job's line."""

    title: str
    state: str
    tasks: list[dict[str, Any]] = field(default_factory=list)
    lines: dict[str, dict[str, Any]] = field(default_factory=dict)


def console() -> Console:
    """A console that neither cuts lines nor guesses at colours; wide where nobody sets the width."""
    found = Console(soft_wrap=True, highlight=False)
    return found if found.is_terminal else Console(soft_wrap=True, highlight=False, width=160)


def print_addresses(console: Console, pages: Mapping[str, str]) -> None:
    """Where the UIs are while the stack runs."""
    console.print("open   " + "   ".join(f"{name} {address}" for name, address in pages.items()))


def print_task(console: Console, task: Mapping[str, Any], line: Mapping[str, Any]) -> None:
    """One task that has come to rest: a line that can be grepped."""
    seconds = f"{task['duration']:.0f} s" if task["duration"] else "-"
    colour = COLOURS.get(task["state"], "white")
    console.print(
        f"  {task['task_id']:<15} [{colour}]{task['state']:<15}[/{colour}] {seconds:>6}  {escape(_said(line))}"
    )


def _said(line: Mapping[str, Any]) -> str:
    """The most telling thing of a task's value."""
    if "reason" in line:
        return str(line["reason"])
    if error := line.get("error"):
        return "; ".join(part for part in (error["message"].splitlines()[0], error["remedy"]) if part)
    details = line.get("details", {})
    if "reason" in details:
        return f"version {line['mlflow']['version']}: {details['reason']}"
    if line.get("mlflow", {}).get("version"):
        return f"{_rows(line)}, model version {line['mlflow']['version']}"
    return _rows(line)


def _rows(line: Mapping[str, Any]) -> str:
    rows = line.get("rows")
    return f"{rows['in']:,} rows in, {rows['out']:,} out" if rows else ""


def print_results(console: Console, pipeline: Pipeline, results: list[RunResult], places: Places, state: Path) -> None:
    """The tables at the end."""
    for result in results:
        console.print()
        console.print(_tasks(result))
        _print_failures(console, result, state)
    lines = [result.lines for result in results]
    for table in (_metrics(lines), _rejected(lines)):
        if table.row_count:
            console.print()
            console.print(table)
    console.print()
    for what, where in _whereabouts(pipeline, places, state):
        console.print(f"{what:<14} {where}")


def _tasks(result: RunResult) -> Table:
    table = Table("task", "state", "seconds", "rows in", "rows out", title=result.title, title_justify="left")
    for task in result.tasks:
        rows = result.lines.get(task["task_id"], {}).get("rows") or {}
        colour = COLOURS.get(task["state"], "white")
        table.add_row(
            task["task_id"],
            f"[{colour}]{task['state']}[/{colour}]",
            f"{task['duration'] or 0:.0f}",
            *(f"{rows[side]:,}" if side in rows else "" for side in ("in", "out")),
        )
    return _right(table, 2)


def _print_failures(console: Console, result: RunResult, state: Path) -> None:
    for task in result.tasks:
        if task["state"] == "failed":
            error = result.lines.get(task["task_id"], {}).get("error") or {"message": "no last line", "remedy": ""}
            console.print(
                f"{task['task_id']} failed: {error['message']}\n  {error['remedy']}", style="red", markup=False
            )
            logs = state / "airflow" / "logs" / f"dag_id={task['dag_id']}" / f"run_id={task['dag_run_id']}"
            console.print(f"  its log: {logs / ('task_id=' + task['task_id'])}")


def _metrics(runs: list[dict[str, dict[str, Any]]]) -> Table:
    """Who was measured on which rows, a column per metric."""
    measured: list[tuple[str, str, dict[str, float]]] = []
    for lines in runs:
        judged = lines.get("evaluate_model", {}).get("details", {})
        measured += [(who, "the holdout", found) for who, found in judged.get("metrics", {}).items()]
        score = lines.get("score_batch", {})
        if score.get("status") == "done":
            days = f"{score['start']}..{score['end']}"
            measured.append((f"champion, version {score['mlflow']['version']}", days, score["details"]["realised"]))
    names = list(dict.fromkeys(name for _, _, found in measured for name in found))
    table = Table("metrics of", "on", *names, title="Metrics", title_justify="left")
    for who, where, found in measured:
        table.add_row(who, where, *(_number(found.get(name)) for name in names))
    return _right(table, 2)


def _number(value: float | None) -> str:
    """Counts whole, measures to four digits, nothing for what is not known."""
    if value is None:
        return ""
    return f"{value:,}" if isinstance(value, int) else f"{value:,.4g}"


def _rejected(runs: list[dict[str, dict[str, Any]]]) -> Table:
    """Rows by failed check: those rejected are in quarantine, those warned of are kept."""
    table = Table("dates", "", "check that failed", "rows", title="Rows kept apart or warned of", title_justify="left")
    for lines in runs:
        ingest = lines.get("ingest", {})
        for kind in ("rejected", "warned"):
            for check, size in ingest.get("details", {}).get(kind, {}).items():
                table.add_row(f"{ingest['start']}..{ingest['end']}", kind, check, f"{size:,}")
    return _right(table, 3)


def _right(table: Table, first: int) -> Table:
    for column in table.columns[first:]:
        column.justify = "right"
    return table


def _whereabouts(pipeline: Pipeline, places: Places, state: Path) -> list[tuple[str, str]]:
    return [
        ("tables", f"{places.lake}/{pipeline.name}"),
        ("models", f"{state}/mlflow (registered model {pipeline.name!r})"),
        ("logs", f"{state}/airflow/logs (tasks), {state}/stack.log (services)"),
        ("Airflow UI", "make ui, then http://127.0.0.1:8080"),
        ("MLflow UI", "make ui, then http://127.0.0.1:5000"),
        (
            "Spark UI",
            "make ui, then http://127.0.0.1:8081 (cluster) and http://127.0.0.1:18080 (finished applications)",
        ),
    ]
