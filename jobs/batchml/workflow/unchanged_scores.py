"""Find the requested dates that a model version would score, or compare, as before.

Apart from the other dates, because MLflow takes seconds to import.
"""

from collections.abc import Sequence

from batchml.clients import landing
from batchml.clients.delta_tables import READ_ERRORS, DateRange, DeltaTables
from batchml.context import Summary
from batchml.job_line import MonitorDriftDetails
from batchml.tracking import CHAMPION, Tracker, open_tracker
from batchml.workflow.catch_up import Request, Unaltered
from batchml.workflow.monitoring import AlarmWindow
from batchml.workflow.serving import details_before_scoring, usable_versions
from batchml.workflow.unchanged import unchanged_dates


def unchanged_by_score_batch(request: Request, _files: landing.FileSystem) -> Unaltered:
    """Return the requested dates with the same features and definition, and the same version.

    Raise BadConfig if the requested version does not exist.
    """
    tracker = open_tracker(request.pipeline.name, request.places)
    champion = tracker.by_alias(CHAMPION)
    if champion is None:
        return Unaltered()
    possible_parts = [(number,) for number in _versions(request, tracker)]
    dates = unchanged_dates(request, "predictions", possible_parts)
    details = details_before_scoring(tracker, champion, ())
    return Unaltered(dates, Summary(details=details))


def _versions(request: Request, tracker: Tracker) -> Sequence[int]:
    """Return the versions whose predictions stay: the requested one, or all that may score."""
    if request.version is not None:
        tracker.get(request.version)
        return [request.version]
    usable = usable_versions(tracker)
    versions = []
    for number in sorted(usable.existing):
        if number == usable.champion or not tracker.is_gone(tracker.get(number)):
            versions.append(number)
    return versions


def unchanged_by_monitor_drift(request: Request, _files: landing.FileSystem) -> Unaltered:
    """Return the requested dates with the same predictions and limits.

    Also count the days with an alarm, which may start a training.
    """
    tracker = open_tracker(request.pipeline.name, request.places)
    window = AlarmWindow.of(request.pipeline, tracker, request.end)
    alarm_days = 0
    if window is not None:
        try:
            alarm_days = _alarm_days(request.folder, window)
        except READ_ERRORS:  # Spark may read what delta-rs cannot
            return Unaltered()
    details = MonitorDriftDetails(level="ok", findings=(), alarm_days=alarm_days)
    return Unaltered(unchanged_dates(request, "drift", [()]), Summary(details=details))


def _alarm_days(folder: str, window: AlarmWindow) -> int:
    """Return the number of days with an alarm in the table ``drift``."""
    dates = DateRange(window.start, window.end)
    rows = DeltaTables(folder).rows("drift", dates, ["event_date", "level", "model_version"])
    days = set()
    for row in rows:
        if row["level"] == "alarm" and row["model_version"] not in window.withdrawn:
            days.add(row["event_date"])
    return len(days)
