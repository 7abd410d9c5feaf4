"""promote_model --rollback: return to the previous champion, and score dates again."""

import datetime as dt
from collections.abc import Sequence

from pyspark.sql import functions as F

from batchml.context import Context, Summary
from batchml.errors import BadConfig, NothingToDo
from batchml.job_line import MlflowIds, RollBackModelDetails
from batchml.models.versions import dates_by_version
from batchml.tracking import CHAMPION, PREVIOUS, Tag, Tracker, Version, open_tracker
from batchml.workflow import monitoring, serving


def run(context: Context) -> Summary:
    """Move ``champion`` back to ``previous``, and score the dates of withdrawn versions again.

    Safe to run again after a kill at any point: a version is tagged as withdrawn before the alias
    moves, and the dates are found by that tag. A second complete run raises NothingToDo.
    """
    name = context.pipeline.name
    context.lake.require_writable()
    tracker = open_tracker(name, context.places)
    withdrawn = _withdraw(context, tracker)
    champion = tracker.by_alias(CHAMPION)
    if champion is None:
        raise NothingToDo(f"{name} has no champion to go back from")
    number = int(champion.version)
    dates = _dates_of_withdrawn(context, tracker, "predictions")
    compared_dates = _dates_of_withdrawn(context, tracker, "drift")
    if withdrawn is None and not dates and not compared_dates:
        raise NothingToDo(
            f"{name}: there is no previous champion to go back to; version {number} stays",
            remedy="set the aliases in MLflow manually",
        )

    rows = 0
    tables: dict[str, int] = {}
    if dates:
        rows, tables["predictions"] = _score_again(context, tracker, number, dates)
    if compared_dates:
        tables["drift"] = _compare_again(context, tracker, compared_dates)
    return Summary(
        rows_in=rows,
        rows_out=rows,
        tables=tables,
        mlflow=MlflowIds(run_id=champion.run_id, model=name, version=number),
        details=RollBackModelDetails(
            withdrawn=withdrawn,
            restored=number,
            dates=tuple(dates),
            reason=_reason(withdrawn),
        ),
    )


def _reason(withdrawn: int | None) -> str:
    if withdrawn:
        return f"went back from version {withdrawn}"
    return "went on with an earlier rollback"


def _score_again(
    context: Context,
    tracker: Tracker,
    champion: int,
    dates: Sequence[dt.date],
) -> tuple[int, int]:
    """Score ``dates`` again; return the rows and the version of ``predictions``.

    A date gets the version that served before. Where every version has seen it, it gets the
    champion, and its rows are marked as seen.
    """
    version_by_date = dict.fromkeys(dates, champion)
    version_by_date |= serving.versions_by_date(context, tracker, dates)
    rows, table_version = 0, 0
    for number, own in dates_by_version(version_by_date).items():
        try:
            scored = _score(context, tracker, number, own)
        except serving.CannotScore as error:
            if number == champion:
                raise
            context.log("%s", error)
            scored = _score(context, tracker, champion, own)
        rows += scored.rows
        table_version = scored.table_version
    return rows, table_version


def _score(
    context: Context,
    tracker: Tracker,
    number: int,
    dates: Sequence[dt.date],
) -> serving.Scored:
    context.log(
        "scoring %d dates again with version %d: %s..%s", len(dates), number, dates[0], dates[-1]
    )
    return serving.score(context, tracker, tracker.get(number), dates)


def _compare_again(context: Context, tracker: Tracker, dates: Sequence[dt.date]) -> int:
    """Compute the drift of ``dates`` again; return the version of ``drift``."""
    version_by_date = serving.versions_by_date(context, tracker, dates)
    findings = monitoring.compute_findings(context, tracker, version_by_date)
    return monitoring.write_findings(context, tracker, findings, dates)


def _withdraw(context: Context, tracker: Tracker) -> int | None:
    """Move the alias back, tag both versions, and return the one withdrawn.

    Return None if there is no previous version.
    """
    champion = tracker.by_alias(CHAMPION)
    previous = tracker.by_alias(PREVIOUS)
    if champion is None or previous is None:
        return None
    is_moved = champion.version == previous.version
    if not is_moved:
        _restore(context, tracker, champion, previous)
    tracker.delete_alias(PREVIOUS)  # last: until then a second attempt finds its way
    if is_moved:
        return None
    return int(champion.version)


def _restore(
    context: Context,
    tracker: Tracker,
    champion: Version,
    previous: Version,
) -> None:
    """Move the alias to ``previous``, and tag both. Raise BadConfig if it cannot serve."""
    # Check this before anything changes.
    reason = _obstacle(context, tracker, champion, previous)
    if reason:
        raise BadConfig(
            f"{previous.name} version {previous.version} cannot serve again: {reason}",
            remedy=f"undo that change of conf/pipelines/{previous.name}.yaml, run "
            "build_features, then roll back",
        )
    context.require_lease()
    event = f"{context.end} by {context.application}"
    tracker.set_tags(champion, {Tag.WITHDRAWN: f"{event}, for version {previous.version}"})
    tracker.set_tags(previous, {Tag.RESTORED: f"{event}, for version {champion.version}"})
    tracker.set_alias(CHAMPION, previous)
    context.log(
        "champion is version %s again, version %s is withdrawn",
        previous.version,
        champion.version,
    )


def _obstacle(
    context: Context,
    tracker: Tracker,
    champion: Version,
    previous: Version,
) -> str:
    """Return why ``previous`` cannot score what ``champion`` has scored; empty if it can."""
    if not context.lake.exists("features"):
        return ""
    dates = _dates_of(context, "predictions", [int(champion.version)])
    features = context.lake.read_all("features")
    rows = features.where(F.col("event_date").isin(dates))
    record = tracker.record(previous)
    return serving.disagreement(context.pipeline, record, rows)


def _dates_of_withdrawn(
    context: Context,
    tracker: Tracker,
    table: str,
) -> list[dt.date]:
    """Return the dates of which ``table`` has rows of a withdrawn version, in order."""
    return _dates_of(context, table, tracker.tagged(Tag.WITHDRAWN))


def _dates_of(context: Context, table: str, numbers: Sequence[int]) -> list[dt.date]:
    """Return the dates of which ``table`` has rows of one of the versions, in order."""
    if not numbers or not context.lake.exists(table):
        return []
    of_versions = F.col("model_version").isin(list(numbers))
    rows = context.lake.read_all(table).where(of_versions)
    dates = rows.select("event_date").distinct().collect()
    return sorted(row["event_date"] for row in dates)
