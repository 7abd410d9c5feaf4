"""Read what is stored of a pipeline, without Spark: its ledger and its tables."""

from dataclasses import dataclass

from batchml.clients.delta_tables import DeltaTables
from batchml.config import Pipeline, Places
from batchml.lake.first_ledger import read_ledger
from batchml.lake.ledger import Ledger


@dataclass(frozen=True)
class Stored:
    """A pipeline with its ledger, which is read once, and its tables, each opened once."""

    pipeline: Pipeline
    places: Places
    ledger: Ledger
    tables: DeltaTables


def read_stored(places: Places, pipeline: Pipeline, tables: DeltaTables | None = None) -> Stored:
    """Return what is stored of the pipeline. ``tables`` may be open already.

    Raise Unavailable if the ledger cannot be read.
    """
    folder = places.tables_of(pipeline.name)
    ledger = read_ledger(folder, pipeline)
    return Stored(pipeline, places, ledger, tables or DeltaTables(folder))
