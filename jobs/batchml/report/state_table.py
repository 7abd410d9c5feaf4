"""Print the states of pipelines in a terminal, the most urgent first."""

from collections.abc import Iterable, Mapping
from operator import attrgetter

from rich.console import Console
from rich.table import Table
from rich.text import Text

from batchml.report.calendar import BLUE, ORANGE, PURPLE, SKY, VERMILION
from batchml.report.conditions import Condition, Kind, PipelineState
from batchml.report.links import Links

COLUMNS = ("pipeline", "state", "since", "why", "what to do")
STYLES: Mapping[Kind, str] = {
    "late": f"bold {VERMILION}",
    "alarm": f"bold {PURPLE}",
    "unknown": f"bold {PURPLE}",
    "rejected": f"bold {VERMILION}",
    "missing": VERMILION,
    "owed": f"bold {ORANGE}",
    "outdated": ORANGE,
    "approval": f"bold {SKY}",
    "not run": "dim",
    "good": BLUE,
}


def print_states(console: Console, states: Iterable[PipelineState], links: Links) -> None:
    """Print a line for each condition of the pipelines that have been run or are late."""
    table = Table()
    for column in COLUMNS:
        table.add_column(column, overflow="fold")  # an address must stay whole
    for state in sorted(states, key=attrgetter("urgency")):
        if state.kind == "not run":
            continue  # the overview has a note about it
        name = state.pipeline
        for condition in state.conditions:
            table.add_row(name, *_cells(state.pipeline, condition, links))
            name = ""
    if table.row_count:
        console.print(table)


def _cells(pipeline: str, condition: Condition, links: Links) -> list[Text]:
    """Return the cells after the pipeline's name. An address is printed for an approval."""
    remedy = condition.remedy
    address = links.of_approvals(pipeline)
    if condition.action == "approve" and address:
        remedy = f"approve it in Airflow: {address}"
    state = Text(condition.kind, STYLES[condition.kind])
    return [state, Text(condition.since_text), Text(condition.reason), Text(remedy)]
