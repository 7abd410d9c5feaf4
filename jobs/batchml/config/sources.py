"""The sources a YAML can name."""

import datetime as dt
from typing import Annotated, Literal

from pydantic import Field

from batchml.config.closed import Closed

Period = Literal["day", "month", "year", "snapshot"]


class FileSource(Closed):
    """Files under the landing folder, one per period.

    ``path`` may hold ``{yyyy}``, ``{MM}`` and ``{dd}``: the finest of them is the file's period. A path without any is
    one snapshot. ``event_time`` names the column that dates a row; without it the whole file belongs to the date it
    is read for. ``url`` is where `make fetch` finds the official file of a period.
    """

    path: str
    event_time: str | None = None
    url: str | None = None

    @property
    def period(self) -> Period:
        if "{dd}" in self.path:
            return "day"
        if "{MM}" in self.path:
            return "month"
        return "year" if "{yyyy}" in self.path else "snapshot"

    def first_day(self, date: dt.date) -> dt.date:
        """The first day of the period that ``date`` lies in; for a snapshot, the date itself."""
        match self.period:
            case "month":
                return date.replace(day=1)
            case "year":
                return date.replace(month=1, day=1)
            case "day" | "snapshot":
                return date

    def path_on(self, date: dt.date) -> str:
        """The path, relative to the landing folder, of the file that holds ``date``."""
        return fill_date(self.path, date)


def days_between(start: dt.date, end: dt.date) -> list[dt.date]:
    """Every date from ``start`` to ``end``, both inclusive."""
    return [start + dt.timedelta(days=offset) for offset in range((end - start).days + 1)]


def fill_date(pattern: str, date: dt.date) -> str:
    """``pattern`` with ``{yyyy}``, ``{MM}`` and ``{dd}`` replaced by the parts of ``date``."""
    parts = {"{yyyy}": f"{date:%Y}", "{MM}": f"{date:%m}", "{dd}": f"{date:%d}"}
    for placeholder, part in parts.items():
        pattern = pattern.replace(placeholder, part)
    return pattern


class ParquetSource(FileSource):
    """Parquet files, each read with its own schema and cast to the declared one."""

    kind: Literal["parquet"]


class CsvSource(FileSource):
    """CSV files, their fields in the order the columns are declared; a line with more or fewer is kept apart.

    ``nulls`` are texts that mean no value, besides an empty field. ``formats`` gives the pattern of date and time
    columns, as Spark writes them (``M/d/yy``); without one they are read as ISO 8601.
    """

    kind: Literal["csv"]
    header: bool = True
    delimiter: str = Field(",", min_length=1)
    encoding: str = "UTF-8"
    nulls: tuple[str, ...] = ()
    formats: dict[str, str] = Field(default_factory=dict)


class LookupTable(Closed):
    """A small CSV file with a header under the landing folder, for the feature ``lookup``; ``key`` is unique in it.

    Without the file a feature that looks into it is null if the table is ``optional``, and fails otherwise. ``url`` is
    where `make fetch` finds it.
    """

    path: str
    key: str
    optional: bool = False
    url: str | None = None


Source = Annotated[ParquetSource | CsvSource, Field(discriminator="kind")]
