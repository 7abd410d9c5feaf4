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
        """Return the share of the rows that fail a check."""
        if self.rows == 0:
            return 0.0
        return self.rejected / self.rows

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
    """Raise BadData if too many of a delivery's ``rows`` rows have no date.

    A row of a snapshot may have none yet, as an order before it is shipped. There only damaged rows
    count.
    """
    unusable = leftovers.rows
    if pipeline.source.period == "snapshot":
        unusable = leftovers.damaged
    if rows == 0 or unusable / rows <= pipeline.max_rejected_share:
        return
    raise BadData(
        f"{pipeline.name}: {unusable} of {rows} rows ({unusable / rows:.1%}) of {delivery} have "
        "no date in its period, more than max_rejected_share allows "
        f"({pipeline.max_rejected_share:.1%})",
        *leftovers.lines(),
        remedy=f"check {pipeline.source.event_time!r} in the source, then correct the file, or "
        "the declared type, pattern or time zone",
    )


def unusable_dates(pipeline: Pipeline, dates: Mapping[dt.date, RowCounts]) -> list[dt.date]:
    """Return the dates of which too many rows fail a check."""
    limit = pipeline.max_rejected_share
    return sorted(date for date, counts in dates.items() if counts.rejected_share > limit)


def too_many_rejected(
    pipeline: Pipeline,
    dates: Mapping[dt.date, RowCounts],
    bad: Iterable[dt.date],
    written: Iterable[dt.date],
) -> BadData:
    """Return the error about the ``bad`` dates. It names the dates ``written`` too."""
    bad = list(bad)
    first = bad[0]
    details = dates[first].lines()
    for date in bad[1:]:
        details.append(_too_many(pipeline, date, dates[date]))
        details += dates[date].lines()
    names = ", ".join(map(str, written))
    if names:
        details.append(f"written nevertheless: {names}")
    return BadData(
        f"{pipeline.name} {_too_many(pipeline, first, dates[first])}",
        *details,
        remedy="check the source. If the rows are right, correct the check or the declared type, "
        "or raise max_rejected_share",
    )


def _too_many(pipeline: Pipeline, date: dt.date, counts: RowCounts) -> str:
    return (
        f"{date}: {counts.rejected} of {counts.rows} rows ({counts.rejected_share:.1%}) fail a "
        f"check, more than max_rejected_share allows ({pipeline.max_rejected_share:.1%})"
    )


def require_nothing_lost(
    read: Counter[dt.date], written: Mapping[str, Mapping[dt.date, int]]
) -> None:
    """Raise BadData unless, for every date, rows read = bronze = silver + quarantine."""
    problems = []
    for date in sorted(read.keys() | written["bronze"].keys()):
        bronze = written["bronze"].get(date, 0)
        silver = written["silver"].get(date, 0)
        quarantine = written["quarantine"].get(date, 0)
        if not read[date] == bronze == silver + quarantine:
            problems.append(
                f"{date}: read {read[date]}, bronze {bronze}, "
                f"silver {silver} + quarantine {quarantine}"
            )
    if problems:
        raise BadData(
            "rows were lost or doubled between source and tables",
            *problems,
            remedy="check that the file did not change and no other run wrote these dates, then "
            "run the job again",
        )
