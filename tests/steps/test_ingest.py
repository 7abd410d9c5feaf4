"""ingest on files of a small schema: no row is lost, and bad input leaves tables unchanged."""

import datetime as dt
from collections import Counter
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from batchml.errors import BadConfig, BadData, NothingToDo, Unavailable
from batchml.rows.accounting import require_nothing_lost
from local.samples.green_taxi import write_green_taxi
from tests.support.servers import answering, body

TRIPS = {
    "description": "trips",
    "source": {"kind": "parquet", "path": "trips_{yyyy}-{MM}.parquet", "event_time": "begin"},
    "columns": {
        "begin": "timestamp_ntz",
        "miles": "double",
        "riders": {"type": "long", "optional": True},
    },
    "key": ["source_row"],
    "checks": [
        {"name": "miles_are_positive", "expect": "miles > 0"},
        {"name": "riders_are_known", "expect": "riders IS NOT NULL", "on_fail": "warn"},
    ],
    "max_rejected_share": 0.5,
    "task": "regression",
    "label": "miles",
    "inputs": {"numeric": ["riders"]},
    "estimator": {"kind": "linear"},
    "gate": {"metric": "rmse", "limit": 10},
}
JAN_5, JAN_6 = dt.datetime(2021, 1, 5, 23, 59), dt.datetime(2021, 1, 6)
GOOD = {"begin": [JAN_5, JAN_6, JAN_6], "miles": [1.0, 2.0, -3.0], "riders": [1, None, 2]}


@pytest.fixture
def bench(workbench):
    workbench.write_pipeline("trips", TRIPS)
    return workbench


def deliver(bench, columns: dict[str, object], month: str = "2021-01") -> Path:
    path = Path(bench.places.landing, f"trips_{month}.parquet")
    pq.write_table(pa.table(columns), path, coerce_timestamps="us")
    return path


def all_tables(bench):
    return {table: bench.rows("trips", table) for table in ("bronze", "silver", "quarantine")}


def test_tables_without_a_commit_are_written(bench):
    deliver(bench, GOOD)
    for table in ("bronze", "silver", "quarantine", "deliveries"):
        Path(bench.places.lake, "trips", table, "_delta_log").mkdir(parents=True)
    assert bench.run("ingest", "trips", "2021-01-05", "2021-01-06").rows_in == 3
    assert len(bench.rows("trips", "bronze")) == 3


def test_failing_rows_are_quarantined(bench):
    deliver(bench, GOOD)
    summary = bench.run("ingest", "trips", "2021-01-05", "2021-01-06")
    assert summary.rows_in == summary.rows_out == 3
    assert summary.details.rows == {"bronze": 3, "silver": 2, "quarantine": 1}
    assert summary.details.rejected == {"miles_are_positive": 1}
    assert summary.details.warned == {"riders_are_known": 1}
    kept_apart = (
        bench.table("trips", "quarantine")
        .select("event_date", "source_file", "source_row", "reasons")
        .collect()
    )
    assert [tuple(row) for row in kept_apart] == [
        (dt.date(2021, 1, 6), "trips_2021-01.parquet", 2, ["miles_are_positive"])
    ]


@pytest.fixture
def published(bench):
    """Yield a server of months: its files by name, and the requested paths."""
    files: dict[str, bytes] = {}

    def answer(handler, number: int) -> None:
        name = handler.path.strip("/")
        body(files.get(name, b""), 200 if name in files else 404)(handler, number)

    with answering({f"/trips_2021-0{month}.parquet": answer for month in (1, 2)}) as (
        address,
        asked,
    ):
        url = f"{address}/trips_{{yyyy}}-{{MM}}.parquet"
        bench.write_pipeline(
            "trips", {**TRIPS, "source": {**TRIPS["source"], "url": url, "fetch": True}}
        )
        yield files, asked


def test_missing_month_is_fetched_once(bench, published):
    files, asked = published
    path = deliver(bench, GOOD)
    files[path.name] = path.read_bytes()
    path.unlink()
    for _ in range(2):
        assert bench.run("ingest", "trips", "2021-01-05", "2021-01-06").rows_in == 3
    assert asked == [f"/{path.name}"]
    assert [found.name for found in path.parent.iterdir()] == [path.name]


def test_unpublished_month_is_nothing_to_do(bench, published):
    with pytest.raises(NothingToDo, match=r"no file yet for 2021-02-01..2021-02-01"):
        bench.run("ingest", "trips", "2021-02-01")
    with pytest.raises(NothingToDo, match="no file yet"):
        bench.run("ingest", "trips", "2021-03-01", settings=("source.fetch=false",))
    assert len(published[1]) == 1


