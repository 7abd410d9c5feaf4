"""What a run tells the person who waits for it."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.table import Table

from batchml.config import Pipeline, Places

if TYPE_CHECKING:
    from local.run import RunResult

COLOURS = {"success": "green", "failed": "red", "upstream_failed": "red", "skipped": "magenta"}


def print_addresses(console: Console, pages: Mapping[str, str]) -> None:
    """Where the UIs are while the stack runs."""
    console.print("open   " + "   ".join(f"{name} {address}" for name, address in pages.items()))


def print_task(console: Console, task: Mapping[str, Any], line: Mapping[str, Any]) -> None:
    """One task that has come to rest: a line that can be grepped."""
    seconds = f"{task['duration']:.0f} s" if task["duration"] else "-"
    colour = COLOURS.get(task["state"], "white")
    console.print(f"  {task['task_id']:<15} [{colour}]{task['state']:<15}[/{colour}] {seconds:>6}  {_said(line)}")


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


def print_results(
    console: Console, pipeline: Pipeline, results: "list[RunResult]", places: Places, state: Path
) -> None:
    """The tables at the end."""
    for result in results:
        console.print()
        console.print(_tasks(result))
        _print_failures(console, result, state)
    lines = [result.lines for result in results]
    for title, rows, columns in (
        ("Metrics on the same holdout rows", _metrics(lines), ("who", "metric", "value")),
        ("Rows kept apart or warned of", _rejected(lines), ("run", "check", "rows")),
    ):
        if rows:
            console.print()
            console.print(_table(title, columns, rows))
    console.print()
    for what, where in _whereabouts(pipeline, places, state):
        console.print(f"{what:<14} {where}")


def _tasks(result: "RunResult") -> Table:
    table = Table("task", "state", "seconds", "rows in", "rows out", title=result.title, title_justify="left")
    for column in table.columns[2:]:
        column.justify = "right"
    for task in result.tasks:
        rows = result.lines.get(task["task_id"], {}).get("rows") or {}
        colour = COLOURS.get(task["state"], "white")
        table.add_row(
            task["task_id"],
            f"[{colour}]{task['state']}[/{colour}]",
            f"{task['duration'] or 0:.0f}",
            *(f"{rows[side]:,}" if side in rows else "" for side in ("in", "out")),
        )
    return table


def _print_failures(console: Console, result: "RunResult", state: Path) -> None:
    for task in result.tasks:
        if task["state"] == "failed":
            error = result.lines.get(task["task_id"], {}).get("error") or {"message": "no last line", "remedy": ""}
            console.print(f"{task['task_id']} failed: {error['message']}\n  {error['remedy']}", style="red")
            logs = state / "airflow" / "logs" / f"dag_id={task['dag_id']}" / f"run_id={task['dag_run_id']}"
            console.print(f"  its log: {logs / ('task_id=' + task['task_id'])}")


def _metrics(runs: list[dict[str, dict[str, Any]]]) -> list[tuple[str, str, str]]:
    rows = []
    for lines in runs:
        measured = lines.get("evaluate_model", {}).get("details", {}).get("metrics", {})
        rows += [
            (who, name, f"{value:,.4g}") for who, found in measured.items() for name, value in found.items() if value
        ]
        score = lines.get("score_batch", {})
        if score.get("status") == "done":
            who = f"champion, version {score['mlflow']['version']}, on {score['end']}"
            rows += [(who, name, f"{value:,.4g}") for name, value in score["details"]["realised"].items() if value]
    return rows


def _rejected(runs: list[dict[str, dict[str, Any]]]) -> list[tuple[str, str, str]]:
    rows = []
    for lines in runs:
        ingest = lines.get("ingest", {})
        for kind in ("rejected", "warned"):
            for check, size in ingest.get("details", {}).get(kind, {}).items():
                rows.append((f"{ingest['start']}..{ingest['end']}", f"{kind}: {check}", f"{size:,}"))
    return rows


def _table(title: str, columns: tuple[str, ...], rows: list[tuple[str, str, str]]) -> Table:
    table = Table(*columns, title=title, title_justify="left")
    table.columns[-1].justify = "right"
    for row in rows:
        table.add_row(*row)
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
