"""The typed result of the check for late dates and unusual volumes, as the DAG reads it.

A writer constructs it strictly. A reader ignores the keys of a newer version of the code.
"""

import datetime as dt
from typing import Self

from pydantic import Field

from batchml.config.base import Closed
from batchml.config.monitoring import Level

HEAL = "make heal"


def trigger_snapshot(pipeline: str, *, has_dag: bool = True) -> str:
    """Return the instruction for a snapshot that was not ingested. Healing cannot ingest it."""
    if not has_dag:
        return f"run the jobs of {pipeline}: earlier snapshots are not available any more"
    return f"trigger the DAG {pipeline}: earlier snapshots are not available any more"


class Late(Closed):
    """The dates that were not made in time.

    ``since``: when the first of them became late. ``dates``: their number. ``first``: the first of
    them, which ``table`` lacks for ``reason``.
    """

    since: dt.datetime
    dates: int
    first: dt.date
    table: str
    reason: str
    remedy: str

    @property
    def headline(self) -> str:
        """Return since when the pipeline is late, and which dates."""
        return f"late since {self.since:%Y-%m-%d %H:%M} UTC: {self.extent}"

    @property
    def extent(self) -> str:
        """Return how many dates are late, and the first of them."""
        dates = "1 date" if self.dates == 1 else f"{self.dates:,} dates"
        return f"{dates}, first {self.first}"

    @property
    def cause(self) -> str:
        """Return why the first date is late."""
        return f"{self.table}: {self.reason}"

    @property
    def can_be_healed(self) -> bool:
        """Return True if a run on earlier dates makes the late ones."""
        return HEAL in self.remedy


class DayVolume(Closed):
    """The rows of a date, and the usual number on its weekday.

    ``is_continued``: the counted date before was at least as unusual, in the same direction.
    """

    date: dt.date
    rows: int
    usual: float
    level: Level = "ok"
    is_continued: bool = False

    @property
    def change(self) -> float:
        """Return the difference from the usual number, as a share of it."""
        return (self.rows - self.usual) / self.usual

    @property
    def text(self) -> str:
        """Return the volume in words."""
        return (
            f"{self.rows:,} rows on {self.date}, {self.change:+.0%} from the usual "
            f"{self.usual:,.0f} on a {self.date:%A} ({self.level})"
        )


class Freshness(Closed):
    """The state of one pipeline: what is late, and the unusual volumes of its newest dates.

    ``volume_excluded``: why volumes are not compared.
    """

    pipeline: str
    late: Late | None = None
    volume: tuple[DayVolume, ...] = ()
    volume_excluded: str = ""

    @property
    def alarms(self) -> list[DayVolume]:
        """Return the volumes at the level of an alarm."""
        return [each for each in self.volume if each.level == "alarm"]


class FreshnessLine(Closed):
    """The output of `python -m batchml.commands.freshness`: by pipeline, the state or the error."""

    pipelines: dict[str, Freshness] = Field(default_factory=dict)
    errors: dict[str, str] = Field(default_factory=dict)

    @classmethod
    def parse(cls, text: str) -> Self:
        """Return the printed line."""
        return cls.model_validate_json(text, extra="ignore")
