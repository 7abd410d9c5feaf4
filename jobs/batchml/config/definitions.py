"""The identity of what a table's rows are computed by: a hash of the configuration behind them."""

import hashlib
import json
from collections.abc import Collection, Mapping
from typing import Any, Literal

from batchml.config.features import Feature
from batchml.config.pipeline import Column, Pipeline
from batchml.config.sources import LookupTable

Table = Literal["bronze", "silver", "quarantine", "features", "predictions", "drift"]
REVISIONS: dict[Table, int] = {
    "bronze": 1,
    "silver": 1,
    "quarantine": 1,
    "features": 1,
    "predictions": 1,
    "drift": 1,
}
"""Raise a table's number when its code changes the rows that the same input gives."""
OF_THE_SOURCE = (
    *("kind", "event_time", "time_zone", "nulls", "formats", "header", "delimiter", "encoding"),
    *("skip_rows", "comment", "format", "rows", "query"),
)
"""Keys of a source that decide how its rows are read. Others say where they are, and when."""
LENGTH = 12  # hexadecimal digits, as in an abbreviated commit
LENGTH_OF_COLUMN = 6


def definition_of(pipeline: Pipeline, table: Table) -> str:
    """Return the hash of what decides a row of ``table``, besides the rows it is made from.

    Features have one for each column, since a training may need some of them only. Neither the
    version of the code nor that of a model is part of it, or each deployment would outdate all dates.
    """
    # Without defaults, so that a key that a later version adds changes nothing.
    record = {"checks": [], **pipeline.model_dump(mode="json", exclude_defaults=True)}
    parts: Mapping[str, Any]
    match table:
        case "features":
            return columns_definition(pipeline, pipeline.feature_columns)
        case "bronze" | "silver" | "quarantine":
            source = {
                name: value for name, value in record["source"].items() if name in OF_THE_SOURCE
            }
            parts = {"source": source, "columns": record["columns"], "checks": record["checks"]}
        case "predictions":
            parts = {"key": pipeline.key, "label": pipeline.label, "task": pipeline.task}
        case "drift":
            parts = {
                "monitoring": record.get("monitoring"),
                "watched": sorted(pipeline.watched.columns),
                "max_rejected_share": pipeline.max_rejected_share,
            }
    return digest(REVISIONS[table], parts)


def columns_definition(pipeline: Pipeline, names: Collection[str]) -> str:
    """Return the definition of the columns ``names`` of features: each with its hash."""
    hashes = {name: _hash_of_column(pipeline, name) for name in names}
    return " ".join(f"{name}={hashed}" for name, hashed in sorted(hashes.items()))


def covers(definition: str, needed: str) -> bool:
    """Return True if rows of ``definition`` are as ``needed`` defines them."""
    return {*needed.split()} <= {*definition.split()}


def _hash_of_column(pipeline: Pipeline, name: str) -> str:
    steps, tables, columns = _origins(pipeline, name)
    parts = [
        [step.model_dump(mode="json", exclude_defaults=True) for step in steps],
        [(table.path, table.key) for table in tables],
        {
            of: (column.type, column.name_in_source(of), column.epoch)
            for of, column in columns.items()
        },
    ]
    return digest(REVISIONS["features"], parts)[:LENGTH_OF_COLUMN]


def digest(*values: object) -> str:
    """Return a short SHA-256 of ``values``, which JSON can write."""
    text = json.dumps(values, sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:LENGTH]


def features_behind(pipeline: Pipeline, names: Collection[str]) -> tuple[Feature, ...]:
    """Return the features that the columns ``names`` are computed by, directly or not, in order."""
    return _behind(pipeline, names)[0]


def columns_behind(pipeline: Pipeline, names: Collection[str]) -> dict[str, Column]:
    """Return the declared columns that the columns ``names`` are computed from, or are."""
    reached = _behind(pipeline, names)[1]
    return {name: column for name, column in pipeline.columns.items() if name in reached}


def column_definition(pipeline: Pipeline, name: str) -> tuple[object, ...]:
    """Return what the values of column ``name`` depend on, for comparing two configurations.

    These are its features, their lookup tables, and type, name and epoch of the declared columns.
    """
    steps, tables, columns = _origins(pipeline, name)
    declared = [
        (of, column.type, column.source_name, column.epoch) for of, column in columns.items()
    ]
    return (*steps, *tables, *sorted(declared, key=str))


def redefined_columns(pipeline: Pipeline, trained: Pipeline) -> list[str]:
    """Return the inputs and the label of ``trained`` that ``pipeline`` defines in another way.

    Columns that it no longer gives to features are left out.
    """
    present = set(pipeline.feature_columns)
    names = [name for name in (*trained.inputs.columns, trained.label) if name in present]
    return [
        name
        for name in names
        if column_definition(trained, name) != column_definition(pipeline, name)
    ]


def _origins(
    pipeline: Pipeline, name: str
) -> tuple[tuple[Feature, ...], list[LookupTable], dict[str, Column]]:
    """Return the features behind column ``name``, their lookup tables, and the declared columns."""
    steps = features_behind(pipeline, [name])
    tables = [pipeline.lookups[step.looks_up] for step in steps if step.looks_up is not None]
    return steps, tables, columns_behind(pipeline, [name])


def _behind(pipeline: Pipeline, names: Collection[str]) -> tuple[tuple[Feature, ...], set[str]]:
    """Return the features behind ``names``, and ``names`` with all the columns these read."""
    reached = set(names)
    steps: list[Feature] = []
    for step in reversed(pipeline.features):
        if reached & step.adds().keys():
            reached |= {*step.reads()}
            steps.insert(0, step)
    return tuple(steps), reached
