"""Check that a holdout has enough rows to evaluate a model on."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from batchml.config import Training
from batchml.models.scoring import Baseline, SharesBaseline

TWO_CLASSES = 2
RARE = 0.01
"""The share of the rows fitted on below which one of many classes need not be in the holdout."""


@dataclass(frozen=True)
class Evidence:
    """Rows, dates with rows, and rows by class, of labelled rows."""

    rows: int
    dates: int
    by_class: Mapping[str, int]

    def too_few(self, training: Training, classes: Mapping[str, float]) -> str:
        """Return which minimum of ``training`` is not reached, or an empty text.

        ``classes`` are the shares of the classes in the rows fitted on, none for a regression.
        """
        least = training.min_holdout_rows
        if self.rows < least:
            return f"{self.rows} rows, fewer than training.min_holdout_rows ({least})"
        least = training.least_holdout_days
        if self.dates < least:
            return f"rows on {self.dates} dates, fewer than training.min_holdout_days ({least})"

        least = training.min_class_rows
        for name, share in classes.items():
            rows = self.by_class.get(name, 0)
            is_needed = len(classes) <= TWO_CLASSES or share >= RARE
            if is_needed and rows < least:
                return (
                    f"{rows} rows of class {name!r}, fewer than training.min_class_rows ({least})"
                )
        return ""


def count_evidence(frame: DataFrame) -> Evidence:
    """Count the rows of ``frame``, which has the columns ``event_date`` and ``label``."""
    label = F.lit(None)
    if _is_class(frame):
        label = F.col("label")
    name = label.cast("string").alias("name")
    counted = frame.groupBy("event_date", name).count()

    by_class: Counter[str] = Counter()
    dates = set()
    for row in counted.collect():
        by_class[row["name"]] += row["count"]
        dates.add(row["event_date"])
    return Evidence(
        rows=by_class.total(),
        dates=len(dates),
        by_class=by_class,
    )


def class_shares(baseline: Baseline) -> Mapping[str, float]:
    """Return the share of each class in the rows fitted on, none for a regression."""
    if isinstance(baseline, SharesBaseline):
        return baseline.shares
    return {}


def _is_class(frame: DataFrame) -> bool:
    return dict(frame.dtypes)["label"] == "string"
