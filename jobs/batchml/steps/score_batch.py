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

REMEDY = (
    "run this job with --with VERSION; rows that this version has seen in training are then marked "
    "as seen"
)


def run(context: Context) -> Summary:
    """Replace the dates in ``predictions``.

    A date that was scored before keeps its version. Raise NothingToDo if there is no champion, if
    no version may score any of the dates, or if every version fails to score (no rows, or it does
    not fit the configuration).
    """
    name = context.pipeline.name
    context.lake.require_writable()
    tracker = open_tracker(name, context.places)
    champion = tracker.by_alias(CHAMPION)
    if champion is None:
        raise no_champion("score_batch", name)

    version_by_date = _version_by_date(context, tracker)
    unscored = tuple(date for date in context.dates if date not in version_by_date)
    champion_details = _champion_details(tracker, champion, unscored)
    _record_as_empty(context, unscored)
    if not version_by_date:
        raise NothingToDo(
            f"{name}: every promoted version was trained up to {context.end} or later",
            remedy=REMEDY,
            summary=Summary(details=champion_details),
        )

    scored, errors = _score(context, tracker, version_by_date)
    failed = tuple(date for date, number in version_by_date.items() if number in errors)
    champion_error = errors.get(int(champion.version))
    champion_details = _with_failures(champion_details, failed, champion_error)
    if not scored:
        first = next(iter(errors.values()))
        raise NothingToDo(
            first.message,
            *first.details,
            remedy=first.remedy,
            summary=Summary(details=champion_details),
        )
    return _summary(context, tracker, scored, champion_details)


def _record_as_empty(context: Context, dates: Sequence[dt.date]) -> None:
    """Record ``dates`` as empty, except those that have predictions: these rows stay.

    They are owed again if their input changes.
    """
    if not dates:
        return
    predictions = context.read_ledger().of_table("predictions")
    without_rows = []
    for date in dates:
        if date not in predictions or not predictions[date].has_rows:
            without_rows.append(date)
    context.record_derived("predictions", dict.fromkeys(without_rows, 0))


def _version_by_date(context: Context, tracker: Tracker) -> dict[dt.date, int]:
    """Return the version that scores each date; no entry for a date that none may score."""
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
    """Score the dates with their versions; the version of the last date comes last.

    Return the results and the errors, both by version.
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
                "version %d has seen %d of %d rows in training; metrics exclude them",
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
        trained_end=end,  # replaced if a version scores
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


def _with_failures(
    details: ScoreBatchDetails,
    failed: tuple[dt.date, ...],
    champion_error: NothingToDo | None,
) -> ScoreBatchDetails:
    """Return ``details`` with the ``failed`` dates, and why the champion cannot score."""
    unscored = tuple(sorted(details.unscored + failed))
    changes: dict[str, object] = {"unscored": unscored}
    if isinstance(champion_error, serving.CannotScore):
        changes["misfit"] = champion_error.message
    return details.model_copy(update=changes)


def _summary(
    context: Context,
    tracker: Tracker,
    scored: Mapping[int, Scored],
    champion_details: ScoreBatchDetails,
) -> Summary:
    # Rows are those of all versions. The end of training, the realised error and the version of
    # features are those of the version of the last date that was scored.
    last_number = list(scored)[-1]
    last = scored[last_number]
    version = tracker.get(last_number)
    rows = sum(result.rows for result in scored.values())
    seen_rows = sum(result.seen_rows for result in scored.values())
    details = champion_details.model_copy(
        update={
            "trained_end": trained_end(version),
            "unseen": not seen_rows,
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
