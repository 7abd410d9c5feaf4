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
        return Decision(True, "there is no champion yet")
    assert scored is not None, "_done is false for None"
    trained = dt.date.fromisoformat(scored["details"]["trained_end"])
    age = (end - trained).days
    champion = f"the champion, version {scored['mlflow']['version']}, was trained up to {trained}"
    if age >= every_days:
        return Decision(True, f"{champion}, {age} days before {end}; every {every_days} days are asked for")
    return Decision(False, f"{champion}; the next training is due {trained + dt.timedelta(days=every_days)}")


def _done(line: Mapping[str, Any] | None) -> bool:
    return line is not None and line.get("status") == "done"
