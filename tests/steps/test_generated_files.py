"""Any table of pandas, pyarrow or the csv module is read back or quarantined, row for row."""

import csv
import datetime as dt
import math
import time
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pyspark.sql import SparkSession

from batchml.config import Pipeline
from batchml.rows import checks
from batchml.sources import SOURCES, Request
from tests.support.workbench import SETTLED, Workbench, make_workbench

DAY = dt.date(2024, 5, 1)
MISFIT = "does not fit"
Cell = tuple[Any, Any]  # what is written, and the value that must be read or MISFIT

TEXT = st.text("ab,;\"\n\r é中'", min_size=1, max_size=5)
WHOLE = st.integers(-(2**63), 2**63 - 1)
FINITE = st.floats(allow_nan=False, allow_infinity=False)
TIME = st.datetimes(dt.datetime(1900, 1, 1), dt.datetime(2100, 1, 1))
GARBAGE = st.sampled_from(
    ["n.v.", "2.5.1", "1,5", "soon", "2024-13-01", "0x10", "1d", "-", "--", "12:61", "ja"]
)


def same(strategy: st.SearchStrategy[Any]) -> st.SearchStrategy[Cell]:
    return strategy.map(lambda value: (value, value))


# By declared type, what a person or a program writes into a CSV.
TEXTS: dict[str, st.SearchStrategy[Cell]] = {
    "string": same(TEXT),
    "long": st.one_of(
        WHOLE.map(lambda number: (str(number), number)),
        WHOLE.map(lambda number: (f" {number}.0", number)),
        st.just(("", None)),
        GARBAGE.map(lambda text: (text, MISFIT)),
        st.integers(2**63, 2**70).map(lambda number: (str(number), MISFIT)),
        st.just(("0.5", MISFIT)),
    ),
    "double": st.one_of(
        FINITE.map(lambda number: (repr(number), number)),
        WHOLE.map(lambda number: (str(number), float(number))),
        st.sampled_from([("", None), ("NaN", None), ("inf", None), ("-Infinity", None)]),
        GARBAGE.map(lambda text: (text, MISFIT)),
    ),
    "boolean": st.one_of(
        st.booleans().map(lambda flag: (str(flag), flag)),
        st.sampled_from([("", None), ("1", True), ("0.0", False)]),
        GARBAGE.map(lambda text: (text, MISFIT)),
    ),
    "date": st.one_of(
        st.dates(dt.date(1900, 1, 1)).map(lambda date: (date.isoformat(), date)),
        GARBAGE.map(lambda text: (text, MISFIT)),
        st.just(("2024", MISFIT)),
    ),
    "timestamp_ntz": st.one_of(
        TIME.map(lambda time: (time.isoformat(" "), time)),
        TIME.map(lambda time: (time.isoformat() + "Z", time)),
        TIME.map(lambda time: (time.isoformat() + "+02:00", time - dt.timedelta(hours=2))),
        GARBAGE.map(lambda text: (text, MISFIT)),
    ),
}


def known(number: float) -> float | None:
    return number if math.isfinite(number) else None


def whole(number: float | Decimal) -> Any:
    is_whole = number.is_integer() if isinstance(number, float) else number == int(number)
    return int(number) if is_whole and -(2**63) <= number < 2**63 else MISFIT


