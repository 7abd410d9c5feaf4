"""How much of what is owed one run makes up for."""

from pydantic import Field

from batchml.config.base import Closed


class CatchUp(Closed):
    """``max_days``: how many owed dates a job works on in one run, the oldest first.

    Dates that another definition of the pipeline made are not counted: a training needs all of them.
    """

    max_days: int = Field(100, ge=1)
