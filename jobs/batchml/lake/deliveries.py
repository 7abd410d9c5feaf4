"""Keep one record per delivery: what it was, and that each of its rows is accounted for."""

import datetime as dt
from collections.abc import Iterable
from dataclasses import dataclass, replace
from operator import attrgetter

from pyspark.sql.types import (
    DateType,
    LongType,
    StringType,
    StructField,
    StructType,
    TimestampNTZType,
)

from batchml.lake import row_counts
from batchml.lake.tables import Lake

TABLE = "deliveries"
SCHEMA = StructType(
    [
        StructField("event_date", DateType()),
        StructField("delivery", StringType()),
        StructField("bytes", LongType()),
        StructField("modified", TimestampNTZType()),
        StructField("tag", StringType()),
        StructField("rows", LongType()),
        StructField("dated_rows", LongType()),
        StructField("leftover_rows", LongType()),
    ]
)


@dataclass(frozen=True)
class DeliveryRecord:
    """One delivery as it was last stored.

    ``event_date`` is the first day of its period. Its leftovers, the rows that belong to no date of
    the period, are stored under that day. ``bytes``, ``modified`` (UTC) and ``tag`` change when the
    delivery does. They are None where the source does not have them.
    """

    event_date: dt.date
    delivery: str
    bytes: int | None
    modified: dt.datetime | None
    tag: str | None
    rows: int
    dated_rows: int
    leftover_rows: int

    @property
    def fingerprint(self) -> tuple[int | None, dt.datetime | None, str | None]:
        """Return the values that change when the delivery does."""
        return self.bytes, self.modified, self.tag

    def without_fingerprint(self) -> "DeliveryRecord":
        """Return the record without a fingerprint, so that its delivery counts as changed."""
        return replace(self, bytes=None, modified=None, tag=None)

    def is_like(self, other: "DeliveryRecord") -> bool:
        """Return True if both are of the same delivery with as many leftovers."""
        return (self.fingerprint, self.leftover_rows) == (other.fingerprint, other.leftover_rows)


def read_records(lake: Lake) -> list[DeliveryRecord]:
    """Return the record of every delivery; none before the first ingest."""
    if not lake.exists(TABLE):
        return []
    rows = None
    if "://" not in lake.root:
        rows = row_counts.small_table(lake.path(TABLE))
    if rows is None:
        rows = [row.asDict() for row in lake.read_all(TABLE).collect()]
    return [DeliveryRecord(**row) for row in rows]


def write_records(
    lake: Lake, records: Iterable[DeliveryRecord], known: Iterable[DeliveryRecord]
) -> int:
    """Replace the records of the dates of ``records``, and return the table's version.

    ``known`` are the stored records. Those of the same dates are written again.
    """
    new = {(record.event_date, record.delivery): record for record in records}
    dates = {date for date, _ in new}

    merged = {}
    for record in known:
        if record.event_date in dates:
            merged[record.event_date, record.delivery] = record
    merged |= new

    in_order_of_schema = attrgetter(*SCHEMA.names)
    rows = [in_order_of_schema(record) for record in merged.values()]
    return lake.replace(TABLE, lake.create_frame(rows, SCHEMA), SCHEMA, dates)
