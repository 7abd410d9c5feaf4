"""Feature functions by the kind a YAML names them with: DataFrame and its typed step in, DataFrame out."""

from collections.abc import Callable, Collection, Mapping, Sequence

from pyspark.sql import DataFrame

from batchml.config import Feature, Pipeline
from batchml.config.pipeline import Column
from batchml.rows.features.calendar import (
    with_day_of_week,
    with_duration_minutes,
    with_hour_of_day,
    with_lag,
)
from batchml.rows.features.categories import with_bands, with_lookup, with_recode

FEATURES: dict[str, Callable[..., DataFrame]] = {
    "duration_minutes": with_duration_minutes,
    "hour_of_day": with_hour_of_day,
    "day_of_week": with_day_of_week,
    "lag": with_lag,
    "bands": with_bands,
    "recode": with_recode,
    "lookup": with_lookup,
}


def with_features(
    frame: DataFrame, steps: Sequence[Feature], tables: Mapping[str, DataFrame | None] | None = None
) -> DataFrame:
    """Add the columns of ``steps``, in their order; ``tables`` are their lookup tables."""
    for step in steps:
        beside = () if step.looks_up is None else ((tables or {})[step.looks_up],)
        frame = frame.transform(FEATURES[step.kind], step, *beside)
    return frame


def features_behind(pipeline: Pipeline, names: Collection[str]) -> tuple[Feature, ...]:
    """Return the features that the columns ``names`` are computed by, directly or not, in order."""
    return _behind(pipeline, names)[0]


def columns_behind(pipeline: Pipeline, names: Collection[str]) -> dict[str, Column]:
    """Return the declared columns that the columns ``names`` are computed from, or are."""
    reached = _behind(pipeline, names)[1]
    return {name: column for name, column in pipeline.columns.items() if name in reached}


def definition(pipeline: Pipeline, name: str) -> tuple[object, ...]:
    """Return what the values of column ``name`` depend on, for comparing two configurations.

    These are its features, their lookup tables, and type, name and epoch of the declared columns.
    """
    steps = features_behind(pipeline, [name])
    tables = [pipeline.lookups[step.looks_up] for step in steps if step.looks_up is not None]
    columns = columns_behind(pipeline, [name])
    declared = [
        (of, column.type, column.source_name, column.epoch) for of, column in columns.items()
    ]
    return (*steps, *tables, *sorted(declared, key=str))


def _behind(pipeline: Pipeline, names: Collection[str]) -> tuple[tuple[Feature, ...], set[str]]:
    """Return the features behind ``names``, and ``names`` with all the columns these read."""
    reached = set(names)
    steps: list[Feature] = []
    for step in reversed(pipeline.features):
        if reached & step.adds().keys():
            reached |= {*step.reads()}
            steps.insert(0, step)
    return tuple(steps), reached
