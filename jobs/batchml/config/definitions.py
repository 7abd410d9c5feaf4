"""The identity of what a table's rows are computed by: a hash of the configuration behind them."""

import hashlib
import json
from collections.abc import Mapping
from typing import Any, Literal

from batchml.config.pipeline import Pipeline

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


def definition_of(pipeline: Pipeline, table: Table) -> str:
    """Return the hash of what decides a row of ``table``, besides the rows it is made from.

    Neither the version of the code nor that of a model is part of it, or each deployment would
    outdate all dates.
    """
    return digest(REVISIONS[table], _parts(pipeline, table))


def digest(*values: object) -> str:
    """Return a short SHA-256 of ``values``, which JSON can write."""
    text = json.dumps(values, sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:LENGTH]


def _parts(pipeline: Pipeline, table: Table) -> Mapping[str, Any]:
    # Without defaults, so that a key that a later version adds changes nothing.
    record = {
        "checks": [],
        "features": [],
        **pipeline.model_dump(mode="json", exclude_defaults=True),
    }
    match table:
        case "bronze" | "silver" | "quarantine":
            source = {
                name: value for name, value in record["source"].items() if name in OF_THE_SOURCE
            }
            return {"source": source, "columns": record["columns"], "checks": record["checks"]}
        case "features":
            judged_by = (*pipeline.slices, *filter(None, [pipeline.gate.baseline]))
            names = {*pipeline.inputs.columns, *pipeline.training.group, *judged_by}
            lookups = {name: (each.path, each.key) for name, each in pipeline.lookups.items()}
            return {
                "features": record["features"],
                "lookups": lookups,
                "columns": [*pipeline.key, pipeline.label, *sorted(names)],
            }
        case "predictions":
            return {"key": pipeline.key, "label": pipeline.label, "task": pipeline.task}
        case "drift":
            return {
                "monitoring": record.get("monitoring"),
                "watched": sorted(pipeline.watched.columns),
                "max_rejected_share": pipeline.max_rejected_share,
            }
