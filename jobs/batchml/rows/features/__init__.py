"""Add features by kind: each function takes a frame and a typed step, and returns a frame."""

from collections.abc import Callable, Mapping, Sequence

from pyspark.sql import DataFrame

from batchml.config import Feature
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
        add = FEATURES[step.kind]
        if step.looks_up is None:
            frame = add(frame, step)
        else:
            frame = add(frame, step, (tables or {})[step.looks_up])
    return frame