FLOATS = st.floats(allow_subnormal=False)
DECIMALS = st.decimals(-(10**9), 10**9, places=4)
# By Arrow's and the declared type, what a parquet file may hold.
TYPED: dict[tuple[str, str], tuple[pa.DataType, st.SearchStrategy[Cell]]] = {
    ("int64", "long"): (pa.int64(), same(WHOLE)),
    ("int64", "int"): (
        pa.int64(),
        WHOLE.map(lambda n: (n, n if -(2**31) <= n < 2**31 else MISFIT)),
    ),
    ("uint64", "long"): (
        pa.uint64(),
        st.integers(0, 2**64 - 1).map(lambda n: (n, n if n < 2**63 else MISFIT)),
    ),
    ("uint16", "double"): (pa.uint16(), st.integers(0, 2**16 - 1).map(lambda n: (n, float(n)))),
    ("int64", "double"): (
        pa.int64(),
        WHOLE.map(lambda n: (n, float(n) if int(float(n)) == n else MISFIT)),
    ),
    ("double", "double"): (pa.float64(), FLOATS.map(lambda x: (x, known(x)))),
    ("double", "long"): (
        pa.float64(),
        FLOATS.map(lambda x: (x, whole(x) if math.isfinite(x) else None)),
    ),
    ("decimal", "double"): (pa.decimal128(18, 4), DECIMALS.map(lambda d: (d, float(d)))),
    ("decimal", "long"): (pa.decimal128(18, 4), DECIMALS.map(lambda d: (d, whole(d)))),
    ("bool", "boolean"): (pa.bool_(), same(st.booleans())),
    ("string", "string"): (pa.string(), same(TEXT)),
    ("date", "date"): (pa.date32(), same(st.dates(dt.date(1900, 1, 1)))),
    ("us", "timestamp_ntz"): (pa.timestamp("us"), same(TIME)),
    ("ns", "timestamp_ntz"): (pa.timestamp("ns"), same(TIME)),
    ("ns utc", "timestamp_ntz"): (pa.timestamp("ns", "UTC"), same(TIME)),
    ("us", "date"): (
        pa.timestamp("us"),
        TIME.map(lambda time: (time, time.date() if time.time() == dt.time() else MISFIT)),
    ),
}


def pipeline(bench: Workbench, kind: str, types: dict[str, str]) -> Pipeline:
    raw = {
        "description": "any table",
        "source": {"kind": kind, "path": f"any.{kind}"},
        "columns": {"y": {"type": "double", "optional": True}} | types,
        "task": "regression",
        "label": "y",
        "inputs": {"numeric": ["y2"]},
        "estimator": {"kind": "linear"},
        "gate": {"metric": "rmse", "limit": 1},
    }
    raw["columns"]["y2"] = {"type": "double", "optional": True}
    bench.write_pipeline("any", raw)
    return bench.pipeline("any")


def require_read_back(
    bench: Workbench, found: Pipeline, rows: list[tuple[Cell, ...]], folder: Path
) -> None:
    """Every row is there once, under its number, with its values or the reasons why it has none."""
    request = Request(
        bench.spark,
        found,
        str(folder),
        DAY,
        DAY,
        time.monotonic,
        scratch=str(folder / "scratch"),
        now=lambda: time.time() + SETTLED,
    )
    extract = SOURCES[found.source.kind](request)
    judged = checks.apply_checks(extract.frame, found.checks).orderBy("source_row").collect()
    assert [row["source_row"] for row in judged] == list(range(len(rows)))
    assert extract.deliveries[0].rows == len(rows)
    types = {name: column.type for name, column in found.columns.items() if name.startswith("c")}
    for row, cells in zip(judged, rows, strict=True):
        expected = dict(zip(types, (value for _, value in cells), strict=True))
        reasons = [
            f"{name}_fits_{types[name]}" for name, value in expected.items() if value == MISFIT
        ]
        assert row["reasons"] == reasons
        assert {name: row[name] for name in types} == {
            name: None if value == MISFIT else value for name, value in expected.items()
        }


def few_or_many(row: st.SearchStrategy[Any]) -> st.SearchStrategy[list[Any]]:
    """Draw a tiny table or one of some rows: reading a table costs much, and a row little."""
    tiny = st.lists(row, min_size=1, max_size=2)
    return st.one_of(tiny, st.lists(row, min_size=12, max_size=24))


@st.composite
def csv_tables(draw: st.DrawFn) -> tuple[list[str], list[tuple[Cell, ...]]]:
    types = draw(st.lists(st.sampled_from(list(TEXTS)), min_size=2, max_size=8))
    return types, draw(few_or_many(st.tuples(*(TEXTS[type_] for type_ in types))))


