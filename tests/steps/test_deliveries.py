"""Deliveries of all kinds: read, quarantined with a reason, or refused with a remedy."""

import bz2
import csv
import datetime as dt
import gzip
import io
import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from decimal import Decimal
from itertools import product
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pyspark.sql import Row, SparkSession
from pyspark.sql import functions as F

from batchml.errors import BadConfig, BadData, NothingToDo, Unavailable
from batchml.lake.staging import Staged
from batchml.sources import Extract, csv_files, csv_text
from batchml.sources.delivery import Received, RowsRead
from batchml.workflow.source_rows import read_source
from tests.support.servers import answering, body, in_turn
from tests.support.workbench import Workbench, make_workbench

REP = {
    "description": "reproduction",
    "source": {"kind": "csv", "path": "rep_{yyyy}-{MM}-{dd}.csv", "event_time": "started"},
    "columns": {
        "started": "timestamp_ntz",
        "kilometres": "double",
        "riders": {"type": "long", "optional": True},
        "note": "string",
    },
    "key": ["source_row"],
    "max_rejected_share": 0.5,
    "task": "regression",
    "label": "kilometres",
    "inputs": {"numeric": ["riders"]},
    "estimator": {"kind": "linear"},
    "training": {"split": "hash", "min_rows": 2},
    "gate": {"metric": "rmse", "limit": 10},
}
DAY = "2024-05-01"
TEN, ELEVEN = dt.datetime(2024, 5, 1, 10), dt.datetime(2024, 5, 1, 11)
HEADER = "started,kilometres,riders,note\n"
GOOD = "2024-05-01 10:00:00,1.5,2,fine\n2024-05-01 11:00:00,2.5,1,fine\n"


@pytest.fixture
def bench(workbench: Workbench) -> Workbench:
    workbench.write_pipeline("rep", REP)
    return workbench


def use(bench: Workbench, columns: dict[str, object] | None = None, **source: object) -> None:
    """Return the pipeline with another source, and further or other columns."""
    bench.write_pipeline(
        "rep",
        {**REP, "source": REP["source"] | source, "columns": REP["columns"] | (columns or {})},
    )


def land(bench: Workbench, content: str | bytes, name: str = f"rep_{DAY}.csv") -> Path:
    path = Path(bench.places.landing, name)
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def ingest(bench: Workbench, start: str = DAY, end: str | None = None):
    return bench.run("ingest", "rep", start, end).details


def extract(bench: Workbench, start: str = DAY, end: str | None = None) -> Extract:
    """Return what an ingest would store, before it takes its time to write the tables."""
    context = bench.context(bench.pipeline("rep"), start, end)
    return read_source(context, f"{bench.places.lake}/scratch").extract


def read(bench: Workbench) -> list[Row]:
    """Return the rows that an ingest would store, in their order."""
    rows = extract(bench).frame.collect()
    return sorted(rows, key=lambda row: row["source_row"])


def column(bench: Workbench, name: str, table: str = "silver") -> list[object]:
    return [row[name] for row in ordered_rows(bench, table)]


def quarantined(bench: Workbench) -> list[tuple[int, list[str], object]]:
    """Return number, reasons and undeclared fields of each row in quarantine."""
    return described(ordered_rows(bench, "quarantine"))


def ordered_rows(bench: Workbench, table: str = "silver") -> list[Row]:
    return bench.table("rep", table).orderBy("event_date", "source_row").collect()


def described(rows: Sequence[Row]) -> list[tuple[int, list[str], object]]:
    """Return number, reasons and undeclared fields of quarantined rows."""
    return [
        (row["source_row"], row["reasons"], row["undeclared"] and json.loads(row["undeclared"]))
        for row in rows
    ]


def records(bench: Workbench) -> list[tuple[object, ...]]:
    table = bench.table("rep", "deliveries").orderBy("event_date", "delivery")
    return [
        tuple(row)
        for row in table.select("event_date", "rows", "dated_rows", "leftover_rows").collect()
    ]


# Columns by name


# What tables of the lake have, and what the readers add on their way.
OWN_NAMES = [
    "source_row",
    "Source_Row",
    "event_date",
    "undeclared",
    "fits",
    "_metadata",
    "malformed",
]
# One ingest reads all of these, each as the file of another date.
CSV_FILES = {
    "absent column": "started,kilometres,note\n2024-05-01 10:00:00,1.5,fine\n",
    "appended column": "started,kilometres,riders,note,tip\n2024-05-01 10:00:00,1.5,2,fine,0.5\n",
    "other order": "note,riders,kilometres,started\nfine,2,1.5,2024-05-01 10:00:00\n",
    "reserved names": (
        f"started,kilometres,riders,note,{','.join(OWN_NAMES[1:])}\n"
        "2024-05-01 10:00:00,1.5,2,x,1,2,3,4,5,6\n"
    ),
    "whole numbers": HEADER + "2024-05-01 10:00:00,1.5,2.0,fine\n2024-05-01 11:00:00,2.5,,fine\n",
    "line break": HEADER + GOOD + '2024-05-01 12:00:00,3.5,2,"two\nlines"\n',
    "undecodable bytes": HEADER + GOOD + "2024-05-01 12:00:00,1.5,2,caf\xe9\n",
}


@dataclass(frozen=True)
class Stored:
    """What silver has of one file."""

    silver: list[Row]

    def column(self, name: str) -> list[object]:
        return [row[name] for row in self.silver]


