"""How long a job takes to find that it owes nothing."""

import datetime as dt
import time
from pathlib import Path

import pyarrow as pa
import pytest
from deltalake import write_deltalake

from batchml.clients import landing
from batchml.config import Pipeline, Places, conf_folder, load_pipeline
from batchml.config.definitions import INGESTED, definition_of
from batchml.config.sources import days_between
from batchml.errors import BadData, Missing
from batchml.lake.ledger import Entry, Ledger, LedgerTable
from batchml.lake.owed import DERIVATIONS, made_from
from batchml.workflow.catch_up import Request, better_outcome, make_plan

DAYS = days_between(dt.date(2021, 1, 1), dt.date(2021, 3, 1))
NOW = dt.datetime(2021, 3, 2, tzinfo=dt.UTC)


@pytest.fixture(scope="module")
def taxi() -> Pipeline:
    return load_pipeline("taxi", conf_folder())


@pytest.fixture(scope="module")
def places(taxi: Pipeline, tmp_path_factory: pytest.TempPathFactory) -> Places:
    """Return a lake whose ledger has 60 days in every table, all of them made."""
    folder = tmp_path_factory.mktemp("owed")
    landed = folder / "landing"
    landed.mkdir()
    for path in {taxi.source.path_on(day) for day in DAYS}:
        (landed / path).write_bytes(b"month")
    lake = Places(str(landed), str(folder / "lake"), "sqlite://", str(folder))
    _write_tables(taxi, lake)
    return lake


def _write_tables(pipeline: Pipeline, places: Places) -> None:
    root = places.tables_of(pipeline.name)
    delivered = landing.delivered(places.landing, pipeline.source, DAYS)
    entries = []
    for table in INGESTED:
        definition = definition_of(pipeline, table)
        for day in DAYS:
            made = Entry(table, day, "done", 1, f"{day}", delivered[day], definition, "run", NOW)
            entries.append(made)
    for derivation in DERIVATIONS.values():
        table = derivation.table
        definition, ledger = definition_of(pipeline, table), Ledger.of(entries)
        for day in DAYS:
            source = made_from(ledger, pipeline, table, day)
            entries.append(Entry(table, day, "done", 1, f"{day}", source, definition, "run", NOW))
    LedgerTable(root).write(entries)
    rows = pa.table({"event_date": DAYS, "n": range(len(DAYS))})
    for table in {entry.table_name for entry in entries}:
        write_deltalake(Path(root, table), rows, partition_by=["event_date"])


@pytest.mark.parametrize("job", ["ingest", *DERIVATIONS])
def test_nothing_owed_is_found_in_a_second(taxi: Pipeline, places: Places, job: str):
    request = Request(job, taxi, places, None, DAYS[-1], "yes")
    begun = time.process_time()
    plan = make_plan(request, landing.LOCAL)
    assert time.process_time() - begun < 1
    assert list(plan.passes) == []


def test_error_outweighs_nothing_to_do():
    missing, bad = Missing("no file yet"), BadData("damaged")
    assert better_outcome(None, missing) is missing
    assert better_outcome(missing, bad) is better_outcome(bad, missing) is bad
