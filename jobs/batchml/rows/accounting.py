"""Count rows by date and reason, and decide which dates may be written."""

import datetime as dt
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from batchml.config import Pipeline
from batchml.errors import BadData


@dataclass
class RowCounts:
    """Rows of one date, or of one delivery's leftovers.

    ``damaged`` rows are malformed, or have a cell that does not fit its column.
    """

    rows: int = 0
    rejected: int = 0
    damaged: int = 0
    reasons: Counter[str] = field(default_factory=Counter)
    warnings: Counter[str] = field(default_factory=Counter)

    @property
    def rejected_share(self) -> float:
        """The share of the rows that fail a check."""
        return self.rejected / self.rows if self.rows else 0.0

    def add(self, other: "RowCounts") -> None:
        """Count the rows of ``other`` too."""
        self.rows += other.rows
        self.rejected += other.rejected
        self.damaged += other.damaged
        self.reasons += other.reasons
        self.warnings += other.warnings

    def lines(self) -> list[str]:
        """Return one line per reason, the most frequent first."""
        return [f"{name}: {size} rows" for name, size in self.reasons.most_common()]


@dataclass(frozen=True)
class Counts:
    """Rows by date, and the leftovers by the date under which they are stored."""

    dates: dict[dt.date, RowCounts] = field(default_factory=dict)
    leftovers: dict[dt.date, RowCounts] = field(default_factory=dict)


def require_dated(pipeline: Pipeline, delivery: str, rows: int, leftovers: RowCounts) -> None:
    """Raise BadData for a delivery of ``rows`` rows of which too many have no date.

    A row of a snapshot may have none yet, as an order before it is shipped. There only damaged rows count.
    """
    unusable = leftovers.damaged if pipeline.source.period == "snapshot" else leftovers.rows
    if rows and unusable / rows > pipeline.max_rejected_share:
        raise BadData(
            f"{pipeline.name}: {unusable} of {rows} rows ({unusable / rows:.1%}) of {delivery} have no date in its "
            f"period, more than max_rejected_share allows ({pipeline.max_rejected_share:.1%})",
            *leftovers.lines(),
            remedy=f"look at {pipeline.source.event_time!r} in the source; correct the file, or the declared type, "
            "pattern or time zone",
        )


def unusable_dates(pipeline: Pipeline, dates: Mapping[dt.date, RowCounts]) -> list[dt.date]:
    """Return the dates of which too many rows fail a check."""
    return sorted(
        date for date, found in dates.items() if found.rejected_share > pipeline.max_rejected_share
    )


def too_many_rejected(
    pipeline: Pipeline,
    dates: Mapping[dt.date, RowCounts],
    bad: Iterable[dt.date],
    written: Iterable[dt.date],
) -> BadData:
    """Return the error about the ``bad`` dates; the dates ``written`` are named too."""
    first, *others = bad
    details = dates[first].lines()
    for date in others:
        details += [_too_many(pipeline, date, dates[date]), *dates[date].lines()]
    if names := ", ".join(map(str, written)):
        details.append(f"written nevertheless: {names}")
    return BadData(
        f"{pipeline.name} {_too_many(pipeline, first, dates[first])}",
        *details,
        remedy="look at the source; if the rows are right, correct the check or raise max_rejected_share",
    )


def _too_many(pipeline: Pipeline, date: dt.date, found: RowCounts) -> str:
    return (
        f"{date}: {found.rejected} of {found.rows} rows ({found.rejected_share:.1%}) fail a check, more than "
        f"max_rejected_share allows ({pipeline.max_rejected_share:.1%})"
    )


def require_nothing_lost(
    read: Counter[dt.date], written: Mapping[str, Mapping[dt.date, int]]
) -> None:
    """Raise BadData unless, for every date, rows read = bronze = silver + quarantine."""
    problems = []
    for date in sorted(read.keys() | written["bronze"].keys()):
        bronze, silver, quarantine = (
            written[table].get(date, 0) for table in ("bronze", "silver", "quarantine")
        )
        if not read[date] == bronze == silver + quarantine:
            problems.append(
                f"{date}: read {read[date]}, bronze {bronze}, silver {silver} + quarantine {quarantine}"
            )
    if problems:
        raise BadData(
            "rows were lost or doubled between source and tables",
            *problems,
            remedy="check that the file did not change and no other run wrote these dates, then run the job again",
        )