@dataclass(frozen=True)
class StoredDay(Stored):
    """What the tables have of one date, and where its file departs from the declared columns."""

    date: dt.date
    quarantine: list[Row]
    differences: list[str]


@pytest.fixture(scope="module")
def csv_days(
    spark, empty_mlflow: Path, tmp_path_factory: pytest.TempPathFactory
) -> Mapping[str, StoredDay]:
    """Return what one ingest has stored of each of CSV_FILES."""
    bench = make_workbench(spark, empty_mlflow, tmp_path_factory.mktemp("csv_days"))
    bench.write_pipeline("rep", REP)
    first = dt.date.fromisoformat(DAY)
    dates = {case: first + dt.timedelta(number) for number, case in enumerate(CSV_FILES)}
    for case, date in dates.items():
        # The letters are ASCII, except for a byte that is not UTF-8.
        content = CSV_FILES[case].replace(DAY, str(date)).encode("latin-1")
        land(bench, content, f"rep_{date}.csv")

    differences = ingest(bench, DAY, str(max(dates.values()))).schema_differences
    silver = ordered_rows(bench)
    quarantine = ordered_rows(bench, "quarantine")
    return {
        case: StoredDay(
            [row for row in silver if row["event_date"] == date],
            date,
            [row for row in quarantine if row["event_date"] == date],
            [line for line in differences if line.startswith(f"rep_{date}.csv: ")],
        )
        for case, date in dates.items()
    }


def test_absent_optional_csv_column_is_null(csv_days):
    day = csv_days["absent column"]
    assert day.differences == [f"rep_{day.date}.csv: riders is absent, read as null"]
    assert day.column("riders") == [None]


def test_appended_csv_column_is_kept_as_json(csv_days):
    day = csv_days["appended column"]
    assert "tip is not declared" in day.differences[0]
    assert day.column("undeclared") == ['{"tip":"0.5"}']


def test_order_of_csv_columns_does_not_matter(csv_days):
    day = csv_days["other order"]
    assert day.differences == []
    ten = dt.datetime.combine(day.date, TEN.time())
    assert [row[3:7] for row in day.silver] == [(ten, 1.5, 2, "fine")]


def test_missing_csv_column_is_named_with_the_nearest(bench):
    land(bench, "started,kilometers,riders,note\n" + GOOD)
    with pytest.raises(
        BadData, match=r"column 'kilometres' is missing .*; the nearest is 'kilometers'"
    ):
        ingest(bench)


@pytest.mark.parametrize(
    "header", ["started,kilometres,riders,riders,note", "started,kilometres,riders,Riders,note"]
)
def test_duplicate_csv_column_is_refused(bench, header: str):
    land(bench, f"{header}\n2024-05-01 10:00:00,1.5,2,2,fine\n")
    with pytest.raises(BadData, match=r"a column occurs twice\n  'riders' and '[rR]iders'"):
        ingest(bench)


def test_columns_with_any_name_are_mapped(bench):
    mapped = {
        "origin": {"type": "string", "from": "id.orig_h"},
        "trip_km": {"type": "double", "from": "trip km"},
        "share": {"type": "double", "from": "Anteil (%)"},
        "quoted": {"type": "string", "from": "a`b"},
    }
    use(bench, mapped)
    land(
        bench,
        'started,kilometres,riders,note,id.orig_h,trip km,Anteil (%),a`b,"x, y"\n'
        + GOOD.replace("fine", "a,1.1.1.1,2.5,50,q,z"),
    )
    row = read(bench)[0]
    assert (row["origin"], row["trip_km"], row["share"], row["quoted"]) == (
        "1.1.1.1",
        2.5,
        50.0,
        "q",
    )
    assert json.loads(row["undeclared"]) == {"x, y": "z"}


def test_parquet_column_with_other_case_is_read(bench):
    use(
        bench,
        {"airport_fee": {"type": "double", "optional": True}},
        kind="parquet",
        path="rep_{yyyy}-{MM}-{dd}.parquet",
    )
    names = {
        "2024-05-01": "airport_fee",
        "2024-05-02": "Airport_fee",
        "2024-05-03": "AIRPORT_FEE",
    }
    for day, name in names.items():
        time = dt.datetime.fromisoformat(f"{day} 10:00:00")
        table = {"started": [time], "kilometres": [1.5], "riders": [1], "note": [name]}
        path = Path(bench.places.landing, f"rep_{day}.parquet")
        pq.write_table(pa.table({**table, name: [1.25]}), path)

    received = extract(bench, "2024-05-01", "2024-05-03")
    fees = {row["note"]: row["airport_fee"] for row in received.frame.collect()}
    assert fees == dict.fromkeys(names.values(), 1.25)
    assert [line for line in received.differences if "spelled" in line] == [
        "rep_2024-05-02.parquet: airport_fee is spelled 'Airport_fee'",
        "rep_2024-05-03.parquet: airport_fee is spelled 'AIRPORT_FEE'",
    ]


def test_csv_columns_with_reserved_names_become_json(csv_days):
    day = csv_days["reserved names"]
    undeclared = json.loads(day.silver[0]["undeclared"])
    assert undeclared == dict(zip(OWN_NAMES[1:], "123456", strict=True))
    assert day.column("source_row") == [0]


