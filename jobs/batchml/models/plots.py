"""Draw a model's predictions and metrics, as figures without global state."""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.figure import Figure
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from batchml.config import Task
from batchml.models import metrics
from batchml.models.metrics import Bin
from batchml.models.slices import SliceResult

PLOTTED_ROWS = 5_000


def holdout(scored: DataFrame, task: Task, label: str, key: Sequence[str]) -> dict[str, Figure]:
    """Return the figures of a model's predictions, by name.

    ``scored`` has the columns that metrics are computed from.
    """
    if task == "regression":
        return _of_numbers(scored, label, key)
    matrix = metrics.confusion(scored)
    figures = {"confusion_matrix": confusion_matrix(matrix)}
    rarer = metrics.rarer_of_two(matrix)
    if rarer is not None:
        figures["calibration"] = calibration(metrics.calibration(scored, rarer), rarer)
    return figures


def _of_numbers(scored: DataFrame, label: str, key: Sequence[str]) -> dict[str, Figure]:
    # Order by hash, so that the figure shows the same rows each time.
    sample = scored.orderBy(F.xxhash64(*key)).limit(PLOTTED_ROWS)
    rows = sample.select("prediction", "label").collect()
    predicted = [row["prediction"] for row in rows]
    actual = [row["label"] for row in rows]
    return {
        "predicted_against_actual": predicted_against_actual(predicted, actual, label),
        "residuals": residuals(predicted, actual, label),
    }


def predicted_against_actual(
    predicted: Sequence[float], actual: Sequence[float], unit: str
) -> Figure:
    """Draw a point per row; on the diagonal the prediction is right."""
    figure = Figure(figsize=(6, 6), layout="constrained")
    axes = figure.add_subplot()
    axes.scatter(actual, predicted, s=4, alpha=0.3)
    lowest = min(*predicted, *actual)
    axes.axline((lowest, lowest), slope=1, color="black", linewidth=0.8)
    axes.set(
        xlabel=f"actual {unit}",
        ylabel=f"predicted {unit}",
        title=f"Predicted against actual ({len(actual):,} rows)",
    )
    return figure


def residuals(predicted: Sequence[float], actual: Sequence[float], unit: str) -> Figure:
    """Draw a histogram of the errors, predicted minus actual."""
    errors = np.asarray(predicted) - np.asarray(actual)
    figure = Figure(figsize=(7, 4.5), layout="constrained")
    axes = figure.add_subplot()
    axes.hist(errors, bins=60)
    axes.axvline(0, color="black", linewidth=0.8)
    axes.set(
        xlabel=f"predicted - actual {unit}",
        ylabel="rows",
        title=f"Residuals, mean {errors.mean():+.3g}",
    )
    return figure


def confusion_matrix(matrix: Mapping[tuple[str, str], int]) -> Figure:
    """Draw the number of rows per true class (down) and predicted class (across)."""
    classes = metrics.class_names(matrix)
    counts = np.zeros((len(classes), len(classes)), dtype=int)
    for (actual, predicted), count in matrix.items():
        counts[classes.index(actual), classes.index(predicted)] = count

    size = 3 + 0.8 * len(classes)
    figure = Figure(figsize=(size, size), layout="constrained")
    axes = figure.add_subplot()
    axes.imshow(counts, cmap="Blues")
    axes.set_xticks(range(len(classes)), classes, rotation=45, ha="right")
    axes.set_yticks(range(len(classes)), classes)
    for (row, column), count in np.ndenumerate(counts):
        is_dark = count > counts.max() / 2
        color = "white" if is_dark else "black"
        axes.text(column, row, str(count), ha="center", va="center", color=color)
    axes.set(xlabel="predicted", ylabel="true", title=f"Confusion matrix ({counts.sum():,} rows)")
    return figure


def calibration(bins: Sequence[Bin], positive: str) -> Figure:
    """Draw the share of a class against its predicted probability; on the diagonal both agree."""
    figure = Figure(figsize=(6, 6), layout="constrained")
    axes = figure.add_subplot()
    axes.axline((0, 0), slope=1, color="black", linewidth=0.8)
    axes.plot([one.score for one in bins], [one.share for one in bins], marker="o")
    axes.set(
        xlim=(0, 1),
        ylim=(0, 1),
        xlabel=f"predicted probability of {positive}",
        ylabel=f"share of {positive}",
    )
    rows = sum(one.rows for one in bins)
    axes.set_title(f"Calibration ({rows:,} rows)")
    return figure


def fitted_line(
    name: str,
    label: str,
    points: Sequence[tuple[float, float]],
    intercept: float,
    slope: float,
) -> Figure:
    """Draw the rows as points, and the straight line fitted through them."""
    figure = Figure(figsize=(7, 5), layout="constrained")
    axes = figure.add_subplot()
    axes.scatter([x for x, _ in points], [y for _, y in points], s=4, alpha=0.3)
    axes.axline((0, intercept), slope=slope, color="black", linewidth=1.2)
    axes.set(
        xlabel=name,
        ylabel=label,
        title=f"{label} = {slope:.4g} * {name} {intercept:+.4g} ({len(points):,} rows)",
    )
    return figure


def feature_importance(shares: Mapping[str, float]) -> Figure:
    """Draw a bar per raw column, the most important on top."""
    ordered = sorted(shares.items(), key=lambda item: item[1])
    figure = Figure(figsize=(7, 1.5 + 0.4 * len(ordered)), layout="constrained")
    axes = figure.add_subplot()
    axes.barh([name for name, _ in ordered], [share for _, share in ordered])
    axes.set(xlabel="share of importance", title="Feature importance")
    return figure


def loss_by_slice(results: Sequence[SliceResult]) -> dict[str, Figure]:
    """Draw the losses on each value of a slice, the largest value on top.

    The figures are called ``loss_by_<slice>``.
    """
    by_slice: dict[str, list[SliceResult]] = {}
    for result in results:
        by_slice.setdefault(result.rule.by, []).append(result)
    return {f"loss_by_{by}": _losses(by, of_slice) for by, of_slice in by_slice.items()}


def _losses(by: str, results: Sequence[SliceResult]) -> Figure:
    ordered = list(reversed(results))
    places = np.arange(len(ordered))
    challenger = [result.challenger for result in ordered]
    champion = [result.champion or 0.0 for result in ordered]
    values = [f"{result.value} ({result.rows:,} rows)" for result in ordered]
    has_champion = any(result.champion is not None for result in ordered)

    figure = Figure(figsize=(7, 1.5 + 0.5 * len(ordered)), layout="constrained")
    axes = figure.add_subplot()
    axes.barh(places + 0.2, challenger, 0.38, label="challenger")
    if has_champion:
        axes.barh(places - 0.2, champion, 0.38, label="champion")
    axes.set_yticks(places, values)
    axes.set(xlabel=ordered[0].loss, title=f"Holdout by {by}")
    axes.legend()
    return figure