def test_invalid_published_file_does_not_land(bench, published):
    published[0]["trips_2021-02.parquet"] = b"<html>maintenance</html>"
    with pytest.raises(BadData, match=r"trips_2021-02.parquet is not a readable parquet file"):
        bench.run("ingest", "trips", "2021-02-01")
    assert list(Path(bench.places.landing).iterdir()) == []


def test_unreachable_publisher_is_unavailable(bench, published):
    with pytest.raises(Unavailable, match="could not be fetched"):
        bench.run(
            "ingest",
            "trips",
            "2021-02-01",
            settings=("source.url=http://127.0.0.1:9/{MM}.parquet",),
        )


def test_repeated_ingest_leaves_identical_tables(bench):
    deliver(bench, GOOD)
    bench.run("ingest", "trips", "2021-01-05", "2021-01-06")
    before = all_tables(bench)
    bench.run("ingest", "trips", "2021-01-06")
    bench.run("ingest", "trips", "2021-01-05", "2021-01-06")
    assert all_tables(bench) == before


def test_row_outside_its_month_is_quarantined(bench):
    strays = [dt.datetime(2009, 1, 1), dt.datetime(2021, 2, 1), None]
    deliver(bench, {"begin": [*GOOD["begin"], *strays], "miles": [1.0] * 6, "riders": [1] * 6})
    bench.run("ingest", "trips", "2021-01-01", "2021-01-31")
    strayed = bench.table("trips", "quarantine").collect()
    assert {row["event_date"] for row in strayed} == {dt.date(2021, 1, 1)}
    assert sorted(str(row["begin"]) for row in strayed) == [
        "2009-01-01 00:00:00",
        "2021-02-01 00:00:00",
        "None",
    ]
    assert {tuple(row["reasons"]) for row in strayed} == {("event_time_is_inside_the_file_period",)}
    assert bench.table("trips", "bronze").count() == 6


def test_months_of_different_types_are_combined(bench):
    deliver(bench, GOOD)
    february = {
        "begin": [dt.datetime(2021, 2, 1)],
        "miles": pa.array([4], pa.int32()),
        "riders": pa.array([2.0], pa.float64()),
        "surcharge": [0.5],
    }
    deliver(bench, february, "2021-02")
    summary = bench.run("ingest", "trips", "2021-01-01", "2021-02-28")
    assert summary.details.schema_differences == (
        "trips_2021-02.parquet: miles is int, cast to double",
        "trips_2021-02.parquet: riders is double, cast to bigint",
        "trips_2021-02.parquet: surcharge is not declared, kept as JSON in 'undeclared'",
    )
    row = bench.table("trips", "silver").where("event_date = '2021-02-01'").head()
    assert (row["miles"], row["riders"], row["undeclared"]) == (4.0, 2, '{"surcharge":0.5}')


def test_optional_column_may_be_absent(bench):
    deliver(bench, {"begin": [JAN_5], "miles": [1.0]})
    assert bench.run("ingest", "trips", "2021-01-05").details.warned == {"riders_are_known": 1}


def test_date_without_file_is_nothing_to_do(bench):
    with pytest.raises(
        NothingToDo, match=r"no file yet for 2021-03-01..2021-03-01: .*trips_2021-03.parquet"
    ):
        bench.run("ingest", "trips", "2021-03-01")


def test_missing_file_of_a_range_is_reported(bench):
    deliver(bench, GOOD)
    summary = bench.run("ingest", "trips", "2021-01-05", "2021-02-02")
    assert summary.rows_in == 3
    assert [Path(path).name for path in summary.details.missing_files] == ["trips_2021-02.parquet"]


def test_empty_day_is_nothing_to_do(bench):
    deliver(bench, GOOD)
    with pytest.raises(NothingToDo, match="the source has no rows for 2021-01-07"):
        bench.run("ingest", "trips", "2021-01-07")


def test_redelivered_month_empties_removed_days(bench):
    deliver(bench, GOOD)
    bench.run("ingest", "trips", "2021-01-05", "2021-01-06")
    deliver(bench, {name: values[:1] for name, values in GOOD.items()})
    summary = bench.run("ingest", "trips", "2021-01-05", "2021-01-06")
    assert summary.details.rows == {"bronze": 1, "silver": 1, "quarantine": 0}
    assert bench.table("trips", "bronze").count() == 1