@pytest.mark.parametrize("name", OWN_NAMES)
def test_parquet_column_with_reserved_name_becomes_json(parquet_parts, name: str):
    part = parquet_parts[f"reserved name {name}"]
    assert [json.loads(text) for text in part.column("undeclared")] == [{name: 7}, {name: 8}]
    assert part.column("source_row") == [part.first_row, part.first_row + 1]


def test_misfit_text_survives_an_undeclared_namesake(bench):
    use(bench, {"trip_km": {"type": "double", "from": "trip km"}})
    land(
        bench,
        "started,kilometres,riders,note,trip km,Trip_KM\n"
        + GOOD.replace("fine", "x,far,other", 1).replace("fine", "x,1,2"),
    )
    misfit, other = read(bench)
    assert misfit["misfits"] == ["trip_km_fits_double"]
    assert json.loads(misfit["undeclared"]) == {"Trip_KM": "other", "trip km": "far"}
    assert other["misfits"] == []


# One bad cell is one bad row


def test_whole_numbers_with_a_point_are_integers(csv_days):
    day = csv_days["whole numbers"]
    assert (len(day.silver), len(day.quarantine)) == (2, 0)
    assert day.column("riders") == [2, None]


def test_misfit_quarantines_its_row(bench):
    land(bench, HEADER + GOOD + "2024-05-01 12:00:00,far,n.v.,odd\n")
    assert ingest(bench).rejected == {"kilometres_fits_double": 1, "riders_fits_long": 1}
    assert quarantined(bench) == [
        (2, ["kilometres_fits_double", "riders_fits_long"], {"kilometres": "far", "riders": "n.v."})
    ]
    assert column(bench, "note", "quarantine") == ["odd"]


def test_misfit_of_another_day_is_ignored(bench):
    use(bench, path="rep_{yyyy}-{MM}.csv")
    land(bench, HEADER + GOOD + "2024-05-30 12:00:00,n.v.,1,odd\n", "rep_2024-05.csv")
    assert ingest(bench).rows == {"bronze": 2, "silver": 2, "quarantine": 0}


def test_bad_date_does_not_block_the_others(bench):
    use(bench, path="rep_{yyyy}-{MM}.csv")
    second = "2024-05-02 10:00:00,3.5,1,second\n"
    land(bench, HEADER + GOOD + second, "rep_2024-05.csv")
    ingest(bench, DAY, "2024-05-02")
    bad = GOOD.replace("1.5", "x").replace("2.5", "y")
    land(bench, HEADER + bad + second.replace("second", "changed"), "rep_2024-05.csv")
    failed = r"rep 2024-05-01: 2 of 2 rows \(100.0%\) fail a check.*"
    message = failed + r"\n(.*\n)*  written nevertheless: 2024-05-02"
    with pytest.raises(BadData, match=message):
        ingest(bench, DAY, "2024-05-02")
    assert column(bench, "kilometres") == [1.5, 2.5, 3.5]
    assert column(bench, "note") == ["fine", "fine", "changed"]
    assert column(bench, "kilometres", "bronze") == [1.5, 2.5, 3.5]


# Instants


@pytest.mark.parametrize(
    ("zone", "times", "expected"),
    [
        (
            "UTC",
            ["2024-05-01T23:30:00-05:00", "2024-05-02T04:30:00Z", "2024-05-02T05:30:00+01:00"],
            dt.datetime(2024, 5, 2, 4, 30),
        ),
        (
            "America/New_York",
            ["2024-05-01T23:30:00-04:00", "2024-05-02T03:30:00Z", "2024-05-01 23:30:00"],
            dt.datetime(2024, 5, 1, 23, 30),
        ),
    ],
)
def test_offset_in_text_is_applied(bench, zone: str, times: list[str], expected: dt.datetime):
    use(bench, path="rep.csv", time_zone=zone)
    land(bench, HEADER + "".join(f"{time},1,1,{time}\n" for time in times), "rep.csv")
    rows = read(bench)
    assert {row["note"]: row["started"] for row in rows} == dict.fromkeys(times, expected)
    assert {row["event_date"] for row in rows} == {expected.date()}


def test_parquet_instants_follow_the_same_rule(bench):
    use(bench, kind="parquet", path="rep.parquet", time_zone="America/New_York")
    instants = pa.array(
        [dt.datetime(2024, 5, 2, 3, 30, tzinfo=dt.UTC)], pa.timestamp("us", "Europe/Berlin")
    )
    table = pa.table({"started": instants, "kilometres": [1.5], "riders": [1], "note": ["a"]})
    pq.write_table(table, Path(bench.places.landing, "rep.parquet"))
    received = extract(bench)
    assert "an instant, read as wall-clock time of America/New_York" in received.differences[0]
    [row] = received.frame.collect()
    assert row["started"] == dt.datetime(2024, 5, 1, 23, 30)
    assert row["event_date"] == dt.date(2024, 5, 1)


# Every row of every delivery is accounted for


SNAPSHOT = HEADER + GOOD + GOOD.replace("05-01", "05-02") + ",9.0,1,open\n" * 10


@pytest.fixture(scope="module")
def stored_snapshot(
    spark, empty_mlflow: Path, tmp_path_factory: pytest.TempPathFactory
) -> Workbench:
    """Return a bench with SNAPSHOT, ingested for its first date. Tests get copies."""
    bench = make_workbench(spark, empty_mlflow, tmp_path_factory.mktemp("snapshot"))
    use(bench, path="rep.csv")
    land(bench, SNAPSHOT, "rep.csv")
    assert ingest(bench).rows == {"bronze": 12, "silver": 2, "quarantine": 10}
    return bench


