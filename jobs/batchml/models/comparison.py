"""Compare a challenger with the champion and a baseline on the same rows."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from pyspark.ml import PipelineModel
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from batchml.config import Gate, Task
from batchml.models import metrics, scoring, significance, slices
from batchml.models.significance import Difference

Role = Literal["challenger", "champion"]


@dataclass(frozen=True)
class Terms:
    """The terms of a comparison: task and label, the key of a row, the gate's rules, and a seed."""

    task: Task
    label: str
    key: Sequence[str]
    gate: Gate
    seed: int


@dataclass(frozen=True)
class Comparison:
    """Metrics by name of each model on the holdout.

    ``champion`` has them on the rows that the champion was not fitted on. ``shared`` are those of
    the challenger on the same rows, None if these are all. ``paired`` is their difference with its
    interval, ``slice_results`` the losses by slice. ``obstacle`` is the reason why no comparison
    with the champion is possible.
    """

    challenger: Mapping[str, float]
    baseline: Mapping[str, float]
    champion: Mapping[str, float] | None = None
    paired: Difference | None = None
    slice_results: Sequence[slices.SliceResult] = ()
    shared: Mapping[str, float] | None = None
    obstacle: str = ""

    @property
    def metrics(self) -> dict[str, Mapping[str, float]]:
        """Return the metrics of each model by its role.

        ``challenger_shared`` are the challenger's on the rows of the champion, if these are not
        all.
        """
        by_role = {"challenger": self.challenger, "baseline": self.baseline}
        if self.champion is not None:
            by_role["champion"] = self.champion
        if self.shared is not None:
            by_role["challenger_shared"] = self.shared
        return by_role


def score(model: PipelineModel, rows: DataFrame, terms: Terms, role: Role) -> DataFrame:
    """Return ``rows`` with the predictions of ``model`` and its loss per row, ``<role>_loss``.

    The champion scores rows that have ``challenger_loss`` already, and no other column of the
    challenger's.
    """
    scored = scoring.with_predictions(model, rows, terms.task, terms.label)
    return scored.withColumn(f"{role}_loss", metrics.loss_by_row(terms.gate.metric))


def compare(
    challenger: DataFrame,
    champion: DataFrame | None,
    baseline: scoring.Baseline,
    terms: Terms,
    shared: DataFrame | None = None,
) -> Comparison:
    """Return the metrics of all three, their difference, and the losses by slice.

    ``challenger`` and ``champion`` are the rows as ``score`` returns them. ``champion`` is None if
    there is none. ``shared`` are the challenger's rows that the champion has too, None if it has
    all of them.
    """
    gate = terms.gate
    measure = metrics.MEASURES[terms.task]
    baseline_scored = scoring.with_baseline(challenger, baseline, terms.label, gate.baseline)
    challenger_metrics = measure(challenger)
    baseline_metrics = measure(baseline_scored)

    if champion is None:
        return Comparison(
            challenger_metrics,
            baseline_metrics,
            slice_results=slices.evaluate(challenger, gate.slices, gate.metric),
        )
    shared_metrics = None
    if shared is not None:
        shared_metrics = measure(shared)
    return Comparison(
        challenger_metrics,
        baseline_metrics,
        champion=measure(champion),
        shared=shared_metrics,
        paired=loss_difference(champion, terms),
        slice_results=slices.evaluate(champion, gate.slices, gate.metric),
    )


def loss_difference(both: DataFrame, terms: Terms) -> Difference:
    """Return the difference of the mean losses with its interval.

    ``both`` has ``challenger_loss`` and ``champion_loss`` per row.
    """
    hashed = F.xxhash64(*terms.key)
    group = F.pmod(hashed, F.lit(significance.BUCKETS))
    sums = both.groupBy(group).agg(
        F.sum("challenger_loss"),
        F.sum("champion_loss"),
        F.count("*"),
    )
    # Sort, so that a seed yields the same interval in whichever order executors return the groups.
    rows = sorted(sums.collect())
    table = np.array([row[1:] for row in rows], dtype=float)
    is_squared = terms.gate.metric == "rmse"
    return significance.difference(table, terms.seed, terms.gate.confidence, root=is_squared)
