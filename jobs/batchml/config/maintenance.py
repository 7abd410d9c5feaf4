"""How a pipeline's tables are maintained."""

from pydantic import Field

from batchml.config.base import Closed


class Maintenance(Closed):
    """How a pipeline's tables are maintained.

    The ``keep_models`` newest versions stay reproducible, and those that an alias points to.
    Replaced files stay readable for at least ``retention_days`` (Delta's own week or more). A date
    with more than ``small_files`` data files is compacted.
    """

    keep_models: int = Field(5, ge=0)
    retention_days: int = Field(30, ge=7)
    small_files: int = Field(4, ge=1)
