"""The ledger of a pipeline: the state of each date in each table, and what its rows were made from.

It is a small Delta table, read and written without Spark.
"""

import datetime as dt
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from operator import attrgetter, itemgetter
from typing import Literal

import pyarrow as pa
from deltalake import DeltaTable, write_deltalake
from deltalake.exceptions import CommitFailedError, DeltaError

from batchml.clients.delta_tables import open_table, read_rows
from batchml.errors import Unavailable, first_line

State = Literal["done", "empty", "missing", "rejected", "accepted"]
"""
- ``done``: the date has rows,
- ``empty``: its source was read and has none,
- ``missing``: its delivery has not arrived,
- ``rejected``: its delivery cannot be used, and is tried again when it changes,
- ``accepted``: a person has accepted that it never comes.
"""
NO_ROWS = "no rows"
"""The identity of a date that has none."""
IN_WORK = "in work"
"""What a date is made from while a run writes it. If the run is killed, the date stays owed."""
TABLE = "ledger"
ATTEMPTS = 5
SCHEMA = pa.schema(
    [
        ("table_name", pa.string()),
        ("event_date", pa.date32()),
        ("state", pa.string()),
        ("rows", pa.int64()),
        ("identity", pa.string()),
        ("made_from", pa.string()),
        ("definition", pa.string()),
        ("run", pa.string()),
        ("time", pa.timestamp("us", tz="UTC")),
    ]
)
FIELDS = itemgetter(*SCHEMA.names)
"""Returns the values of an entry, in the order of its fields."""
CONFIGURATION = {"delta.checkpointInterval": "20", "delta.logRetentionDuration": "interval 7 days"}
DAYS_TO_KEEP_FILES = 7


@dataclass(frozen=True)
class Entry:
    """One date of one table.

    ``identity`` names the content of the date, and ``made_from`` the content or the delivery that
    it was made from; both are empty where they are unknown. ``definition`` is the hash of what the
    rows were computed by. ``run`` is empty for what was found when the ledger was created.
    """

    table_name: str
    event_date: dt.date
    state: State
    rows: int | None = None
    identity: str = ""
    made_from: str = ""
    definition: str = ""
    run: str = ""
    time: dt.datetime | None = None

    @property
    def key(self) -> tuple[str, dt.date]:
        """Return the table and the date."""
        return self.table_name, self.event_date

    @property
    def has_rows(self) -> bool:
        """Return True if the table has rows of the date.

        Those of a date whose new delivery was rejected stay.
        """
        return bool(self.rows) or self.state == "done"

    @property
    def is_worked_on(self) -> bool:
        """Return True if the delivery of the date was read."""
        return self.state not in ("missing", "accepted") or self.made_from == IN_WORK


@dataclass(frozen=True)
class Ledger:
    """All entries, by table and date."""

    entries: Mapping[tuple[str, dt.date], Entry] = field(default_factory=dict)

    @classmethod
    def of(cls, entries: Iterable[Entry]) -> "Ledger":
        """Return the ledger of ``entries``. If two are for one date, keep the later one."""
        return cls({entry.key: entry for entry in entries})

    def get(self, table: str, date: dt.date) -> Entry | None:
        """Return the entry of the date, or None."""
        return self.entries.get((table, date))

    def of_table(self, table: str) -> dict[dt.date, Entry]:
        """Return the entries of ``table`` by date."""
        return dict(self._by_table.get(table, {}))

    @cached_property
    def _by_table(self) -> dict[str, dict[dt.date, Entry]]:
        by_table: dict[str, dict[dt.date, Entry]] = {}
        for (name, date), entry in self.entries.items():
            by_table.setdefault(name, {})[date] = entry
        return by_table

    def without(self, tables: Collection[str]) -> "Ledger":
        """Return the ledger without the entries of ``tables``."""
        kept = {key: entry for key, entry in self.entries.items() if key[0] not in tables}
        return Ledger(kept)

    def identities(self, table: str, dates: Iterable[dt.date]) -> Iterator[str]:
        """Yield the identity of each date."""
        for date in dates:
            entry = self.get(table, date)
            if entry is None:
                yield NO_ROWS
            else:
                yield entry.identity

    def first_date(self, slack_days: int) -> dt.date | None:
        """Return the first date that a run has worked on; None before the first run.

        A date that is missing counts if it is at most ``slack_days`` before one that is not: a
        mistyped date of years ago must not make all years since then owed.
        """
        entries = self.of_table("bronze")
        if not entries:
            return None
        worked_on = [date for date, entry in entries.items() if entry.is_worked_on]
        anchor = min(worked_on, default=max(entries))
        slack = dt.timedelta(days=slack_days)
        return min(date for date in entries if date >= anchor - slack)

    @property
    def is_from_tables(self) -> bool:
        """Return True if tables existed before the ledger did."""
        return any(not entry.run for entry in self.entries.values())


