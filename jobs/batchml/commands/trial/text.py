"""The result of a trial for people: tables of the differences, and some sentences."""

import datetime as dt
from collections.abc import Collection, Iterator, Mapping

from rich.table import Table

from batchml.commands.trial.difference import ColumnDifference, Counts, Difference
from batchml.commands.trial.trial import Trial
from batchml.job_line import EvaluateModelDetails, JobLine, TrainModelDetails
from batchml.lake.table_version import ColumnSummary, PredictionsDifference

ARROW = "→"
ROLES = ("challenger", "champion", "baseline")
LISTED_DATES = 5


def row_table(difference: Difference) -> Table:
    """Return the rows by table on the dates where they differ, and their totals last."""
    table = Table("date", *difference.rows)
    by_table = difference.rows.values()
    dates = sorted({date for by_date in by_table for date in by_date})
    for date in dates:
        counts = [by_date[date] for by_date in by_table]
        if any(each.before != each.after for each in counts):
            table.add_row(str(date), *map(_counts, counts))
    table.add_section()
    totals = [_counts(total(by_date)) for by_date in by_table]
    table.add_row(f"all {len(dates)}", *totals)
    return table


def total(by_date: Mapping[dt.date, Counts]) -> Counts:
    """Return the sum over all dates."""
    before = sum(counts.before for counts in by_date.values())
    after = sum(counts.after for counts in by_date.values())
    return Counts(before, after)


def check_table(difference: Difference) -> Table | None:
    """Return the rows by failed check; None if no row fails any."""
    table = Table("check", "effect", "rows")
    for name, counts in difference.reasons.items():
        table.add_row(name, "quarantine", _counts(counts))
    for name, counts in difference.warnings.items():
        table.add_row(name, "warning", _counts(counts))
    if not table.row_count:
        return None
    return table


def column_table(difference: Difference) -> Table | None:
    """Return the columns that differ; None without any."""
    if not difference.columns:
        return None
    table = Table("table", "column", "type", "null", "mean", "distinct values")
    for column in difference.columns:
        table.add_row(column.table, column.name, *_column_cells(column))
    return table


def _column_cells(column: ColumnDifference) -> list[str]:
    before, after = column.before, column.after
    return [
        _change(_type(before), _type(after)),
        _change(_null_share(before), _null_share(after)),
        _change(_mean(before), _mean(after)),
        _change(_distinct(before), _distinct(after)),
    ]


def _type(summary: ColumnSummary | None) -> str:
    if summary is None:
        return "-"
    return summary.type


def _null_share(summary: ColumnSummary | None) -> str:
    if summary is None:
        return "-"
    return f"{summary.null_share:.2%}"


def _mean(summary: ColumnSummary | None) -> str:
    if summary is None or summary.mean is None:
        return "-"
    return f"{summary.mean:.6g}"


def _distinct(summary: ColumnSummary | None) -> str:
    if summary is None or summary.distinct is None:
        return "-"
    return f"{summary.distinct:,}"


def _counts(counts: Counts) -> str:
    return _change(f"{counts.before:,}", f"{counts.after:,}")


def _change(before: str, after: str) -> str:
    if before == after:
        return before
    return f"{before} {ARROW} {after}"


def job_text(line: JobLine) -> str:
    """Return the end of a job in one line, or in several if it has an error."""
    state = {"done": "done", "nothing_to_do": "nothing to do", "failed": "failed"}[line.status]
    parts = [f"  {line.job:<15}", f"{state:<13}", f"{line.seconds.get('total', 0):>5.0f} s"]
    if line.rows is not None:
        parts.append(f"  {line.rows.read:,} rows in, {line.rows.written:,} out")
    if line.error is not None:
        parts.append(f"  {line.error}")
    return " ".join(parts)


def date_sentences(trial: Trial) -> Iterator[str]:
    """Yield what became of dates that are not compared, or read from another delivery."""
    dates = trial.dates
    if dates.gone:
        yield f"not compared, as the delivery is missing now: {_dates(dates.gone)}"
    if dates.rejected:
        yield f"not compared, as ingest rejects them (see above): {_dates(dates.rejected)}"
    if dates.redelivered:
        yield (
            "the delivery has changed since production read it, so not every difference comes "
            f"from the edit: {_dates(dates.redelivered)}"
        )
    if trial.difference is None:
        yield "no date can be compared with production"


