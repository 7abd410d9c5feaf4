"""A pipeline's day at a glance, from its tables alone and without Spark.

Rows are counted from the statistics in Delta's log; of the data itself only ``drift``, ``verdicts`` and the day's
quarantine are read.
"""

import datetime as dt
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
from deltalake import DeltaTable
from deltalake.exceptions import DeltaError

from batchml.errors import NothingToDo, Unavailable

TABLES = ("bronze", "silver", "quarantine", "features", "predictions")
DAYS = 30
LOUDEST_FIRST = {"alarm": 0, "watch": 1, "ok": 2}
Row = dict[str, Any]


@dataclass(frozen=True)
class Serving:
    """The version whose predictions a day has, and the date it was trained up to if the tables tell."""

    version: int
    trained_end: dt.date | None

    def age(self, date: dt.date) -> int | None:
        """Return the days from the last date of its training to ``date``."""
        return (date - self.trained_end).days if self.trained_end else None


@dataclass(frozen=True)
class Overview:
    """One day of one pipeline."""

    pipeline: str
    date: dt.date
    rows: dict[str, int]
    """Of the date, by table."""
    rejected: dict[str, int]
    """Rows in quarantine by reason; a row may have several."""
    drift: list[Row]
    """Rows of ``drift`` of the date, the loudest first."""
    errors: list[Row]
    """Rows of ``drift`` of the last ``DAYS`` days that hold the realised error, by date."""
    serving: Serving | None
    verdict: Row | None
    """The newest row of ``verdicts`` up to the date."""

    @property
    def level(self) -> str | None:
        """Return the worst level of the date; None if nothing was monitored."""
        return self.drift[0]["level"] if self.drift else None

    @property
    def quarantined(self) -> float | None:
        """Return the share of the date's rows that was quarantined."""
        received = self.rows.get("bronze")
        return self.rows.get("quarantine", 0) / received if received else None

    @property
    def error(self) -> Row | None:
        """Return the error of the version that scored the date; None if it is unknown."""
        newest = self.errors[-1] if self.errors else None
        if newest is None or newest["event_date"] != self.date or self.serving is None:
            return None
        return newest if newest["model_version"] == self.serving.version else None

    @property
    def seen_share(self) -> float:
        """Return the share of the date's rows that the version which scored them has seen."""
        shares = [row["value"] for row in self.drift if row["measure"] == "seen"]
        return max(shares, default=0.0)

    @property
    def unknown_error(self) -> str:
        """Return why the error of the date is unknown; empty if it is known, or nothing was scored."""
        if self.error is not None or not self.rows.get("predictions"):
            return ""
        return "unknown: seen in training" if self.seen_share == 1 else "unknown"

    @property
    def outcome(self) -> str:
        """Return the gate's last verdict in words; empty without one."""
        if self.verdict is None:
            return ""
        if self.verdict.get("needs_approval"):
            return "needs approval"
        return "passed" if self.verdict["passed"] else "was rejected"


def read_overview(lake: str, pipeline: str, date: dt.date | None = None) -> Overview:
    """Return the overview of ``date``, or of the last date with rows in bronze.

    Raise NothingToDo if there is no bronze yet, Unavailable if the tables cannot be read.
    """
    try:
        return _read(f"{lake.rstrip('/')}/{pipeline}", pipeline, date)
    except (DeltaError, OSError) as error:
        raise Unavailable(
            f"the tables of {pipeline} under {lake} cannot be read without Spark",
            str(error).splitlines()[0],
            remedy="is the lake mounted, or are the credentials of the object store in the environment?",
        ) from error


def _read(root: str, pipeline: str, date: dt.date | None) -> Overview:
    files = {table: _files(f"{root}/{table}") for table in TABLES}
    if not files["bronze"]:
        raise NothingToDo(
            f"{pipeline} has no tables under {root} yet", remedy=f"make run PIPELINE={pipeline}"
        )
    day = date or max(file["partition.event_date"] for file in files["bronze"])
    of_day = {
        table: [file for file in found if file["partition.event_date"] == day]
        for table, found in files.items()
    }
    rows = {
        table: sum(file["num_records"] for file in found)
        for table, found in of_day.items()
        if found
    }
    verdicts = sorted(_rows(f"{root}/verdicts", dt.date.min, day), key=_newest)
    drift = _rows(f"{root}/drift", day - dt.timedelta(days=DAYS - 1), day)
    of_date = [row for row in drift if row["event_date"] == day]
    return Overview(
        pipeline=pipeline,
        date=day,
        rows=rows,
        rejected=_reasons(f"{root}/quarantine", day) if rows.get("quarantine") else {},
        drift=sorted(
            of_date, key=lambda row: (LOUDEST_FIRST[row["level"]], -row["value"], row["subject"])
        ),
        errors=sorted((row for row in drift if _is_error(row)), key=_newest),
        serving=_serving(of_day["predictions"], verdicts),
        verdict=verdicts[-1] if verdicts else None,
    )


def _newest(row: Row) -> tuple[dt.date, int]:
    return row["event_date"], row["model_version"]


def _is_error(row: Row) -> bool:
    return row["subject"] == "prediction" and row["measure"] in ("rmse", "error_rate")


def _files(path: str) -> list[Row]:
    """Return the entries of Delta's log for the table's files; none without a table."""
    if not DeltaTable.is_deltatable(path):
        return []
    found: list[Row] = pa.table(DeltaTable(path).get_add_actions(flatten=True)).to_pylist()
    return found


def _rows(path: str, start: dt.date, end: dt.date, columns: list[str] | None = None) -> list[Row]:
    """Return the rows of the dates, both inclusive; none without a table."""
    if not DeltaTable.is_deltatable(path):
        return []
    dates = [("event_date", ">=", start), ("event_date", "<=", end)]
    found: list[Row] = DeltaTable(path).to_pyarrow_table(columns=columns, filters=dates).to_pylist()
    return found


def _reasons(path: str, date: dt.date) -> dict[str, int]:
    """Return the number of rows by reason, the most frequent first."""
    rows = _rows(path, date, date, ["reasons"])
    return dict(Counter(reason for row in rows for reason in row["reasons"]).most_common())


def _serving(files: Iterable[Row], verdicts: list[Row]) -> Serving | None:
    """Return the newest version in the day's predictions; a scoring leaves only one."""
    version = max((file["max.model_version"] for file in files), default=None)
    if version is None:
        return None
    ends = {row["model_version"]: row["event_date"] for row in verdicts}
    return Serving(version, ends.get(version))
