"""Whether a run should train a model, and why."""

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from batchml.config import Training

Line = Mapping[str, Any] | None
Request = Literal["auto", "yes", "no"]


@dataclass(frozen=True)
class Decision:
    """The answer and its reason, as the task's value shows them."""

    due: bool
    reason: str


def decide(*, request: Request, end: dt.date, training: Training, lines: Mapping[str, Line]) -> Decision:
    """Weighs what the run asks for, the lines of the jobs before (by task), and the pipeline's own rules.

    score_batch's line tells of the champion: without one its status is not ``done``.
    """
    if request == "yes":
        return Decision(True, "the run asks for it (train=yes)")
    if request == "no":
        return Decision(False, "the run asks not to (train=no)")
    if not _done(lines.get("build_features")):
        return Decision(False, f"there are no new features for {end}")
    scored = lines.get("score_batch") or {}
    if not _done(scored):
        reason = (scored.get("error") or {}).get("message", "there is no champion yet")
        return Decision(True, reason)
    details = scored["details"]
    champion = f"the champion, version {scored['mlflow']['version']}, was trained up to {details['trained_end']}"
    if alarms := _alarms(training, lines.get("monitor_drift")):
        return Decision(True, f"{champion}; {alarms}")
    # A challenger that was rejected counts as well: to train again the day after would only try the gate's patience.
    last = max(dt.date.fromisoformat(details[key]) for key in ("trained_end", "last_attempt_end") if details[key])
    return _by_the_calendar(champion, end, last, training.every_days)


def _alarms(training: Training, monitored: Line) -> str:
    """Why the last days ask for a training; empty if they do not."""
    rule = training.on_alarm
    if rule is None or monitored is None or not _done(monitored):
        return ""
    days, findings = monitored["details"]["alarm_days"], monitored["details"]["findings"]
    return f"{days} of the last {rule.of} days were alarms: {'; '.join(findings[:1])}" if days >= rule.days else ""


def _by_the_calendar(champion: str, end: dt.date, last: dt.date, every_days: int | None) -> Decision:
    if every_days is None:
        return Decision(False, f"{champion}; it is not trained by the calendar")
    age = (end - last).days
    if age >= every_days:
        return Decision(True, f"{champion}; the last training is {age} days old, every {every_days} are asked for")
    return Decision(False, f"{champion}; the next training is due {last + dt.timedelta(days=every_days)}")


def _done(line: Line) -> bool:
    return line is not None and line.get("status") == "done"
