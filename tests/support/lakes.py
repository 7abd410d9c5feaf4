"""Write a lake without Spark: the ledger, and the tables as far as a status reads them."""

import datetime as dt
from collections.abc import Sequence
from pathlib import Path

import pyarrow as pa
from deltalake import write_deltalake

from batchml.config import Pipeline, Places
from batchml.config.definitions import INGESTED, definition_of
from batchml.lake.ledger import Entry, Ledger, LedgerTable
from batchml.lake.owed import DERIVATIONS, made_from


def all_entries(pipeline: Pipeline, dates: Sequence[dt.date]) -> list[Entry]:
    """Return the entries of dates that are done in every table."""
    entries = []
    for table in INGESTED:
        definition = definition_of(pipeline, table)
        for date in dates:
            written = dt.datetime.combine(date, dt.time(4), dt.UTC) + dt.timedelta(days=1)
            identity, delivery = f"rows of {date}", f"file of {date}"
            entries.append(
                Entry(table, date, "done", 3, identity, delivery, definition, "r", written)
            )
    for derivation in DERIVATIONS.values():
        table = derivation.table
        ledger, definition = Ledger.of(entries), definition_of(pipeline, table)
        for date in dates:
            source = made_from(ledger, pipeline, table, date)
            identity = f"{table} of {date}"
            entries.append(Entry(table, date, "done", 3, identity, source, definition, "r"))
    return entries


def places(folder: Path) -> Places:
    return Places(str(folder / "landing"), str(folder / "lake"), "", "")


def write_lake(folder: Path, pipeline: Pipeline, dates: Sequence[dt.date]) -> None:
    """Write the ledger, and the tables as far as a status reads them."""
    root = places(folder).tables_of(pipeline.name)
    LedgerTable(root).write(all_entries(pipeline, dates))
    rows = [{"event_date": date, "model_version": 2} for date in dates]
    for table in (*INGESTED, "features", "predictions"):
        write_table(f"{root}/{table}", rows)
    findings = []
    for row in rows:
        error = {"subject": "prediction", "measure": "rmse", "value": 6.5, "expected": 6.1}
        findings += [
            row | error | {"level": "watch"},
            row | error | {"measure": "psi", "level": "ok"},
        ]
    write_table(f"{root}/drift", findings)


def write_table(path: str, rows: Sequence[dict[str, object]]) -> None:
    """Write the rows as a table with a file for each date."""
    write_deltalake(path, pa.Table.from_pylist(rows), partition_by=["event_date"])
