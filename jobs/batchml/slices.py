"""The loss on parts of the holdout: a model that is better on the whole may still be worse for someone."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from batchml.config import Slice

# What a metric that is no mean over rows comes down to on a part of them.
LOSS_OF = {"rmse": "rmse", "r2": "rmse", "mae": "mae", "accuracy": "error rate", "f1": "error rate"}
UNKNOWN = "unknown"


@dataclass(frozen=True)
class Part:
    """The rows of one value of a slice; ``challenger`` and ``champion`` are their losses, smaller being better."""

    rule: Slice
    value: str
    loss: str
    rows: int
    challenger: float
    champion: float | None

    @property
    def objection(self) -> str | None:
        """Why this part speaks against the challenger; None where it does not, or has too few rows to say."""
        if self.rows < self.rule.min_rows:
            return None
        said = f"{self.rule.by}={self.value}: {self.loss} {self.challenger:.4g}"
        if self.rule.limit is not None and self.challenger > self.rule.limit:
            return f"{said} is worse than the limit {self.rule.limit:.4g}"
        if self.champion is not None and self.challenger > self.champion * (1 + self.rule.max_worse):
            allowed = f"more than {self.rule.max_worse:.0%} worse"
            return f"{said} against the champion's {self.champion:.4g}, {allowed}, on {self.rows:,} rows"
        return None


def parts(frame: DataFrame, rules: Sequence[Slice], metric: str) -> list[Part]:
    """The parts of every slice, the largest first.

    ``frame`` has the slices' columns and, by row, ``challenger_loss`` and perhaps ``champion_loss``: the losses that
    ``metric`` is made of.
    """
    loss = LOSS_OF.get(metric, metric)
    means = [F.avg("challenger_loss"), F.avg("champion_loss" if "champion_loss" in frame.columns else F.lit(None))]
    found = []
    for rule in rules:
        value = F.coalesce(F.col(rule.by).cast("string"), F.lit(UNKNOWN)).alias("value")
        for name, rows, *losses in frame.groupBy(value).agg(F.count("*"), *means).collect():
            challenger, champion = (_rooted(mean, loss) for mean in losses)
            assert challenger is not None, "every row has a loss"
            found.append(Part(rule, name, loss, rows, challenger, champion))
    return sorted(found, key=lambda part: (part.rule.by, -part.rows, part.value))


def _rooted(mean: float | None, loss: str) -> float | None:
    return math.sqrt(mean) if mean is not None and loss == "rmse" else mean
