"""Summarise one day of a pipeline from its tables, without Spark.

Rows are counted from the statistics in Delta's log. Only ``drift``, ``verdicts`` and the day's
quarantine are read as data.
"""

import datetime as dt
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from batchml.clients.delta_tables import READ_ERRORS, DateRange, DeltaTables, Row
from batchml.errors import NothingToDo, Unavailable, first_line

TABLES: tuple[str, ...] = ("bronze", "silver", "quarantine", "features", "predictions")
IN_A_LINE = ("bronze", "quarantine", "predictions")
"""The tables that an overview of one line is about."""
DAYS = 30
LOUDEST_FIRST = {"alarm": 0, "watch": 1, "ok": 2}
ERROR_MEASURES = ("rmse", "error_rate")
LOG_COLUMNS = ("partition.event_date", "num_records", "max.model_version")


@dataclass(frozen=True)
class Serving:
    """The version that scored a day, and the last date of its training, None if it is unknown."""

    version: int
    trained_end: dt.date | None

    def age(self, date: dt.date) -> int | None:
        """Return the days from the last date of its training to ``date``."""
        if self.trained_end is None:
            return None
        return (date - self.trained_end).days


@dataclass(frozen=True)
class Overview:
    """One day of one pipeline."""

    pipeline: str
    date: dt.date
    rows: dict[str, int]
    """Rows of the date, by table."""
    rejected: dict[str, int]
    """Rows in quarantine by reason; a row may have several."""
    drift: list[Row]
    """Rows of ``drift`` of the date, the loudest first."""
    errors: list[Row]
    """Rows of ``drift`` of the last ``DAYS`` days with the realised error, by date."""
    serving: Serving | None
    verdict: Row | None
    """The newest row of ``verdicts`` up to the date."""

    @property
    def level(self) -> str | None:
        """Return the worst level of the date, or None if nothing was monitored."""
        if not self.drift:
            return None
        level: str = self.drift[0]["level"]
        return level

    @property
    def quarantined(self) -> float | None:
        """Return the share of the date's rows that was quarantined."""
        received = self.rows.get("bronze")
        if not received:
            return None
        return self.rows.get("quarantine", 0) / received

    @property
    def error(self) -> Row | None:
        """Return the error of the version that scored the date, or None if it is unknown."""
        if not self.errors or self.serving is None:
            return None
        newest = self.errors[-1]
        is_of_date = newest["event_date"] == self.date
        if is_of_date and newest["model_version"] == self.serving.version:
            return newest
        return None

    @property
    def seen_share(self) -> float:
        """Return the share of the date's rows that their version has seen in training."""
        shares = [row["value"] for row in self.drift if row["measure"] == "seen"]
        return max(shares, default=0.0)

    @property
    def unknown_error(self) -> str:
        """Return why the error of the date is unknown, or an empty text.

        The text is also empty if nothing was scored.
        """
        was_scored = bool(self.rows.get("predictions"))
        if self.error is not None or not was_scored:
            return ""
        if self.seen_share == 1:
            return "unknown: seen in training"
        return "unknown"

    @property
    def outcome(self) -> str:
        """Return the gate's last verdict in words, or an empty text without one."""
        if self.verdict is None:
            return ""
        if self.verdict.get("needs_approval"):
            return "needs approval"
        if self.verdict["passed"]:
            return "passed"
        return "was rejected"


def read_overview(lake: str, pipeline: str, date: dt.date | None = None) -> Overview:
    """Return the overview of ``date``, or of the last date with rows in bronze.

    Raise NothingToDo if there is no bronze yet, Unavailable if the tables cannot be read.
    """
    return overview_of(DeltaTables(f"{lake.rstrip('/')}/{pipeline}"), pipeline, date)


def overview_of(
    tables: DeltaTables, pipeline: str, date: dt.date | None, *, is_line: bool = False
) -> Overview:
    """Return the overview as ``read_overview`` does, from tables that may be open already.

    If ``is_line``, leave out what one line in a terminal does not show, which takes longer to read:
    rows of other tables, reasons, and errors of the dates before.
    """
    try:
        return _read(tables, pipeline, date, is_line)
    except READ_ERRORS as error:
        raise Unavailable(
            f"the tables of {pipeline} under {tables.folder} cannot be read without Spark",
            first_line(error),
            remedy="check that the lake is mounted, or that the credentials of the object store "
            "are in the environment",
        ) from error


def _read(tables: DeltaTables, pipeline: str, date: dt.date | None, is_line: bool) -> Overview:
    names = TABLES
    if is_line:
        names = IN_A_LINE
    files = {table: tables.files(table, LOG_COLUMNS) for table in names}
    if not files["bronze"]:
        raise NothingToDo(
            f"{pipeline} has no tables under {tables.folder} yet",
            remedy=f"make run PIPELINE={pipeline}",
        )
    day = date or max(file["partition.event_date"] for file in files["bronze"])

    rows = _count_rows(files, day)
    rejected = {}
    if rows.get("quarantine") and not is_line:
        rejected = _reasons(tables, day)

    verdicts = [row for row in tables.rows("verdicts") if row["event_date"] <= day]
    verdicts.sort(key=_by_date_and_version)
    verdict = None
    if verdicts:
        verdict = verdicts[-1]
    start = day
    if not is_line:
        start -= dt.timedelta(days=DAYS - 1)
    drift = tables.rows("drift", DateRange(start, day))
    day_drift = [row for row in drift if row["event_date"] == day]
    errors = [row for row in drift if is_error(row)]
    return Overview(
        pipeline=pipeline,
        date=day,
        rows=rows,
        rejected=rejected,
        drift=sorted(day_drift, key=_by_level),
        errors=sorted(errors, key=_by_date_and_version),
        serving=_serving(_on_date(files["predictions"], day), verdicts),
        verdict=verdict,
    )


def _count_rows(files: Mapping[str, Iterable[Row]], day: dt.date) -> dict[str, int]:
    """Return the rows of the date by table, without tables that have no file of the date."""
    rows: dict[str, int] = {}
    for table, listed in files.items():
        day_files = _on_date(listed, day)
        if day_files:
            rows[table] = sum(file["num_records"] for file in day_files)
    return rows


def _by_date_and_version(row: Row) -> tuple[dt.date, int]:
    return row["event_date"], row["model_version"]


def _by_level(row: Row) -> tuple[int, float, str]:
    return LOUDEST_FIRST[row["level"]], -row["value"], row["subject"]


def is_error(row: Row) -> bool:
    """Return True for a row of ``drift`` with the realised error."""
    return row["subject"] == "prediction" and row["measure"] in ERROR_MEASURES


def _on_date(files: Iterable[Row], date: dt.date) -> list[Row]:
    return [file for file in files if file["partition.event_date"] == date]


def _reasons(tables: DeltaTables, date: dt.date) -> dict[str, int]:
    """Return the number of rows by reason, the most frequent first."""
    counts: Counter[str] = Counter()
    for row in tables.rows("quarantine", DateRange(date, date), ["reasons"]):
        counts.update(row["reasons"])
    return dict(counts.most_common())


def _serving(files: Iterable[Row], verdicts: list[Row]) -> Serving | None:
    """Return the newest version in the day's predictions. A scoring leaves only one."""
    version = max((file["max.model_version"] for file in files), default=None)
    if version is None:
        return None
    ends = {row["model_version"]: row["event_date"] for row in verdicts}
    return Serving(version, ends.get(version))