@pytest.fixture
def snapshot(workbench: Workbench, stored_snapshot: Workbench) -> Workbench:
    return workbench.copy_of(stored_snapshot)


def test_undated_rows_of_a_snapshot_are_stored_once(snapshot):
    assert ingest(snapshot, "2024-05-02").rows == {"bronze": 2, "silver": 2, "quarantine": 0}
    assert ingest(snapshot).rows == {"bronze": 12, "silver": 2, "quarantine": 10}
    assert column(snapshot, "event_date", "quarantine") == [dt.date(2024, 5, 1)] * 10
    assert snapshot.table("rep", "bronze").count() == 14
    assert records(snapshot) == [(dt.date(2024, 5, 1), 14, 4, 10)]


def test_leftovers_are_replaced_by_changed_delivery(snapshot):
    dated = HEADER + GOOD + GOOD.replace("05-01", "05-02")
    land(snapshot, dated + ",9.0,1,still open\n" * 3, "rep.csv")
    assert ingest(snapshot, "2024-05-02").rows == {"bronze": 5, "silver": 2, "quarantine": 3}
    assert column(snapshot, "note", "quarantine") == ["still open"] * 3
    assert column(snapshot, "event_date", "quarantine") == [dt.date(2024, 5, 1)] * 3
    assert snapshot.table("rep", "bronze").count() == 7
    assert records(snapshot) == [(dt.date(2024, 5, 1), 7, 4, 3)]


def test_daily_runs_store_every_row_of_a_month(bench):
    use(bench, path="rep_{yyyy}-{MM}.csv")
    odd = "2024-06-01 10:00:00,1,1,late\n,1,1,undated\nsoon,1,1,no date\n1,2\n"
    text = HEADER + (GOOD + GOOD.replace("05-01", "05-02")) * 3 + odd
    land(bench, text, "rep_2024-05.csv")
    for day in ("2024-05-02", "2024-05-01", "2024-05-02"):
        ingest(bench, day)
    assert bench.table("rep", "bronze").count() == 12 + 4
    assert bench.table("rep", "silver").count() == 12
    outside = "event_time_is_inside_the_file_period"
    assert [reasons for _, reasons, _ in quarantined(bench)] == [
        [outside],
        [outside],
        [outside, "started_fits_timestamp_ntz"],
        ["line_is_well_formed", outside],
    ]
    assert set(column(bench, "event_date", "quarantine")) == {dt.date(2024, 5, 1)}
    assert records(bench) == [(dt.date(2024, 5, 1), 16, 12, 4)]


def test_delivery_without_usable_dates_is_refused(bench):
    use(bench, path="rep.csv")
    land(bench, HEADER + GOOD.replace("2024-", "May ") * 2 + GOOD, "rep.csv")
    with pytest.raises(
        BadData, match=r"4 of 6 rows \(66.7%\) of rep.csv have no date in its period"
    ):
        ingest(bench)


def test_rows_counted_twice_are_counted_again(bench, monkeypatch):
    use(bench, path="rep.csv")
    land(bench, HEADER + GOOD + ",9.0,1,open\n", "rep.csv")
    # As after a lost executor, whose tasks run again.
    monkeypatch.setattr(Received, "rows_read", lambda _: RowsRead(4, 2, 4))
    assert ingest(bench).rows == {"bronze": 3, "silver": 2, "quarantine": 1}
    assert records(bench) == [(dt.date(2024, 5, 1), 3, 2, 1)]


def test_lost_rows_leave_the_tables_unchanged(snapshot, monkeypatch):
    stored = Path(snapshot.places.lake, "rep", "bronze", f"event_date={DAY}")
    before = sorted(stored.glob("*.parquet"))
    assert before
    land(snapshot, HEADER + GOOD * 2, "rep.csv")
    for count in ("rows_read", "count_again"):
        monkeypatch.setattr(Received, count, lambda _: RowsRead(3, 0, 3))
    with pytest.raises(BadData, match="4 rows were delivered, but 3 dated and 0 other rows"):
        ingest(snapshot)
    assert snapshot.table("rep", "bronze").count() == 12
    assert sorted(stored.glob("*.parquet")) == before


def test_undated_month_is_stored_on_its_first_day(bench):
    bench.write_pipeline("rep", {**REP, "source": {"kind": "csv", "path": "rep_{yyyy}-{MM}.csv"}})
    for month in ("05", "06"):
        land(bench, HEADER + GOOD, f"rep_2024-{month}.csv")
    assert ingest(bench, "2024-05-15", "2024-06-15").rows["silver"] == 2
    assert column(bench, "event_date") == [dt.date(2024, 6, 1)] * 2
    # Of May only the number of rows is known: its first day is none of the dates.
    assert records(bench) == [(dt.date(2024, 5, 1), 2, 2, 0), (dt.date(2024, 6, 1), 2, 2, 0)]


