"""`python -m batchml.commands.plan`: print what an edit of a YAML changes, before anything runs."""

import argparse
import dataclasses
import datetime as dt
import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich.box import MARKDOWN
from rich.console import Console

from batchml import config
from batchml.clients import landing
from batchml.commands.plan import text
from batchml.commands.plan.champion import Champion
from batchml.commands.plan.edit import EditPlan, Known, horizon_of, next_run, plan_edit
from batchml.commands.plan.tracked import read_champion
from batchml.config import Pipeline, Places
from batchml.errors import PipelineError
from batchml.lake import owed
from batchml.lake.first_ledger import read_ledger
from batchml.lake.ledger import Ledger, LedgerTable
from batchml.lake.owed import Deliveries, Horizon
from batchml.workflow import catch_up

WIDTH = 120
UNLIMITED = 10_000  # characters
NOTHING = Deliveries({}, is_complete=True)


def main(argv: Sequence[str]) -> int:
    """Print the plan. Return 0, or the exit code of an error."""
    arguments = _parse(argv)
    # In a narrow window or a log, the table wraps instead of losing text.
    console = Console(width=max(Console().width, WIDTH), highlight=False)
    try:
        conf = config.conf_folder()
        places = config.load_places(arguments.env, conf, os.environ)
        pipeline = config.load_pipeline(arguments.pipeline, conf)
        run = None
        if arguments.end:
            run = config.parse_date(arguments.end, "--end")
        plan = read_plan(pipeline, places, run)
    except PipelineError as error:
        Console(stderr=True).print(str(error), style="red", markup=False)
        return error.exit_code

    if arguments.json:
        content = json.dumps(as_json(plan), indent=2)
        console.print(content, soft_wrap=True, markup=False)
    elif arguments.markdown:
        _print_markdown(plan)
    else:
        _print(console, plan)
    return 0


def _print(console: Console, plan: EditPlan) -> None:
    if plan.tables:
        console.print(f"{plan.pipeline}, as the run of {plan.run} works on it", markup=False)
        console.print(text.as_table(plan))
    for sentence in text.sentences(plan):
        console.print(sentence, markup=False, soft_wrap=True)


def _print_markdown(plan: EditPlan) -> None:
    """Print the plan for a comment on a pull request."""
    # A row must not wrap.
    console = Console(width=UNLIMITED, highlight=False)
    console.print(f"### Plan of `{plan.pipeline}`", markup=False)
    if plan.tables:
        console.print(f"\nAs the run of {plan.run} works on it:", markup=False)
        console.print(text.as_table(plan, MARKDOWN))
    for sentence in text.sentences(plan):
        console.print(f"- {sentence}", markup=False)


def _parse(argv: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m batchml.commands.plan", description=__doc__)
    parser.add_argument("--pipeline", required=True, metavar="NAME", help="the edited pipeline")
    parser.add_argument(
        "--end", metavar="YYYY-MM-DD", help="the date of the next run (default: after the newest)"
    )
    parser.add_argument(
        "--env", default=config.default_env(), metavar="NAME", help="a file of conf/env"
    )
    form = parser.add_mutually_exclusive_group()
    form.add_argument("--json", action="store_true", help="print JSON for other programs")
    form.add_argument(
        "--markdown", action="store_true", help="print Markdown for a comment on a pull request"
    )
    return parser.parse_args(argv)


def read_plan(
    pipeline: Pipeline,
    places: Places,
    run: dt.date | None,
) -> EditPlan:
    """Read ledger, landing folder and champion, and return the plan for the run of ``run``."""
    folder = places.tables_of(pipeline.name)
    ledger = read_ledger(folder, pipeline)
    run = run or next_run(ledger)
    horizon = None
    if run is not None:
        horizon = horizon_of(ledger, pipeline, run)
    deliveries = NOTHING
    if horizon is not None:
        deliveries = _deliveries(pipeline, places, ledger, horizon)

    champion = _champion(pipeline, places)
    has_ledger = LedgerTable(folder).exists()
    known = Known(deliveries, champion, has_ledger)
    return plan_edit(pipeline, ledger, horizon, known)


def as_json(plan: EditPlan) -> dict[str, Any]:
    """Return the plan as JSON, with dates as text."""
    content = dataclasses.asdict(plan) | {"has_rebuilds": plan.has_rebuilds}
    if plan.champion is not None:
        content["champion"] |= {
            "can_score": plan.champion.can_score,
            "starts_training": plan.champion.starts_training,
        }
    plain: dict[str, Any] = json.loads(json.dumps(content, default=str))
    return plain


def _deliveries(
    pipeline: Pipeline,
    places: Places,
    ledger: Ledger,
    horizon: Horizon,
) -> Deliveries:
    """Return the deliveries in the landing folder.

    Without one on this machine, as in CI, a delivery counts as unchanged.
    """
    if not landing.is_local(places.landing) or not Path(places.landing).is_dir():
        return Deliveries({}, is_complete=False)
    dates = owed.dates_to_check(ledger, horizon)
    return catch_up.deliveries_of(pipeline, places, dates)


def _champion(pipeline: Pipeline, places: Places) -> Champion | str | None:
    """Return the champion, or why it cannot be read."""
    try:
        return read_champion(pipeline.name, places)
    except PipelineError as error:
        return error.message


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
