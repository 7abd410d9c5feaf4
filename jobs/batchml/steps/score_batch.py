"""score_batch: predict the rows of the dates, each with the version that serves it."""

import datetime as dt
from collections.abc import Mapping, Sequence

from batchml.clients.champion_probe import no_champion
from batchml.context import Context, Summary
from batchml.errors import NothingToDo
from batchml.job_line import MlflowIds, ScoreBatchDetails
from batchml.models.versions import dates_by_version
from batchml.tracking import CHAMPION, Tag, Tracker, Version, open_tracker, trained_end
from batchml.workflow import serving
from batchml.workflow.serving import Scored

WITH_REMEDY = "run this job with --with VERSION: its predictions are then marked as seen"


def run(context: Context) -> Summary:
    """Replace the dates in ``predictions``.

    A date keeps the version that scored it first. Raise NothingToDo if no version may score any of
    the dates, or has rows to score.
    """
    name = context.pipeline.name
    context.lake.require_writable()
    tracker = open_tracker(name, context.places)
    champion = tracker.by_alias(CHAMPION)
    if champion is None:
        raise no_champion("score_batch", name)

    assigned = _assigned(context, tracker)
    unscored = tuple(date for date in context.dates if date not in assigned)
    details_of_champion = _champion_details(tracker, champion, unscored)
    _record_unscored(context, unscored)
    if not assigned:
        raise NothingToDo(
            f"{name}: every promoted version was trained on {context.start}..{context.end} "
            "or later",
            remedy=WITH_REMEDY,
            summary=Summary(details=details_of_champion),
        )
    scored, errors = _score(context, tracker, assigned)
    failed = tuple(date for date, number in assigned.items() if number in errors)
    changes: dict[str, object] = {"unscored": tuple(sorted(unscored + failed))}
    reason = errors.get(int(champion.version))
    if isinstance(reason, serving.CannotScore):
        changes["misfit"] = reason.message
    details_of_champion = details_of_champion.model_copy(update=changes)
    if not scored:
        first = next(iter(errors.values()))
        raise NothingToDo(
            first.message,
            *first.details,
            remedy=first.remedy,
            summary=Summary(details=details_of_champion),
        )
    return _summary(context, tracker, scored, details_of_champion)


def _record_unscored(context: Context, dates: Sequence[dt.date]) -> None:
    """Record that no version may score ``dates``: they are owed when their input changes."""
    if not dates:
        return
    predictions = context.read_ledger().of_table("predictions")
    without_rows = []
    for date in dates:
        if date not in predictions or not predictions[date].has_rows:
            without_rows.append(date)
    context.record_derived("predictions", dict.fromkeys(without_rows, 0))


def _assigned(context: Context, tracker: Tracker) -> dict[dt.date, int]:
    """Return the version that scores each date; no entry for a date that none may score."""
    version: int | None = context.options.get("with")
    if version is not None:
        tracker.get(version)
        return dict.fromkeys(context.dates, version)
    return serving.versions_by_date(context, tracker, context.dates)


def _score(
    context: Context,
    tracker: Tracker,
    assigned: Mapping[dt.date, int],
) -> tuple[dict[int, Scored], dict[int, NothingToDo]]:
    """Let each version score its dates, that of the last date at the end.

    Return what was scored and what was not, by version.
    """
    scored: dict[int, Scored] = {}
    errors: dict[int, NothingToDo] = {}
    for number, dates in dates_by_version(assigned).items():
        try:
            scored[number] = serving.score(context, tracker, tracker.get(number), dates)
        except NothingToDo as error:
            context.log("%s", error)
            errors[number] = error
            continue
        seen = scored[number].seen_rows
        if seen:
            context.log(
                "version %d has seen %d of %d rows: errors are of the others only",
                number,
                seen,
                scored[number].rows,
            )
    return scored, errors


def _champion_details(
    tracker: Tracker,
    champion: Version,
    unscored: tuple[dt.date, ...],
) -> ScoreBatchDetails:
    """Return the details that do not depend on the rows, among them those for training_due."""
    end = trained_end(champion)
    hold = ""
    if Tag.RESTORED in champion.tags:
        hold = f"version {champion.version} serves again after a rollback"
    return ScoreBatchDetails(
        trained_end=end,
        unseen=None,
        seen_rows=0,
        versions={},
        unscored=unscored,
        champion=int(champion.version),
        champion_end=end,
        last_attempt_end=tracker.last_attempt_end(),
        hold=hold,
        misfit="",
        realised={},
        features_version=None,
    )


def _summary(
    context: Context,
    tracker: Tracker,
    scored: Mapping[int, Scored],
    details_of_champion: ScoreBatchDetails,
) -> Summary:
    number = list(scored)[-1]
    last = scored[number]
    version = tracker.get(number)
    rows = sum(each.rows for each in scored.values())
    seen_rows = sum(each.seen_rows for each in scored.values())
    details = details_of_champion.model_copy(
        update={
            "trained_end": trained_end(version),
            "unseen": not seen_rows,
            "seen_rows": seen_rows,
            "versions": {of: each.rows for of, each in scored.items()},
            "realised": dict(last.realised),
            "features_version": last.features_version,
        }
    )
    return Summary(
        rows_in=rows,
        rows_out=rows,
        tables={"predictions": last.table_version},
        mlflow=MlflowIds(run_id=version.run_id, model=context.pipeline.name, version=number),
        details=details,
    )
