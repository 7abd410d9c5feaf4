"""The loss on parts of the holdout: a model that is better on the whole may still be worse for someone."""

import math
from collections.abc import Collection, Sequence
from dataclasses import dataclass

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from batchml.config import Slice

# What a metric that is no mean over rows comes down to on a part of them.
LOSS_OF = {
    "rmse": "rmse",
    "r2": "rmse",
    "mae": "mae",
    "accuracy": "error rate",
    "f1": "error rate",
    "auc": "log_loss",
}
UNKNOWN = "unknown"


SURE = 1.96  # standard errors: 95 % of a normal distribution lie within


@dataclass(frozen=True)
class Part:
    """The rows of one value of a slice; ``challenger`` and ``champion`` are their losses, smaller being better.

    ``surely_worse``: the challenger's loss by row is above the champion's by more than chance makes of so many rows.
    """

    rule: Slice
    value: str
    loss: str
    rows: int
    challenger: float
    champion: float | None = None
    surely_worse: bool = False

    @property
    def objection(self) -> str | None:
        """Why this part speaks against the challenger; None where it does not, or has too few rows to say."""
        if self.rows < self.rule.min_rows:
            return None
        said = f"{self.rule.by}={self.value}: {self.loss} {self.challenger:.4g}"
        if self.rule.max_loss is not None and self.challenger > self.rule.max_loss:
            return f"{said} is more than {self.rule.max_loss:.4g}"
        if self.champion is None or not self.surely_worse:
            return None
        if self.challenger > self.champion * (1 + self.rule.max_worse):
            allowed = f"more than {self.rule.max_worse:.0%} worse"
            return f"{said} against the champion's {self.champion:.4g}, {allowed}, on {self.rows:,} rows"
        return None


def unknown(columns: Collection[str], rules: Sequence[Slice]) -> list[str]:
    """Return the slices whose column is missing, as in features older than the slice."""
    return [rule.by for rule in rules if rule.by not in columns]


def parts(frame: DataFrame, rules: Sequence[Slice], metric: str) -> list[Part]:
    """Return the parts of every slice whose column ``frame`` has, the largest first.

    ``frame`` has ``challenger_loss`` and perhaps ``champion_loss``, the losses per row behind
    ``metric``.
    """
    loss = LOSS_OF.get(metric, metric)
    champion = (
        F.col("champion_loss") if "champion_loss" in frame.columns else F.lit(None).cast("double")
    )
    gap = F.col("challenger_loss") - champion
    sums = [F.count("*"), F.avg("challenger_loss"), F.avg(champion), F.avg(gap), F.stddev_samp(gap)]
    found = []
    for rule in rules:
        if rule.by not in frame.columns:
            continue
        value = F.coalesce(F.col(rule.by).cast("string"), F.lit(UNKNOWN)).alias("value")
        for name, rows, own, other, mean, spread in frame.groupBy(value).agg(*sums).collect():
            worse = mean is not None and mean > SURE * (spread or 0.0) / math.sqrt(rows)
            known = None if other is None else _rooted(other, loss)
            found.append(Part(rule, name, loss, rows, _rooted(own, loss), known, worse))
    return sorted(found, key=lambda part: (part.rule.by, -part.rows, part.value))


def _rooted(mean: float, loss: str) -> float:
    return math.sqrt(mean) if loss == "rmse" else mean
