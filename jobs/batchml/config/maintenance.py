"""How a pipeline's tables are looked after."""

from pydantic import Field

from batchml.config.base import Closed


class Maintenance(Closed):
    """``keep_models``: how many of the newest versions stay reproducible, besides those an alias points to.

    ``retention_days``: for how long replaced files stay readable in any case; at least Delta's own week.
    ``small_files``: a date is compacted when it has more data files than this.
    """

    keep_models: int = Field(5, ge=0)
    retention_days: int = Field(30, ge=7)
    small_files: int = Field(4, ge=1)
