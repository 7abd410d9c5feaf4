"""Draw a model's predictions and metrics, as figures without global state."""

from collections.abc import Mapping, Sequence
from itertools import chain

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from batchml.config import Task
from batchml.models import metrics
from batchml.models.metrics import Bin, ConfusionMatrix
from batchml.models.slices import SliceResult

PLOTTED_ROWS = 5_000
SQUARE = (6.0, 6.0)  # inches


def holdout(scored: DataFrame, task: Task, label: str, key: Sequence[str]) -> dict[str, Figure]:
    """Return the figures of a model's predictions, by name.

    ``scored`` has the columns that metrics are computed from.
    """
    if task == "regression":
        return _of_numbers(scored, label, key)
    return _of_classes(scored)


def _of_classes(scored: DataFrame) -> dict[str, Figure]:
    matrix = metrics.confusion(scored)
    figures = {"confusion_matrix": confusion_matrix(matrix)}
    rarer = metrics.rarer_of_two(matrix)
    if rarer is not None:
        bins = metrics.calibration(scored, rarer)
        figures["calibration"] = calibration(bins, rarer)
    return figures


def _of_numbers(scored: DataFrame, label: str, key: Sequence[str]) -> dict[str, Figure]:
    # Order by hash, so that the figures show the same rows each time.
    sample = scored.orderBy(F.xxhash64(*key)).limit(PLOTTED_ROWS)
    rows = sample.select("prediction", "label").collect()
    predicted = [row["prediction"] for row in rows]
    actual = [row["label"] for row in rows]
    return {
        "predicted_against_actual": predicted_against_actual(predicted, actual, label),
        "residuals": residuals(predicted, actual, label),
    }


def predicted_against_actual(
    predicted: Sequence[float],
    actual: Sequence[float],
    unit: str,
) -> Figure:
    """Draw a point per row; on the diagonal the prediction is right."""
    figure, axes = _empty_figure(SQUARE)
    axes.scatter(actual, predicted, s=4, alpha=0.3)
    _draw_diagonal(axes, min(chain(predicted, actual)))
    axes.set(
        xlabel=f"actual {unit}",
        ylabel=f"predicted {unit}",
        title=f"Predicted against actual ({len(actual):,} rows)",
    )
    return figure


def residuals(predicted: Sequence[float], actual: Sequence[float], unit: str) -> Figure:
    """Draw a histogram of the errors, predicted minus actual."""
    errors = np.asarray(predicted) - np.asarray(actual)
    figure, axes = _empty_figure((7, 4.5))
    axes.hist(errors, bins=60)
    axes.axvline(0, color="black", linewidth=0.8)
    axes.set(
        xlabel=f"predicted - actual {unit}",
        ylabel="rows",
        title=f"Residuals, mean {errors.mean():+.3g}",
    )
    return figure


def confusion_matrix(matrix: ConfusionMatrix) -> Figure:
    """Draw the number of rows per true class (down) and predicted class (across)."""
    classes = metrics.class_names(matrix)
    number = len(classes)
    counts = np.zeros((number, number), dtype=int)
    for (actual, predicted), count in matrix.items():
        row = classes.index(actual)
        column = classes.index(predicted)
        counts[row, column] = count

    size = 3 + 0.8 * number
    figure, axes = _empty_figure((size, size))
    axes.imshow(counts, cmap="Blues")
    places = range(number)
    axes.set_xticks(places, classes, rotation=45, ha="right")
    axes.set_yticks(places, classes)
    darkest = counts.max(initial=0)
    for (row, column), count in np.ndenumerate(counts):
        color = "black"
        if count > darkest / 2:
            color = "white"
        axes.text(column, row, str(count), ha="center", va="center", color=color)
    axes.set(
        xlabel="predicted",
        ylabel="true",
        title=f"Confusion matrix ({counts.sum():,} rows)",
    )
    return figure


def calibration(bins: Sequence[Bin], positive: str) -> Figure:
    """Draw the share of a class against its predicted probability; on the diagonal both agree."""
    scores = [one.score for one in bins]
    shares = [one.share for one in bins]
    rows = sum(one.rows for one in bins)
    figure, axes = _empty_figure(SQUARE)
    _draw_diagonal(axes, 0)
    axes.plot(scores, shares, marker="o")
    axes.set(
        xlim=(0, 1),
        ylim=(0, 1),
        xlabel=f"predicted probability of {positive}",
        ylabel=f"share of {positive}",
        title=f"Calibration ({rows:,} rows)",
    )
    return figure


def fitted_line(
    name: str,
    label: str,
    points: Sequence[tuple[float, float]],
    intercept: float,
    slope: float,
) -> Figure:
    """Draw the rows as points, and the straight line fitted through them."""
    inputs = [value for value, _ in points]
    labels = [value for _, value in points]
    formula = f"{label} = {slope:.4g} * {name} {intercept:+.4g}"
    figure, axes = _empty_figure((7, 5))
    axes.scatter(inputs, labels, s=4, alpha=0.3)
    axes.axline((0, intercept), slope=slope, color="black", linewidth=1.2)
    axes.set(
        xlabel=name,
        ylabel=label,
        title=f"{formula} ({len(points):,} rows)",
    )
    return figure


def feature_importance(shares: Mapping[str, float]) -> Figure:
    """Draw a bar per raw column, the most important on top."""
    names = sorted(shares, key=lambda name: shares[name])
    bars = [shares[name] for name in names]
    figure, axes = _empty_figure((7, 1.5 + 0.4 * len(names)))
    axes.barh(names, bars)
    axes.set(
        xlabel="share of importance",
        title="Feature importance",
    )
    return figure


def loss_by_slice(results: Sequence[SliceResult]) -> dict[str, Figure]:
    """Draw the losses on each value of a slice, the largest value on top.

    The figures are called ``loss_by_<slice>``.
    """
    by_slice: dict[str, list[SliceResult]] = {}
    for result in results:
        of_slice = by_slice.setdefault(result.rule.by, [])
        of_slice.append(result)

    figures: dict[str, Figure] = {}
    for by, of_slice in by_slice.items():
        figures[f"loss_by_{by}"] = _losses(by, of_slice)
    return figures


def _losses(by: str, results: Sequence[SliceResult]) -> Figure:
    ordered = list(reversed(results))
    places = np.arange(len(ordered))
    challenger = [result.challenger for result in ordered]
    champion = [result.champion or 0.0 for result in ordered]
    values = [f"{result.value} ({result.rows:,} rows)" for result in ordered]
    has_champion = any(result.champion is not None for result in ordered)

    figure, axes = _empty_figure((7, 1.5 + 0.5 * len(ordered)))
    axes.barh(places + 0.2, challenger, 0.38, label="challenger")
    if has_champion:
        axes.barh(places - 0.2, champion, 0.38, label="champion")
    axes.set_yticks(places, values)
    axes.set(
        xlabel=ordered[0].loss,
        title=f"Holdout by {by}",
    )
    axes.legend()
    return figure


def _draw_diagonal(axes: Axes, start: float) -> None:
    axes.axline((start, start), slope=1, color="black", linewidth=0.8)


def _empty_figure(size: tuple[float, float]) -> tuple[Figure, Axes]:
    """Return a figure of a width and a height in inches, with its only axes."""
    figure = Figure(figsize=size, layout="constrained")
    return figure, figure.add_subplot()