@dataclass(frozen=True)
class LedgerTable:
    """The Delta table of a ledger, in the pipeline's folder ``root`` of the lake."""

    root: str

    @property
    def path(self) -> str:
        """Return the table's path."""
        return f"{self.root.rstrip('/')}/{TABLE}"

    def read(self) -> Ledger | None:
        """Return the ledger; None if it has not been created.

        Raise Unavailable if it cannot be read.
        """
        table = self._open()
        if table is None:
            return None
        try:
            return Ledger.of(_entries(table))
        except (DeltaError, OSError, pa.ArrowException) as error:
            raise self._unavailable("read", error) from error

    def exists(self) -> bool:
        """Return True if the ledger has been created."""
        return self._open() is not None

    def write(self, entries: Sequence[Entry]) -> None:
        """Replace the dates of ``entries``. Raise Unavailable if other processes keep writing."""
        names = {entry.table_name for entry in entries}
        for attempt in range(ATTEMPTS):
            table = self._open()
            known: list[Entry] = []
            if table is not None:
                known = _entries(table)
            merged = Ledger.of(known + list(entries))
            rows = [entry for entry in merged.entries.values() if entry.table_name in names]

            try:
                self._replace(table, rows, names)
            except CommitFailedError as error:
                if attempt + 1 == ATTEMPTS:
                    raise self._unavailable("written", error) from error
            except (DeltaError, OSError) as error:
                raise self._unavailable("written", error) from error
            else:
                return

    def clean_up(self) -> None:
        """Merge the table's files, and remove those that were replaced a week ago."""
        table = self._open()
        if table is None:
            return
        table.optimize.compact()
        table.vacuum(DAYS_TO_KEEP_FILES * 24, dry_run=False)
        table.create_checkpoint()
        table.cleanup_metadata()

    def _replace(self, table: DeltaTable | None, rows: Sequence[Entry], names: set[str]) -> None:
        ordered = sorted(rows, key=attrgetter("key"))
        columns = {}
        for name in SCHEMA.names:
            columns[name] = [getattr(entry, name) for entry in ordered]
        data = pa.table(columns, schema=SCHEMA)
        if table is None:
            write_deltalake(
                self.path,
                data,
                mode="error",
                partition_by=["table_name"],
                configuration=CONFIGURATION,
            )
            return
        listed = ", ".join(f"'{name}'" for name in sorted(names))
        write_deltalake(
            table,
            _with_columns_of(table, data),
            mode="overwrite",
            predicate=f"table_name IN ({listed})",
        )

    def _open(self) -> DeltaTable | None:
        try:
            return open_table(self.path)
        except (DeltaError, OSError) as error:
            raise self._unavailable("read", error) from error

    def _unavailable(self, verb: str, error: Exception) -> Unavailable:
        return Unavailable(
            f"{self.path} cannot be {verb}",
            first_line(error),
            remedy="check that the lake is mounted and writable, and that the credentials of an "
            "object store are in the environment",
        )


def _with_columns_of(table: DeltaTable, data: pa.Table) -> pa.Table:
    """Return ``data`` with the columns that a newer version has added, as null."""
    for column in pa.schema(table.schema().to_arrow()):
        if column.name not in data.column_names:
            nulls = pa.nulls(data.num_rows, column.type)
            data = data.append_column(column, nulls)
    return data


def _entries(table: DeltaTable) -> list[Entry]:
    """Return the stored entries; columns of a newer version are ignored."""
    return [Entry(*FIELDS(row)) for row in read_rows(table)]