def test_leftovers_are_stored_on_a_rejected_date(bench):
    use(bench, path="rep_{yyyy}-{MM}.csv")
    bad = "2024-05-01 10:00:00,x,2,fine\n" * 3
    good = GOOD.replace("05-01", "05-02")
    land(bench, HEADER + bad + good + ",1.0,1,open\n", "rep_2024-05.csv")
    for _ in range(2):
        with pytest.raises(BadData, match="2024-05-01: 3 of 3 rows"):
            ingest(bench, DAY, "2024-05-02")
        assert bench.table("rep", "bronze").count() == 3
        assert column(bench, "event_date", "quarantine") == [dt.date(2024, 5, 1)]
        assert records(bench) == [(dt.date(2024, 5, 1), 6, 5, 1)]
    land(bench, HEADER + bad.replace("x", "3") + good, "rep_2024-05.csv")
    assert ingest(bench, "2024-05-02").leftover_rows == 0
    assert bench.table("rep", "bronze").count() == 2
    ingest(bench)
    assert bench.table("rep", "silver").count() == 5


def test_old_bronze_table_gets_new_columns(bench):
    use(bench, path="rep_{yyyy}-{MM}.csv")
    text = HEADER + GOOD + GOOD.replace("05-01", "05-02") + ",1.0,1,open\n"
    land(bench, text, "rep_2024-05.csv")
    ingest(bench, DAY, "2024-05-02")
    old = bench.table("rep", "bronze").drop("reasons", "warnings").localCheckpoint()
    writer = old.write.format("delta").mode("overwrite").partitionBy("event_date")
    writer.option("overwriteSchema", "true").save(f"{bench.places.lake}/rep/bronze")
    land(bench, text + ",2.0,2,open\n", "rep_2024-05.csv")
    ingest(bench, "2024-05-02")
    assert bench.table("rep", "bronze").columns[-2:] == ["reasons", "warnings"]
    assert bench.table("rep", "bronze").count() == 6
    assert records(bench) == [(dt.date(2024, 5, 1), 6, 4, 2)]


class Killed(Exception):
    """What ends a job between two tables."""


def kill_before(monkeypatch: pytest.MonkeyPatch, table: str) -> None:
    """End the next job where it would commit to ``table``."""
    commit = Staged.commit

    def ending(staged: Staged, *dates):
        if staged.path.endswith(f"/{table}"):
            monkeypatch.setattr(Staged, "commit", commit)
            raise Killed
        return commit(staged, *dates)

    monkeypatch.setattr(Staged, "commit", ending)


@pytest.mark.parametrize("table", ["bronze", "quarantine"])
def test_leftovers_of_killed_run_are_stored_once(bench, monkeypatch, table: str):
    use(bench, path="rep.csv")
    land(bench, HEADER + GOOD + GOOD.replace("05-01", "05-02") + ",9.0,1,open\n" * 3, "rep.csv")
    kill_before(monkeypatch, table)
    with pytest.raises(Killed):
        ingest(bench)
    ingest(bench, "2024-05-02")
    ingest(bench)
    assert bench.table("rep", "bronze").count() == 4 + 3
    assert bench.table("rep", "quarantine").count() == 3
    assert records(bench) == [(dt.date(2024, 5, 1), 7, 4, 3)]


def test_date_of_killed_run_blocks_other_runs(bench, monkeypatch):
    use(bench, path="rep.csv")
    land(bench, HEADER + GOOD + GOOD.replace("05-01", "05-02") + ",9.0,1,open\n" * 3, "rep.csv")
    kill_before(monkeypatch, "silver")
    with pytest.raises(Killed):
        ingest(bench)
    with pytest.raises(BadData, match="an earlier run was killed between two tables") as caught:
        ingest(bench, "2024-05-02")
    assert caught.value.remedy == f"run ingest for {DAY}, then run this job again"
    ingest(bench)
    ingest(bench, "2024-05-02")
    assert bench.table("rep", "bronze").count() == 4 + 3
    assert records(bench) == [(dt.date(2024, 5, 1), 7, 4, 3)]


def test_next_delivery_removes_leftovers_of_killed_run(bench, monkeypatch):
    use(bench, path="rep.csv")
    dated = HEADER + GOOD + GOOD.replace("05-01", "05-02")
    land(bench, dated, "rep.csv")
    ingest(bench)
    land(bench, dated + ",9.0,1,open\n" * 2, "rep.csv")
    kill_before(monkeypatch, "quarantine")
    with pytest.raises(Killed):
        ingest(bench, "2024-05-02")
    land(bench, dated + "\n", "rep.csv")
    ingest(bench, "2024-05-02")
    assert bench.table("rep", "bronze").count() == 4
    assert records(bench) == [(dt.date(2024, 5, 1), 4, 4, 0)]


# CSV


def test_quoted_line_break_is_kept(csv_days):
    day = csv_days["line break"]
    assert (len(day.silver), len(day.quarantine)) == (3, 0)
    assert day.column("note")[-1] == "two\nlines"


def test_unclosed_quote_states_its_line(bench):
    land(bench, HEADER + GOOD + '2024-05-01 12:00:00,3.5,2,"two\n' + GOOD)
    with pytest.raises(BadData, match="a quote that is opened in line 4 is never closed"):
        ingest(bench)


@contextmanager
def many_tasks(spark: SparkSession) -> Iterator[None]:
    """Let Spark read small files in several tasks, as it reads large ones."""
    spark.conf.set("spark.sql.files.maxPartitionBytes", "20000")
    try:
        yield
    finally:
        spark.conf.unset("spark.sql.files.maxPartitionBytes")