def column_sentences(difference: Difference) -> Iterator[str]:
    """Yield how many columns have the same values."""
    for table, number in difference.equal_columns.items():
        others = sum(column.table == table for column in difference.columns)
        if not others:
            yield f"{table}: all {number} columns are equal"
        else:
            yield f"{table}: {others} of {others + number} columns differ"


def model_sentences(trial: Trial) -> Iterator[str]:
    """Yield what the trial says about predictions, the champion and the gate."""
    champion = trial.champion
    if champion.unknown:
        yield f"the champion is unknown: {champion.unknown}. Only tables are compared"
        return
    if champion.version is None:
        yield "there is no champion: neither predictions nor models are compared"
    elif champion.cannot_score:
        yield f"champion version {champion.version} cannot score: {champion.cannot_score}"
    elif trial.difference is not None:
        yield from _predictions(champion.version, trial.difference.predictions)
    yield from _training(trial)
    yield from _gate(trial)


def _predictions(version: int, predictions: PredictionsDifference | None) -> Iterator[str]:
    if predictions is None:
        yield f"champion version {version} has scored no date both in production and in the trial"
        return
    counts = Counts(predictions.rows_before, predictions.rows_after)
    yield (
        f"predictions of champion version {version} on {predictions.dates} of the dates: "
        f"{_counts(counts)} rows, {predictions.changed:,} of {predictions.matched:,} in both differ"
    )
    if predictions.mean_before is not None and predictions.mean_after is not None:
        before = f"{predictions.mean_before:.6g}"
        after = f"{predictions.mean_after:.6g}"
        difference = predictions.mean_absolute_difference or 0.0
        yield (
            f"their mean is {_change(before, after)}, and the mean absolute difference "
            f"{difference:.4g}"
        )


def _training(trial: Trial) -> Iterator[str]:
    """Yield the rows of the training, or nothing if it was not made: its job has stated why."""
    line = trial.line_of("train_model")
    if line is None or line.rows is None or not isinstance(line.details, TrainModelDetails):
        return
    holdout = line.rows.read - line.rows.written
    text = (
        f"the trial's model was fitted on {line.rows.written:,} rows of {line.details.fit}, "
        f"with a holdout of {holdout:,} rows"
    )
    if trial.settings:
        text += f" ({', '.join(trial.settings)})"
    yield text


def _gate(trial: Trial) -> Iterator[str]:
    line = trial.line_of("evaluate_model")
    if line is None or not isinstance(line.details, EvaluateModelDetails):
        return
    details = line.details
    decision = "reject"
    if details.passed:
        decision = "pass"
    if details.needs_approval:
        decision = "ask for approval"
    yield f"the gate would {decision} (a rehearsal on the tried dates): {details.reason}"

    champion = trial.champion
    is_stated = bool(champion.cannot_score) or champion.cannot_compare in details.reason
    if champion.cannot_compare and not is_stated:
        yield f"champion version {champion.version} is not compared: {champion.cannot_compare}"
    values = _metrics(details, trial.metric)
    if values:
        yield f"{trial.metric} on the same holdout: {', '.join(values)}"


def _metrics(details: EvaluateModelDetails, metric: str) -> list[str]:
    """Return the metric of each model, all on the same rows."""
    metrics = dict(details.metrics)
    if "challenger_shared" in metrics:
        # The champion has seen a part of the holdout, of which the baseline has no separate metric.
        metrics["challenger"] = metrics["challenger_shared"]
        metrics.pop("baseline", None)
    values = []
    for role in ROLES:
        value = metrics.get(role, {}).get(metric)
        if value is not None:
            values.append(f"{role} {value:.4g}")
    return values


def _dates(dates: Collection[dt.date]) -> str:
    listed = [str(date) for date in dates]
    if len(listed) <= LISTED_DATES:
        return ", ".join(listed)
    return f"{len(listed)} dates, {listed[0]}..{listed[-1]}"
