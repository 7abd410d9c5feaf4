"""Definitions: hashes of the configuration that the rows of a table are computed by."""

import hashlib
import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from batchml.config.columns import Column
from batchml.config.features import Feature
from batchml.config.pipeline import Pipeline
from batchml.config.sources import LookupTable

Table = Literal["bronze", "silver", "quarantine", "features", "predictions", "drift"]
INGESTED: tuple[Table, ...] = ("bronze", "silver", "quarantine")
"""The tables that a delivery is ingested into."""
ALARMS_ONLY = ("late_after_hours", "volume")
"""Keys of ``monitoring`` that decide about messages, and about no row."""
REVISIONS: dict[Table, int] = {
    "bronze": 1,
    "silver": 1,
    "quarantine": 1,
    "features": 1,
    "predictions": 1,
    "drift": 1,
}
"""Raise a table's number when its code computes other rows from the same input."""
OF_THE_SOURCE = {
    "kind",
    "event_time",
    "time_zone",
    "nulls",
    "formats",
    "header",
    "delimiter",
    "encoding",
    "skip_rows",
    "comment",
    "format",
    "rows",
    "query",
}
"""Keys of a source that decide how its rows are read. Others are places, times and limits."""
LENGTH = 12  # hexadecimal digits, as in an abbreviated commit
LENGTH_OF_COLUMN = 6


def definition_of(pipeline: Pipeline, table: Table) -> str:
    """Return the hash of what decides a row of ``table``, in addition to the rows it is made from.

    The table features has a hash for each column, since a training may need only some of them. The
    versions of code and model are left out, or each deployment would make all dates outdated.
    """
    if table == "features":
        return columns_definition(pipeline, pipeline.feature_columns)
    return digest(REVISIONS[table], _parts_of(pipeline, table))


def _parts_of(pipeline: Pipeline, table: Table) -> dict[str, Any]:
    """Return the parts of the configuration that decide a row of ``table``."""
    # Without defaults, so that a key that a later version adds changes nothing.
    config = pipeline.model_dump(mode="json", exclude_defaults=True)
    match table:
        case "predictions":
            return {"key": pipeline.key, "label": pipeline.label, "task": pipeline.task}
        case "drift":
            return {
                "monitoring": _drift_limits(config.get("monitoring", {})),
                "watched": sorted(pipeline.watched.columns),
                "max_rejected_share": pipeline.max_rejected_share,
            }
    source = {name: value for name, value in config["source"].items() if name in OF_THE_SOURCE}
    checks = config.get("checks", [])
    return {"source": source, "columns": config["columns"], "checks": checks}


def _drift_limits(monitoring: Mapping[str, Any]) -> dict[str, Any] | None:
    """Return the limits that decide a row of drift; None if all of them are defaults."""
    limits = {name: value for name, value in monitoring.items() if name not in ALARMS_ONLY}
    return limits or None


def columns_definition(pipeline: Pipeline, names: Collection[str]) -> str:
    """Return the definition of the columns ``names`` of features: each with its hash."""
    hashes = [f"{name}={_hash_of_column(pipeline, name)}" for name in sorted(set(names))]
    return " ".join(hashes)


def covers(definition: str, needed: str) -> bool:
    """Return True if rows of ``definition`` are as ``needed`` defines them."""
    return set(needed.split()) <= set(definition.split())


def _hash_of_column(pipeline: Pipeline, name: str) -> str:
    origins = _origins(pipeline, name)
    steps = [step.model_dump(mode="json", exclude_defaults=True) for step in origins.features]
    tables = [(table.path, table.key) for table in origins.tables]
    columns = {}
    for declared, column in origins.columns.items():
        columns[declared] = (column.type, column.name_in_source(declared), column.epoch)
    return digest(REVISIONS["features"], [steps, tables, columns])[:LENGTH_OF_COLUMN]


def digest(*values: object) -> str:
    """Return a short SHA-256 of ``values``, which JSON can write."""
    text = json.dumps(values, sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:LENGTH]


def features_behind(pipeline: Pipeline, names: Collection[str]) -> tuple[Feature, ...]:
    """Return the features that compute the columns ``names``, directly or not, in their order."""
    needed = set(names)
    features: list[Feature] = []
    for feature in reversed(pipeline.features):
        if not needed.isdisjoint(feature.adds()):
            needed.update(feature.reads())
            features.insert(0, feature)
    return tuple(features)


def columns_behind(pipeline: Pipeline, names: Collection[str]) -> dict[str, Column]:
    """Return the declared columns that the columns ``names`` are computed from, or are."""
    needed = set(names)
    for feature in features_behind(pipeline, names):
        needed.update(feature.reads())
    return {name: column for name, column in pipeline.columns.items() if name in needed}


def column_definition(pipeline: Pipeline, name: str) -> tuple[object, ...]:
    """Return what the values of column ``name`` depend on, for comparing two configurations.

    These are its features, their lookup tables, and type, name and epoch of the declared columns.
    """
    origins = _origins(pipeline, name)
    declared = []
    for column_name, column in origins.columns.items():
        declared.append((column_name, column.type, column.source_name, column.epoch))
    return origins.features, origins.tables, tuple(sorted(declared, key=str))


def redefined_columns(pipeline: Pipeline, trained: Pipeline) -> list[str]:
    """Return the inputs and the label of ``trained`` that ``pipeline`` defines in another way.

    Columns that are no longer columns of features are left out.
    """
    present = set(pipeline.feature_columns)
    redefined = []
    for name in (*trained.inputs.columns, trained.label):
        if name not in present:
            continue
        if column_definition(trained, name) != column_definition(pipeline, name):
            redefined.append(name)
    return redefined


@dataclass(frozen=True)
class Origins:
    """The features, lookup tables and declared columns that a column is computed from."""

    features: tuple[Feature, ...]
    tables: tuple[LookupTable, ...]
    columns: dict[str, Column]


def _origins(pipeline: Pipeline, name: str) -> Origins:
    features = features_behind(pipeline, [name])
    names = [feature.looks_up for feature in features if feature.looks_up is not None]
    tables = tuple(pipeline.lookups[table] for table in names)
    return Origins(features, tables, columns_behind(pipeline, [name]))