def test_source_row_is_the_record_number(bench, monkeypatch):
    # Small blocks, row groups and Spark tasks, so that a small file has many of each.
    monkeypatch.setattr(csv_text, "BLOCK", 2_000)
    monkeypatch.setattr(csv_files, "GROUP_BYTES", 20_000)
    rows = 3_000
    texts = [f"a longer text to fill the file {number}" for number in range(rows)]
    land(bench, HEADER + "".join(f"2024-05-01 10:00:00,1.5,2,{text}\n" for text in texts))
    with many_tasks(bench.spark):
        frame = extract(bench).frame.withColumn("task", F.spark_partition_id())
        found = {row["source_row"]: row for row in frame.collect()}
    assert len({row["task"] for row in found.values()}) > 1
    assert {number: row["note"] for number, row in found.items()} == dict(enumerate(texts))


@pytest.mark.parametrize(
    "encoding", ["windows-1252", "cp1252", "GBK", "utf-8-sig", "UTF-16", "latin1"]
)
def test_python_encodings_are_read(bench, encoding: str):
    use(bench, encoding=encoding)
    text = "中" if encoding == "GBK" else "café"
    land(bench, (HEADER + f'2024-05-01 10:00:00,1.5,2,"{text}\nx"\n').encode(encoding))
    assert [(row["note"], row["fits"]) for row in read(bench)] == [(f"{text}\nx", True)]


def test_undecodable_bytes_quarantine_their_row(csv_days):
    day = csv_days["undecodable bytes"]
    line = f"{day.date} 12:00:00,1.5,2,caf\ufffd"
    assert described(day.quarantine) == [(2, ["line_is_well_formed"], {"malformed_line": line})]


@pytest.mark.parametrize(("ending", "pack"), [("gz", gzip.compress), ("bz2", bz2.compress)])
def test_truncated_compressed_csv_is_damaged(bench, ending: str, pack):
    use(bench, path="rep_{yyyy}-{MM}-{dd}.csv." + ending)
    packed = pack((HEADER + GOOD * 500).encode())
    path = land(bench, packed, f"rep_{DAY}.csv.{ending}")
    assert len(read(bench)) == 1000
    path.write_bytes(packed[:60])
    with pytest.raises(BadData, match=r"packing is cut off or damaged"):
        ingest(bench)


def test_declared_preamble_or_totals_are_skipped(bench):
    use(bench, skip_rows=2, comment=["#", "Total"])
    land(bench, "report of May\n\n" + HEADER + GOOD + "# note\nTotal,4.0,3,\n")
    assert [(row["started"], row["fits"]) for row in read(bench)] == [(TEN, True), (ELEVEN, True)]


def test_folder_of_csv_parts_is_one_delivery(bench):
    for part in range(3):
        land(bench, HEADER + GOOD, f"rep_{DAY}.csv/part-{part}.csv")
    land(bench, "", f"rep_{DAY}.csv/_SUCCESS")
    assert [row["source_row"] for row in read(bench)] == list(range(6))


# Parquet


def write_parquet(bench: Workbench, name: str = f"rep_{DAY}.parquet", **columns: object) -> Path:
    use(bench, kind="parquet", path="rep_{yyyy}-{MM}-{dd}.parquet")
    table = {
        "started": [TEN, ELEVEN],
        "kilometres": [1.5, 2.5],
        "riders": [2, 1],
        "note": ["a", "b"],
    } | columns
    path = Path(bench.places.landing, name)
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.table(table), path)
    return path


UNITS = ["s", "ms", "us", "ns"]
ZONES = [None, "UTC", "Europe/Berlin"]
INTEGERS = [
    pa.uint8(),
    pa.uint32(),
    pa.uint64(),
    pa.int8(),
    pa.float32(),
    pa.decimal128(21, 2),
]
DURATIONS = ["s", "us", "ns"]


def parquet_columns() -> dict[str, dict[str, object]]:
    """Return the columns of each part of a folder that one ingest reads, by case."""
    third = Decimal("3.333333333333333333")
    began = [{"began": TEN}, None]
    cases: dict[str, dict[str, object]] = {
        "INT96": {},
        "riders with null": {"riders": pa.array([2.0, None])},
        "decimals": {"kilometres": pa.array([third, Decimal("0.1")], pa.decimal128(38, 18))},
        "undeclared nanoseconds": {
            "trip": pa.array(began, pa.struct([("began", pa.timestamp("ns"))]))
        },
    }
    for unit, zone in product(UNITS, ZONES):
        times = [time.replace(tzinfo=dt.UTC if zone else None) for time in (TEN, ELEVEN)]
        cases[f"times in {unit} {zone}"] = {"started": pa.array(times, pa.timestamp(unit, zone))}
    for type_ in INTEGERS:
        cases[f"riders as {type_}"] = {"riders": pa.array([2, 1], pa.int64()).cast(type_)}
    for unit in DURATIONS:
        durations = pa.array([dt.timedelta(seconds=90), None], pa.duration(unit))
        cases[f"duration in {unit}"] = {"lasted": durations}
    for name in OWN_NAMES:
        cases[f"reserved name {name}"] = {name: [7, 8]}
    return cases


@dataclass(frozen=True)
class StoredPart(Stored):
    """What silver has of one file in a folder, which is from number ``first_row`` on."""

    first_row: int


