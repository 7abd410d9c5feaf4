"""Compare losses on slices of the holdout, where a better model may be worse for some group."""

import math
from collections.abc import Collection, Sequence
from dataclasses import dataclass

from pyspark.sql import DataFrame, Row
from pyspark.sql import functions as F

from batchml.config import Slice

# Per-row loss used for each metric on a slice.
LOSS_OF = {
    "rmse": "rmse",
    "r2": "rmse",
    "mae": "mae",
    "accuracy": "error rate",
    "f1": "error rate",
    "auc": "log_loss",
}
UNKNOWN = "unknown"
SIGNIFICANT = 1.96  # standard errors: 95 % of a normal distribution are within them


@dataclass(frozen=True)
class SliceResult:
    """The losses on the rows of one value of a slice. Smaller losses are better.

    ``significantly_worse``: the challenger's loss per row exceeds the champion's by more than
    chance explains on so many rows.
    """

    rule: Slice
    value: str
    loss: str
    rows: int
    challenger: float
    champion: float | None = None
    significantly_worse: bool = False

    @property
    def objection(self) -> str | None:
        """Return why the challenger is too bad on this slice, or None.

        A slice with fewer rows than its rule requires has no objection.
        """
        rule = self.rule
        if self.rows < rule.min_rows:
            return None
        measured = f"{rule.by}={self.value}: {self.loss} {self.challenger:.4g}"
        if rule.max_loss is not None and self.challenger > rule.max_loss:
            return f"{measured} is more than {rule.max_loss:.4g}"
        if self.champion is None or not self.significantly_worse:
            return None
        if self.challenger > self.champion * (1 + rule.max_worse):
            return (
                f"{measured} against the champion's {self.champion:.4g}, "
                f"more than {rule.max_worse:.0%} worse, on {self.rows:,} rows"
            )
        return None


def unknown(columns: Collection[str], rules: Sequence[Slice]) -> list[str]:
    """Return the slices whose column is missing, as in features older than the slice."""
    return [rule.by for rule in rules if rule.by not in columns]


def evaluate(frame: DataFrame, rules: Sequence[Slice], metric: str) -> list[SliceResult]:
    """Return a result per value of every slice whose column ``frame`` has, the largest first.

    ``frame`` has ``challenger_loss`` and perhaps ``champion_loss``, the losses per row behind
    ``metric``.
    """
    loss = LOSS_OF.get(metric, metric)
    champion = F.lit(None).cast("double")
    if "champion_loss" in frame.columns:
        champion = F.col("champion_loss")
    gap = F.col("challenger_loss") - champion
    sums = [
        F.count("*").alias("rows"),
        F.avg("challenger_loss").alias("challenger"),
        F.avg(champion).alias("champion"),
        F.avg(gap).alias("gap"),
        F.stddev_samp(gap).alias("spread"),
    ]

    results = []
    for rule in rules:
        if rule.by not in frame.columns:
            continue
        text = F.col(rule.by).cast("string")
        value = F.coalesce(text, F.lit(UNKNOWN))
        by_value = frame.groupBy(value.alias("value"))
        for row in by_value.agg(*sums).collect():
            results.append(_result(rule, loss, row))
    return sorted(results, key=_largest_first)


def _largest_first(result: SliceResult) -> tuple[str, int, str]:
    """Return the key that sorts results by slice, and the largest values of a slice first."""
    return result.rule.by, -result.rows, result.value


def _result(rule: Slice, loss: str, row: Row) -> SliceResult:
    champion = None
    significantly_worse = False
    if row["champion"] is not None:
        champion = _in_unit(row["champion"], loss)
    if row["gap"] is not None:
        standard_error = (row["spread"] or 0.0) / math.sqrt(row["rows"])
        significantly_worse = row["gap"] > SIGNIFICANT * standard_error
    return SliceResult(
        rule=rule,
        value=row["value"],
        loss=loss,
        rows=row["rows"],
        challenger=_in_unit(row["challenger"], loss),
        champion=champion,
        significantly_worse=significantly_worse,
    )


def _in_unit(mean: float, loss: str) -> float:
    """Return a mean loss in the unit of its name: the root of squared errors."""
    if loss == "rmse":
        return math.sqrt(mean)
    return mean
