"""Copy production's champion into the sandbox, so that the trial can score and compare with it."""

from dataclasses import dataclass

from batchml.commands.plan.champion import plan_champion
from batchml.commands.plan.tracked import read_champion
from batchml.commands.trial.sandbox import Sandbox
from batchml.config import Pipeline, Places
from batchml.errors import PipelineError
from batchml.tracking import open_reader
from batchml.tracking.transfer import download, upload_champion


@dataclass(frozen=True)
class TriedChampion:
    """Production's champion in a trial.

    Without a champion, ``version`` is None. ``unknown`` is why it cannot be read or copied.
    ``cannot_score`` and ``cannot_compare`` are why it does not fit the edited pipeline.
    """

    version: int | None = None
    unknown: str = ""
    cannot_score: str = ""
    cannot_compare: str = ""
    reach_days: int = 0
    """How many days before a date its inputs read."""

    @property
    def can_score(self) -> bool:
        """Return True if the champion is in the sandbox and its inputs still exist."""
        is_present = self.version is not None and not self.unknown
        return is_present and not self.cannot_score


def copy_champion(pipeline: Pipeline, production: Places, sandbox: Sandbox) -> TriedChampion:
    """Copy production's champion into the store of ``sandbox``, and return how it fits."""
    name = pipeline.name
    try:
        champion = read_champion(name, production)
        if champion is None:
            return TriedChampion()
        tracker = open_reader(name, production)
        version = tracker.get(champion.version)
        downloaded = download(tracker, version, sandbox.champion)
        upload_champion(name, sandbox.places, downloaded)
    except PipelineError as error:
        return TriedChampion(unknown=error.message)
    except OSError as error:
        return TriedChampion(unknown=f"its files cannot be copied: {error}")

    fit = plan_champion(pipeline, champion)
    return TriedChampion(
        version=champion.version,
        cannot_score=fit.cannot_score,
        cannot_compare=fit.cannot_compare,
        reach_days=champion.trained.reach_days,
    )
