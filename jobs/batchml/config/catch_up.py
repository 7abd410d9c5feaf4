"""How many owed dates one run works on."""

from pydantic import Field

from batchml.config.base import Closed


class CatchUp(Closed):
    """The limit of a run that catches up: ``max_days`` owed dates for each job, the oldest first.

    Dates that are only checked for changes come last. Dates of the training window that another
    definition or older input made are not counted: a training needs all of them. Healing has no
    limit.
    """

    max_days: int = Field(100, ge=1)
