"""Read Delta tables without Spark and without pandas."""

import datetime as dt
from pathlib import Path

import pyarrow as pa
import pytest
from deltalake import write_deltalake
from deltalake.exceptions import DeltaProtocolError

from batchml.clients.delta_tables import DateRange, DeltaTables

FIRST = dt.date(2021, 1, 1)
DATES = [FIRST + dt.timedelta(days=number) for number in range(4)]
TIME = dt.datetime(2021, 1, 1, 3, 30, tzinfo=dt.UTC)


@pytest.fixture
def tables(tmp_path: Path) -> DeltaTables:
    """Return a folder with one table of four dates. The last one has no time."""
    times = [TIME, TIME, TIME, None]
    columns = {"event_date": DATES, "Value": [1, 2, 3, 4]}
    data = pa.table(columns | {"time": pa.array(times, pa.timestamp("us", tz="UTC"))})
    write_deltalake(str(tmp_path / "t"), data, partition_by=["event_date"])
    return DeltaTables(str(tmp_path))


def test_rows_of_a_range_include_both_ends(tables: DeltaTables):
    rows = tables.rows("t", DateRange(DATES[1], DATES[2]))
    assert sorted(row["event_date"] for row in rows) == DATES[1:3]


def test_only_requested_columns_are_read(tables: DeltaTables):
    assert tables.rows("t", DateRange(FIRST, FIRST), ["Value"]) == [{"Value": 1}]


def test_times_are_in_utc(tables: DeltaTables):
    times = {row["Value"]: row["time"] for row in tables.rows("t")}
    assert times == {1: TIME, 2: TIME, 3: TIME, 4: None}
    assert times[1].tzinfo is dt.UTC


def test_missing_table_has_no_rows(tables: DeltaTables):
    assert tables.get("other") is None
    assert tables.rows("other") == []


def test_table_is_opened_once(tables: DeltaTables):
    assert tables.get("t") is tables.get("t")


def test_table_with_deletion_vectors_is_refused(tmp_path: Path):
    data = pa.table({"event_date": DATES})
    settings = {"delta.enableDeletionVectors": "true"}
    write_deltalake(str(tmp_path / "t"), data, configuration=settings)
    with pytest.raises(DeltaProtocolError, match="deletionVectors"):
        DeltaTables(str(tmp_path)).rows("t")