@pytest.fixture(scope="module")
def parquet_parts(
    spark, empty_mlflow: Path, tmp_path_factory: pytest.TempPathFactory
) -> Mapping[str, StoredPart]:
    """Return what one ingest of a folder has stored of each case of ``parquet_columns``."""
    bench = make_workbench(spark, empty_mlflow, tmp_path_factory.mktemp("parquet_parts"))
    folder = f"rep_{DAY}.parquet"
    cases = parquet_columns()
    for number, (case, columns) in enumerate(cases.items()):
        # Spark's errors name the file, and so the case.
        name = f"{folder}/part-{number:05} {case.replace('/', '-')}.parquet"
        path = write_parquet(bench, name, note=[case] * 2, **columns)
        if case == "INT96":
            pq.write_table(pq.read_table(path), path, use_deprecated_int96_timestamps=True)
    Path(bench.places.landing, folder, "_SUCCESS").touch()

    ingest(bench)
    rows = ordered_rows(bench)
    return {
        case: StoredPart([row for row in rows if row["note"] == case], 2 * number)
        for number, case in enumerate(cases)
    }


@pytest.mark.parametrize("unit", UNITS)
@pytest.mark.parametrize("zone", ZONES)
def test_parquet_times_in_any_unit_are_read(parquet_parts, unit: str, zone: str | None):
    assert parquet_parts[f"times in {unit} {zone}"].column("started") == [TEN, ELEVEN]


def test_pandas_frame_with_nanoseconds_is_read(bench):
    use(bench, kind="parquet", path="rep_{yyyy}-{MM}-{dd}.parquet")
    frame = pd.DataFrame(
        {
            "started": pd.to_datetime(
                ["2024-05-01 10:00:00.123456789", None, "1969-12-31 23:59:59.999999999"]
            ),
            "kilometres": [1.5, np.inf, np.nan],
            "riders": [2.0, np.nan, 3.0],
            "note": ["a", None, "c"],
        }
    )
    frame.to_parquet(Path(bench.places.landing, f"rep_{DAY}.parquet"))
    rows = read(bench)
    assert [row["started"] for row in rows] == [
        dt.datetime(2024, 5, 1, 10, 0, 0, 123456),
        None,
        dt.datetime(1969, 12, 31, 23, 59, 59, 999999),
    ]
    assert [row["kilometres"] for row in rows] == [1.5, None, None]
    assert [row["riders"] for row in rows] == [2, None, 3]


def test_int96_times_are_read(parquet_parts):
    assert parquet_parts["INT96"].column("started") == [TEN, ELEVEN]


@pytest.mark.parametrize("type_", INTEGERS)
def test_parquet_numbers_become_integers(parquet_parts, type_: pa.DataType):
    assert parquet_parts[f"riders as {type_}"].column("riders") == [2, 1]


def test_parquet_decimals_become_the_nearest_double(parquet_parts):
    assert parquet_parts["decimals"].column("kilometres") == [10 / 3, 0.1]


@pytest.mark.parametrize(
    ("values", "type_"),
    [
        ([dt.time(1), dt.time(2)], pa.time64("us")),
        (np.array([1, 2], np.float16), pa.float16()),
        ([Decimal(1), Decimal(2)], pa.decimal256(50, 3)),
    ],
)
def test_unsupported_parquet_type_is_bad_data(bench, values, type_: pa.DataType):
    write_parquet(bench, odd=pa.array(values, type_))
    with pytest.raises(
        BadData, match=r"a column has a type that cannot be read\n  column 'odd' is [A-Z]"
    ) as caught:
        ingest(bench)
    assert "damaged" not in str(caught.value)


@pytest.mark.parametrize("unit", DURATIONS)
def test_parquet_duration_is_not_a_number(bench, parquet_parts, unit: str):
    kept = json.loads(parquet_parts[f"duration in {unit}"].silver[0]["undeclared"])
    assert kept == {"lasted": "INTERVAL '0 00:01:30' DAY TO SECOND"}
    write_parquet(bench, lasted=pa.array([dt.timedelta(seconds=90), None], pa.duration(unit)))
    use(bench, {"lasted": "double"}, kind="parquet", path="rep_{yyyy}-{MM}-{dd}.parquet")
    with pytest.raises(BadData, match=r"'lasted' is interval day to second, which cannot be cast"):
        ingest(bench)


def test_untyped_parquet_column_is_null(bench):
    declared = ["long", "double", "boolean", "date", "timestamp_ntz", "string"]
    columns = {f"empty_{type_}": type_ for type_ in declared}
    write_parquet(bench, other=pa.nulls(2), **dict.fromkeys(columns, pa.nulls(2)))
    use(bench, columns, kind="parquet", path="rep_{yyyy}-{MM}-{dd}.parquet")
    ingest(bench)
    rows = ordered_rows(bench)
    values = {name: [row[name] for row in rows] for name in (*columns, "undeclared")}
    assert values == {name: [None, None] for name in values}


@pytest.mark.parametrize("packing", ["snappy", "gzip", "zstd", "none"])
def test_corrupt_parquet_is_damaged(bench, packing: str):
    path = write_parquet(bench)
    pq.write_table(pq.read_table(path), path, compression=packing)
    content = path.read_bytes()
    path.write_bytes(content[:4] + bytes(255 - byte for byte in content[4:60]) + content[60:])
    with pytest.raises(BadData, match="the file is damaged: deliver it again"):
        ingest(bench)