def test_missing_landing_folder_is_unavailable(bench):
    Path(bench.places.landing).rmdir()
    with pytest.raises(Unavailable, match=r"the landing folder .* does not exist"):
        bench.run("ingest", "trips", "2021-01-05")


def truncated(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-20])


def missing_column(path: Path) -> None:
    pq.write_table(pa.table({"begin": [JAN_5], "riders": [1]}), path, coerce_timestamps="us")


def lossy_column(path: Path) -> None:
    pq.write_table(pa.table(GOOD | {"riders": [1.0, 2.5, 1e30]}), path, coerce_timestamps="us")


def text_column(path: Path) -> None:
    pq.write_table(pa.table(GOOD | {"miles": ["1", "far", "away"]}), path, coerce_timestamps="us")


def nested_column(path: Path) -> None:
    pq.write_table(pa.table(GOOD | {"miles": [[1.0], [2.0], []]}), path, coerce_timestamps="us")


def too_many_rejected(path: Path) -> None:
    pq.write_table(pa.table(GOOD | {"miles": [-1.0, -2.0, -3.0]}), path, coerce_timestamps="us")


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (truncated, r"trips_2021-01.parquet cannot be read\n.*FAILED_READ_FILE"),
        (
            missing_column,
            r"the file does not have the declared columns\n  column 'miles' is missing",
        ),
        (
            lossy_column,
            r"2021-01-06: 2 of 2 rows \(100.0%\) fail a check, .*\n  riders_fits_long: 2 rows",
        ),
        (
            text_column,
            r"2021-01-06: 2 of 2 rows \(100.0%\) fail a check, .*\n  miles_fits_double: 2 rows",
        ),
        (nested_column, r"column 'miles' is array<double>, which cannot be cast to double"),
        (
            too_many_rejected,
            r"2021-01-05: 1 of 1 rows \(100.0%\) fail a check, more than .* \(50.0%\)\n"
            r"  miles_are_positive: 1 rows\n"
            r"  2021-01-06: 2 of 2 rows",
        ),
    ],
)
def test_bad_data_leaves_the_tables_unchanged(bench, spoil, message: str):
    path = deliver(bench, GOOD)
    bench.run("ingest", "trips", "2021-01-05", "2021-01-06")
    before = all_tables(bench)
    spoil(path)
    with pytest.raises(BadData, match=message):
        bench.run("ingest", "trips", "2021-01-05", "2021-01-06")
    assert all_tables(bench) == before


def test_unwritable_lake_is_unavailable(bench, tmp_path: Path):
    deliver(bench, GOOD)
    Path(bench.places.lake).write_text("a file where a folder should be")
    with pytest.raises(Unavailable, match="cannot be written"):
        bench.run("ingest", "trips", "2021-01-05")


def test_lost_row_is_bad_data():
    day = dt.date(2021, 1, 5)
    require_nothing_lost(
        Counter({day: 3}), {"bronze": {day: 3}, "silver": {day: 2}, "quarantine": {day: 1}}
    )
    with pytest.raises(BadData, match=r"2021-01-05: read 3, bronze 3, silver 1 \+ quarantine 1"):
        require_nothing_lost(
            Counter({day: 3}), {"bronze": {day: 3}, "silver": {day: 1}, "quarantine": {day: 1}}
        )


def test_csv_is_read_by_declared_columns(bench):
    raw = TRIPS | {"source": {"kind": "csv", "path": "trips.csv", "event_time": "begin"}}
    bench.write_pipeline("csv_trips", raw)
    text = "begin,miles,riders\n2021-01-05 10:00:00,1.5,2\n2021-01-06 11:00:00,2.5,\n,1.0,1\n"
    Path(bench.places.landing, "trips.csv").write_text(text)
    summary = bench.run("ingest", "csv_trips", "2021-01-05")
    assert summary.details.rows == {"bronze": 2, "silver": 1, "quarantine": 1}
    assert summary.details.schema_differences == ()


