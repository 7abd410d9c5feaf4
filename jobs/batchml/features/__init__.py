"""Feature functions by the kind a YAML names them with: DataFrame and its typed step in, DataFrame out."""

from collections.abc import Callable, Sequence
from typing import Any

from pyspark.sql import DataFrame

from batchml.config import Feature
from batchml.features.calendar import with_day_of_week, with_duration_minutes, with_hour_of_day

FEATURES: dict[str, Callable[[DataFrame, Any], DataFrame]] = {
    "duration_minutes": with_duration_minutes,
    "hour_of_day": with_hour_of_day,
    "day_of_week": with_day_of_week,
}


def with_features(frame: DataFrame, steps: Sequence[Feature]) -> DataFrame:
    """``frame`` with the columns that ``steps`` add, in their order."""
    for step in steps:
        frame = frame.transform(FEATURES[step.kind], step)
    return frame