def test_time_out_of_range_is_bad_data(bench):
    write_parquet(bench, started=pa.array([2**62, 0], pa.timestamp("ms")))
    with pytest.raises(BadData, match="a time is out of range"):
        ingest(bench)


@pytest.mark.parametrize("name", ["rep data", "r\u00e9p%20", "a#b", "a,b"])
def test_parquet_path_may_contain_any_character(bench, name: str):
    write_parquet(bench, f"{name}.parquet")
    use(bench, kind="parquet", path=f"{name}.parquet")
    assert [row["source_row"] for row in read(bench)] == [0, 1]


def test_folder_parts_may_have_any_name(bench):
    flat = ["part 0", "part 1", "p\u00e4rt%200", "x[1]{2}"]
    nested = ["a b/p", "a b/q/p"]
    for part in flat:
        write_parquet(bench, f"rep_{DAY}.parquet/{part}.parquet", note=[part] * 2)
    # Files of another schema are read separately, so that only these are in further folders.
    for part in nested:
        riders = pa.array([2, 1], pa.int32())
        write_parquet(bench, f"rep_{DAY}.parquet/{part}.parquet", note=[part] * 2, riders=riders)
    rows = read(bench)
    assert [row["source_row"] for row in rows] == list(range(12))
    assert [row["note"] for row in rows[::2]] == [row["note"] for row in rows[1::2]]
    assert {row["note"] for row in rows} == {*flat, *nested}


def test_folder_values_are_strings(bench):
    for code in ("007", "010"):
        write_parquet(bench, f"rep_{DAY}.parquet/code={code}/a.parquet")
    use(bench, {"code": "string"}, kind="parquet", path="rep_{yyyy}-{MM}-{dd}.parquet")
    assert [row["code"] for row in read(bench)] == ["007", "007", "010", "010"]


def test_undeclared_nanoseconds_are_read(parquet_parts):
    part = parquet_parts["undeclared nanoseconds"]
    assert len(part.silver) == 2
    assert "began" in part.silver[0]["undeclared"]


def test_spark_output_folder_is_one_delivery(parquet_parts):
    numbers = {case: part.column("source_row") for case, part in parquet_parts.items()}
    assert numbers == {
        case: [2 * number, 2 * number + 1] for number, case in enumerate(parquet_parts)
    }
    assert parquet_parts["riders with null"].column("riders") == [2, None]


def test_empty_spark_output_folder_has_no_rows(bench):
    use(bench, kind="parquet", path="rep_{yyyy}-{MM}-{dd}.parquet")
    folder = Path(bench.places.landing, f"rep_{DAY}.parquet")
    folder.mkdir()
    with pytest.raises(NothingToDo, match="no file yet"):
        ingest(bench)
    (folder / "_SUCCESS").touch()
    with pytest.raises(NothingToDo, match="the source has no rows"):
        ingest(bench)


def test_declared_epoch_integers_become_times(bench):
    factors = {"s": 1, "ms": 10**3, "us": 10**6, "ns": 10**9}
    seconds = [1714557600, 1714561200]
    counts = {unit: [second * factor for second in seconds] for unit, factor in factors.items()}
    write_parquet(bench, started=counts["ms"], **{f"in_{unit}": counts[unit] for unit in factors})
    with pytest.raises(
        BadData, match=r"'started' is bigint, which cannot be cast to timestamp_ntz; .* epoch: ms"
    ):
        ingest(bench)
    declared = {f"in_{unit}": {"type": "timestamp_ntz", "epoch": unit} for unit in factors}
    declared["started"] = {"type": "timestamp_ntz", "epoch": "ms"}
    use(bench, declared, kind="parquet", path="rep_{yyyy}-{MM}-{dd}.parquet")
    rows = read(bench)
    times = {name: [row[name] for row in rows] for name in declared}
    assert times == {name: [TEN, ELEVEN] for name in declared}


# Fetched pages, and checks


CUT_OFF = gzip.compress((HEADER + GOOD).encode())[:-8]


@pytest.mark.parametrize(
    "page",
    [
        *(
            "<html>maintenance</html>",
            '{"error": "unavailable"}',
            "",
            "\n\n",
            "Service Unavailable\n",
        ),
        *(
            "<?xml version='1.0'?><Error/>",
            "\ufeff<!DOCTYPE html>",
            CUT_OFF,
            b"PAR1",
            b"PK\x05\x06",
        ),
    ],
)
def test_error_page_is_fetched_again(bench, page: str):
    files = {f"/rep_{DAY}.csv": in_turn(body(page), body(HEADER + GOOD))}
    with answering(files) as (address, asked):
        use(bench, url=f"{address}/rep_{{yyyy}}-{{MM}}-{{dd}}.csv", fetch=True)
        with pytest.raises((BadData, Unavailable)):
            ingest(bench)
        assert list(Path(bench.places.landing).iterdir()) == []
        assert [row["started"] for row in read(bench)] == [TEN, ELEVEN]
    assert len(asked) == 2


def test_aggregate_check_is_refused_at_load(bench):
    with pytest.raises(BadConfig, match="a check is a condition on one row"):
        bench.pipeline("rep", "checks=[{name: enough, expect: 'count(*) > 1000'}]")


def as_csv(rows: list[list[object]]) -> str:
    text = io.StringIO(newline="")
    csv.writer(text).writerows(rows)
    return text.getvalue()
