"""An edit's plan for people: a table, and some sentences."""

from collections import defaultdict
from collections.abc import Iterator

from rich.box import HEAVY_HEAD, Box
from rich.table import Table

from batchml.commands.plan.champion import ChampionPlan
from batchml.commands.plan.dates import AFTER_SCORING, DateRange
from batchml.commands.plan.edit import Columns, EditPlan, TablePlan
from batchml.config.definitions import INGESTED

HEADINGS = ("table", "definition", "dates to rebuild", "rows", "reason")
NOT_BUILT = "{name} has no tables yet: the first run builds them by the present configuration"

NO_LEDGER = "the tables are older than the ledger: an edit made before its creation is not shown"


def as_table(plan: EditPlan, box: Box = HEAVY_HEAD) -> Table:
    """Return one row for each table and reason. ``box`` has the lines around the cells."""
    table = Table(*HEADINGS, box=box)
    for each in plan.tables:
        definition = _definition(each)
        if not each.rebuild:
            table.add_row(each.table, definition, "none", "", "")
        for part in each.rebuild:
            table.add_row(
                each.table, definition, _dates(part.dates), _rows(part.dates), part.reason
            )
    return table


def sentences(plan: EditPlan) -> Iterator[str]:
    """Yield what the table does not show, one fact a line."""
    if not plan.tables:
        yield NOT_BUILT.format(name=plan.pipeline)
    elif not plan.has_rebuilds:
        yield f"{plan.pipeline}: nothing to rebuild"
    if not plan.has_ledger:
        yield NO_LEDGER
    for table in plan.tables:
        yield from _columns(table.columns)
    yield from _left(plan)
    if plan.champion_unknown:
        yield f"the champion is unknown: {plan.champion_unknown}"
    elif plan.champion is None:
        yield "there is no champion: the next run trains"
    else:
        yield from _champion(plan.champion)


def _definition(table: TablePlan) -> str:
    if table.is_changed:
        return "changed"
    return "unchanged"


def _dates(dates: DateRange) -> str:
    return f"{dates.dates:,}: {_range(dates)}"


def _range(dates: DateRange) -> str:
    return f"{dates.first}..{dates.last}"


def _rows(dates: DateRange) -> str:
    if dates.rows is None:
        return "unknown"
    return f"{dates.rows:,}"


def _columns(columns: Columns) -> Iterator[str]:
    verbs = {"adds": columns.added, "removes": columns.removed, "changes": columns.changed}
    for verb, names in verbs.items():
        if names:
            yield f"the edit {verb} these columns of features: {', '.join(names)}"


def _left(plan: EditPlan) -> Iterator[str]:
    """Yield the dates that keep another definition, once for tables with the same dates."""
    names: defaultdict[str, list[str]] = defaultdict(list)
    for table in plan.tables:
        if table.kept is not None:
            text = f"of another definition before the training window, {_range(table.kept)}"
            remedy = f"To rebuild them: make heal PIPELINE={plan.pipeline}"
            if plan.is_snapshot and table.table in INGESTED:
                remedy = "A snapshot of an earlier date cannot be read again"
            names[f"{_count(table.kept)} {text}. {remedy}"].append(table.table)
        if table.blocked is not None:
            text = f"of another definition {_cause(table.table)}, {_range(table.blocked)}"
            names[f"{_count(table.blocked)} {text}"].append(table.table)
    for text, tables in names.items():
        yield f"{', '.join(tables)}: {text}"


def _count(dates: DateRange) -> str:
    if dates.dates == 1:
        return "1 date"
    return f"{dates.dates:,} dates"


def _cause(table: str) -> str:
    """Return why a part of the training window is not rebuilt."""
    if table in INGESTED:
        return "whose delivery cannot be read"
    if table in AFTER_SCORING:
        return "until a champion can score"
    return "whose input is missing"


def _champion(champion: ChampionPlan) -> Iterator[str]:
    name = f"champion version {champion.version}"
    if champion.can_score:
        yield f"{name} scores on"
    else:
        yield f"{name} cannot score: {champion.cannot_score}"
    if champion.cannot_compare:
        yield f"a challenger cannot be compared with it: {champion.cannot_compare}"
    else:
        yield "a challenger can be compared with it"
    needed = "; ".join(champion.training_reasons)
    if not needed:
        yield "no training is needed"
    elif champion.starts_training:
        yield f"a training is needed, and the next run starts it, to {needed}"
    else:
        yield f"a training is needed to {needed}: the next one, or a run with train=yes"
