"""Whether a run should train a model, and why."""

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

Request = Literal["auto", "yes", "no"]


@dataclass(frozen=True)
class Decision:
    """The answer and its reason, as the task's value shows them."""

    due: bool
    reason: str


def decide(
    *,
    request: Request,
    end: dt.date,
    every_days: int,
    built: Mapping[str, Any] | None,
    scored: Mapping[str, Any] | None,
) -> Decision:
    """Weighs what the run asks for, the schedule, and the lines of build_features and score_batch.

    ``scored`` tells of the champion: without one its status is not ``done``.
    """
    if request == "yes":
        return Decision(True, "the run asks for it (train=yes)")
    if request == "no":
        return Decision(False, "the run asks not to (train=no)")
    if not _done(built):
        return Decision(False, f"there are no new features for {end}")
    if not _done(scored):
        reason = ((scored or {}).get("error") or {}).get("message", "there is no champion yet")
        return Decision(True, reason)
    assert scored is not None, "_done is false for None"
    details = scored["details"]
    champion = f"the champion, version {scored['mlflow']['version']}, was trained up to {details['trained_end']}"
    # A challenger that was rejected counts as well: to train again the day after would only try the gate's patience.
    last = max(dt.date.fromisoformat(details[key]) for key in ("trained_end", "last_attempt_end") if details[key])
    age = (end - last).days
    if age >= every_days:
        return Decision(True, f"{champion}; the last training is {age} days old, every {every_days} are asked for")
    return Decision(False, f"{champion}; the next training is due {last + dt.timedelta(days=every_days)}")


def _done(line: Mapping[str, Any] | None) -> bool:
    return line is not None and line.get("status") == "done"