@st.composite
def parquet_tables(draw: st.DrawFn) -> tuple[list[tuple[str, str]], list[tuple[Cell, ...]]]:
    pairs = draw(st.lists(st.sampled_from(list(TYPED)), min_size=1, max_size=10))
    cells = [st.one_of(st.just((None, None)), TYPED[pair][1]) for pair in pairs]
    return pairs, draw(few_or_many(st.tuples(*cells)))


@pytest.fixture(scope="module")
def bench(
    spark: SparkSession, empty_mlflow: Path, tmp_path_factory: pytest.TempPathFactory
) -> Workbench:
    return make_workbench(spark, empty_mlflow, tmp_path_factory.mktemp("any"))


@pytest.fixture
def folders() -> Iterator[Path]:
    with TemporaryDirectory() as folder:
        yield Path(folder)


BY_THE_DOZEN = settings(
    max_examples=12,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)


@given(table=csv_tables(), quoting=st.sampled_from([csv.QUOTE_ALL, csv.QUOTE_NONNUMERIC]))
@BY_THE_DOZEN
def test_csv_is_read_back_or_quarantined(bench: Workbench, table, quoting: int):
    types, rows = table
    names = [f"c{place}" for place in range(len(types))]
    with TemporaryDirectory() as folder:
        with Path(folder, "any.csv").open("w", newline="", encoding="utf-8") as file:
            csv.writer(file, quoting=quoting).writerows(
                [names, *([text for text, _ in row] for row in rows)]
            )
        require_read_back(
            bench, pipeline(bench, "csv", dict(zip(names, types, strict=True))), rows, Path(folder)
        )


@given(table=parquet_tables())
@BY_THE_DOZEN
def test_arrow_table_is_read_back_or_quarantined(bench: Workbench, table):
    pairs, rows = table
    names = [f"c{place}" for place in range(len(pairs))]
    columns = {
        name: pa.array([row[place][0] for row in rows], TYPED[pair][0])
        for place, (name, pair) in enumerate(zip(names, pairs, strict=True))
    }
    types = {name: declared for name, (_, declared) in zip(names, pairs, strict=True)}
    with TemporaryDirectory() as folder:
        pq.write_table(pa.table(columns), Path(folder, "any.parquet"))
        require_read_back(bench, pipeline(bench, "parquet", types), rows, Path(folder))


@given(
    rows=few_or_many(
        st.tuples(
            st.one_of(st.none(), st.integers(-(2**52), 2**52)).map(lambda n: (n, n)),
            st.one_of(st.none(), FINITE).map(lambda x: (x, x)),
            st.one_of(
                st.none(), st.datetimes(dt.datetime(1970, 1, 1), dt.datetime(2100, 1, 1))
            ).map(lambda t: (t, t)),
            st.one_of(st.none(), TEXT.filter(lambda text: "\r" not in text)).map(
                lambda text: (text, text)
            ),
        )
    ),
    form=st.sampled_from(["csv", "parquet"]),
)
@BY_THE_DOZEN
def test_pandas_frame_is_read_back(bench: Workbench, rows, form: str):
    values = [[cell for cell, _ in row] for row in rows]
    frame = pd.DataFrame(values, columns=["c0", "c1", "c2", "c3"])
    frame = frame.astype({"c0": "float64", "c1": "float64", "c2": "datetime64[ns]", "c3": "object"})
    types = {"c0": "long", "c1": "double", "c2": "timestamp_ntz", "c3": "string"}
    with TemporaryDirectory() as folder:
        path = Path(folder, f"any.{form}")
        frame.to_csv(path, index=False) if form == "csv" else frame.to_parquet(path)
        if form == "csv" and frame.isna().all(axis=None):
            return  # pandas writes lines of commas only
        require_read_back(bench, pipeline(bench, form, types), rows, Path(folder))
