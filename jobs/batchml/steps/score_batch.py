"""score_batch: write predictions, and score each date with the model version chosen for it."""

import datetime as dt
from collections.abc import Mapping, Sequence

from batchml.clients.champion_probe import no_champion
from batchml.context import Context, Summary
from batchml.errors import NothingToDo
from batchml.job_line import MlflowIds, ScoreBatchDetails
from batchml.models.versions import dates_by_version
from batchml.tracking import CHAMPION, Tracker, open_tracker, trained_end
from batchml.workflow import serving
from batchml.workflow.serving import Scored

REMEDY = (
    "run this job with --with VERSION; rows that are not new to that version are then marked as "
    "seen"
)


def run(context: Context) -> Summary:
    """Replace the dates in ``predictions``.

    ``--with VERSION`` scores every date with that version. Otherwise a date that was scored before
    keeps its version, unless the version was withdrawn or deleted. Any other date gets the champion
    if its training ended before the date. If not, the date gets the former champion with the latest
    training that ended before it.

    Raise NothingToDo if there is no champion, if no date has a version that was trained early
    enough, or if scoring fails for every chosen version (no rows, or the version does not fit the
    configuration).
    """
    name = context.pipeline.name
    context.lake.require_writable()
    tracker = open_tracker(name, context.places)
    champion = tracker.by_alias(CHAMPION)
    if champion is None:
        raise no_champion("score_batch", name)

    version_by_date = _choose_versions(context, tracker)
    without_version = tuple(date for date in context.dates if date not in version_by_date)
    details = serving.details_before_scoring(tracker, champion, without_version)
    _record_without_version(context, without_version)
    if not version_by_date:
        raise NothingToDo(
            serving.explain_no_version(context),
            remedy=REMEDY,
            summary=Summary(details=details),
        )

    scored, errors = _score(context, tracker, version_by_date)
    failed = tuple(date for date, number in version_by_date.items() if number in errors)
    champion_error = errors.get(int(champion.version))
    details = _with_failures(details, failed, champion_error)
    if not scored:
        # Raise the first error again, with a summary, so that the JSON line lists the dates that
        # were not scored.
        first = next(iter(errors.values()))
        raise NothingToDo(
            first.message,
            *first.details,
            remedy=first.remedy,
            summary=Summary(details=details),
        )
    return _summary(context, tracker, scored, details)


def _record_without_version(context: Context, dates: Sequence[dt.date]) -> None:
    """Record ``dates`` as empty, so that catching up repeats them only if their features change.

    Skip a date that already has predictions, for example by a version that has since been
    withdrawn: its rows stay, so it is not empty.
    """
    if not dates:
        return
    predictions = context.read_ledger().of_table("predictions")
    without_rows = []
    for date in dates:
        if date not in predictions or not predictions[date].has_rows:
            without_rows.append(date)
    context.record_derived("predictions", dict.fromkeys(without_rows, 0))


def _choose_versions(context: Context, tracker: Tracker) -> dict[dt.date, int]:
    """Return the version that scores each date.

    Leave out the dates for which no version was trained early enough.
    """
    number: int | None = context.options.get("with")
    if number is not None:
        # Raise BadConfig if the version does not exist.
        tracker.get(number)
        return dict.fromkeys(context.dates, number)
    return serving.versions_by_date(context, tracker, context.dates)


def _score(
    context: Context,
    tracker: Tracker,
    version_by_date: Mapping[dt.date, int],
) -> tuple[dict[int, Scored], dict[int, NothingToDo]]:
    """Score each date with its version. Return the results and the errors by version.

    The versions are in the order of the last date that each one scores, because ``_summary``
    reports the last version.
    """
    scored: dict[int, Scored] = {}
    errors: dict[int, NothingToDo] = {}
    for number, dates in dates_by_version(version_by_date).items():
        try:
            scored[number] = serving.score(context, tracker, tracker.get(number), dates)
        except NothingToDo as error:
            context.log("%s", error)
            errors[number] = error
            continue
        seen = scored[number].seen_rows
        if seen:
            context.log(
                "%d of %d rows are not new to version %d; metrics exclude them",
                seen,
                scored[number].rows,
                number,
            )
    return scored, errors


def _with_failures(
    details: ScoreBatchDetails,
    failed: tuple[dt.date, ...],
    champion_error: NothingToDo | None,
) -> ScoreBatchDetails:
    """Return ``details`` with ``failed`` added to the unscored dates.

    Set ``misfit`` if the champion was to score a date and does not fit the present configuration.
    """
    unscored = tuple(sorted(details.unscored + failed))
    changes: dict[str, object] = {"unscored": unscored}
    if isinstance(champion_error, serving.CannotScore):
        changes["misfit"] = champion_error.message
    return details.model_copy(update=changes)


def _summary(
    context: Context,
    tracker: Tracker,
    scored: Mapping[int, Scored],
    so_far: ScoreBatchDetails,
) -> Summary:
    """Return the number of rows of all versions together, and other facts about the last version.

    The last version is the one that scored the latest date. ``so_far``: the details known before,
    such as the dates that could not be scored.
    """
    last_number = list(scored)[-1]
    last = scored[last_number]
    version = tracker.get(last_number)
    rows = sum(result.rows for result in scored.values())
    seen_rows = sum(result.seen_rows for result in scored.values())
    is_unseen = seen_rows == 0
    details = so_far.model_copy(
        update={
            "trained_end": trained_end(version),
            "unseen": is_unseen,
            "seen_rows": seen_rows,
            "versions": {number: result.rows for number, result in scored.items()},
            "realised": dict(last.realised),
            "features_version": last.features_version,
        }
    )
    return Summary(
        rows_in=rows,
        rows_out=rows,
        tables={"predictions": last.table_version},
        mlflow=MlflowIds(run_id=version.run_id, model=context.pipeline.name, version=last_number),
        details=details,
    )