def test_malformed_csv_lines_are_quarantined_with_text(bench):
    source = {
        **{"kind": "csv", "path": "trips_{yyyy}-{MM}.csv", "event_time": "begin", "delimiter": ";"},
        **{"encoding": "ISO-8859-1", "nulls": ["?", "k. A."], "formats": {"begin": "d/M/yy H:mm"}},
    }
    columns = TRIPS["columns"] | {"place": "string"}
    bench.write_pipeline(
        "csv_trips", TRIPS | {"source": source, "columns": columns, "max_rejected_share": 0.9}
    )
    lines = [
        *("begin;miles;riders;place", "5/1/21 9:30;1.5;2;Köln", "5/1/21 10:00;2.5;k. A.;?"),
        *("5/1/21 11:00;3.5;1;Köln;one too many", "5/1/21 12:00;4.5", "6/2/21 12:00;1.0;1;Bonn"),
    ]
    Path(bench.places.landing, "trips_2021-01.csv").write_bytes("\n".join(lines).encode("latin-1"))
    summary = bench.run("ingest", "csv_trips", "2021-01-01", "2021-01-31")
    assert summary.details.rows == {"bronze": 5, "silver": 2, "quarantine": 3}
    assert summary.details.rejected == {
        "line_is_well_formed": 2,
        "event_time_is_inside_the_file_period": 1,
    }
    silver = (
        bench.table("csv_trips", "silver")
        .orderBy("source_row")
        .select("begin", "riders", "place")
        .collect()
    )
    assert [tuple(row) for row in silver] == [
        (dt.datetime(2021, 1, 5, 9, 30), 2, "Köln"),
        (dt.datetime(2021, 1, 5, 10, 0), None, None),
    ]
    malformed = (
        bench.table("csv_trips", "quarantine").where("undeclared IS NOT NULL").orderBy("source_row")
    )
    assert [(row["source_row"], row["undeclared"]) for row in malformed.collect()] == [
        (2, '{"malformed_line":"5/1/21 11:00;3.5;1;Köln;one too many"}'),
        (3, '{"malformed_line":"5/1/21 12:00;4.5"}'),
    ]


def test_check_with_runtime_error_is_named(
    bench,
):
    deliver(bench, GOOD | {"riders": [1, 0, 2]})
    by_riders = "checks=[{{name: miles_a_rider, expect: '{} < 5'}}]"
    with pytest.raises(
        BadConfig, match=r"a check cannot be computed for every row\n  miles / riders < 5\n"
    ):
        bench.run(
            "ingest",
            "trips",
            "2021-01-05",
            "2021-01-06",
            settings=(by_riders.format("miles / riders"),),
        )
    with_try = (by_riders.format("try_divide(miles, riders)"),)
    found = bench.run("ingest", "trips", "2021-01-05", "2021-01-06", settings=with_try).details
    assert found.rejected == {"miles_a_rider": 1}


def test_csv_quotes_are_escaped_by_doubling(bench):
    source = {"kind": "csv", "path": "trips.csv", "event_time": "begin"}
    columns = TRIPS["columns"] | {"place": "string"}
    bench.write_pipeline("csv_trips", TRIPS | {"source": source, "columns": columns})
    places = ['"the ""new, big"" house"', '"C:\\"', "C:\\in"]
    lines = [
        "begin,miles,riders,place",
        *(f"2021-01-05 10:00:00,1.5,2,{place}" for place in places),
    ]
    Path(bench.places.landing, "trips.csv").write_text("\n".join(lines))
    bench.run("ingest", "csv_trips", "2021-01-05")
    silver = bench.table("csv_trips", "silver").orderBy("source_row").select("place").collect()
    assert [row["place"] for row in silver] == ['the "new, big" house', "C:\\", "C:\\in"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("begin,riders\n2021-01-05,1\n", "column 'miles' is missing"),
        ("begin,miles,riders\n2021-01-05 10:00:00,far,2\n", "miles_fits_double: 1 rows"),
        ("begin,miles,riders\n2021-01-05 10:00:00,1,2,3\n", "line_is_well_formed: 1 rows"),
    ],
)
def test_csv_with_wrong_columns_is_bad_data(bench, text: str, message: str):
    bench.write_pipeline(
        "csv_trips", TRIPS | {"source": {"kind": "csv", "path": "trips.csv", "event_time": "begin"}}
    )
    Path(bench.places.landing, "trips.csv").write_text(text)
    with pytest.raises(BadData, match=message):
        bench.run("ingest", "csv_trips", "2021-01-05")


def test_bad_synthetic_rows_are_quarantined(bench):
    write_green_taxi(Path(bench.places.landing))
    summary = bench.run("ingest", "taxi", "2021-01-01", "2021-02-28")
    rows = summary.details.rows
    assert rows["bronze"] == 400 * 59 == rows["silver"] + rows["quarantine"]
    assert summary.details.rejected["event_time_is_inside_the_file_period"] == 8
    assert 0.02 < rows["quarantine"] / rows["bronze"] < 0.06
