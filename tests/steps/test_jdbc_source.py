"""The source `jdbc` against a real PostgreSQL, and the pipeline `census` on it."""

import datetime as dt
import json
import os
import socket
import time
from pathlib import Path

import psycopg2
import pytest
import yaml
from rich.console import Console

from batchml.errors import BadConfig, BadData, PipelineError, Unavailable
from batchml.sources import SOURCES, Request
from local.samples.census import provide
from local.seed import read, seed
from local.stack.postgres import USER
from tests.support.postgres import PASSWORD

DAY = dt.date(2021, 1, 5)
VISITS = {
    "description": "visits",
    "source": {
        "kind": "jdbc",
        "url": "jdbc:postgresql://${BATCHML_SOURCES_DB}",
        "user": "${BATCHML_SOURCES_USER}",
        "password": "${BATCHML_SOURCES_PASSWORD}",
        "table": "visits",
        "event_time": "day",
        "partition_column": "id",
        "nulls": ["?"],
    },
    "columns": {"id": "long", "day": "date", "place": "string", "minutes": "double"},
    "key": ["id"],
    "checks": [{"name": "place_is_known", "expect": "place IS NOT NULL"}],
    "max_rejected_share": 0.9,
    "task": "regression",
    "label": "minutes",
    "inputs": {"categorical": ["place"]},
    "estimator": {"kind": "linear"},
    "gate": {"metric": "rmse", "limit": 1},
}


@pytest.fixture
def bench(workbench, postgres: dict[str, str], monkeypatch: pytest.MonkeyPatch):
    """With two visits on the 5th and one on the 6th, and one that nobody dated."""
    for name, value in postgres.items():
        monkeypatch.setenv(name, value)
    workbench.write_pipeline("visits", VISITS)
    pipeline = workbench.pipeline("visits")
    execute(postgres, "DROP TABLE IF EXISTS visits") if exists(postgres) else None
    seed(pipeline, DAY, [["park", "30"], ["?", "20"]], postgres)
    seed(pipeline, DAY + dt.timedelta(days=1), [["pool", "10.5"]], postgres)
    execute(postgres, "INSERT INTO visits (day, place, minutes) VALUES (NULL, 'zoo', 5)")
    return workbench


def exists(postgres: dict[str, str]) -> bool:
    try:
        execute(postgres, "SELECT")
    except psycopg2.OperationalError:
        return False
    return True


def execute(postgres: dict[str, str], statement: str) -> list[tuple[object, ...]]:
    """Execute ``statement`` and return the rows of a query."""
    host, port = postgres["BATCHML_SOURCES_DB"].partition("/")[0].split(":")
    connection = psycopg2.connect(
        dbname="sources", host=host, port=port, user=USER, password=PASSWORD
    )
    with connection, connection.cursor() as cursor:
        cursor.execute(statement)
        rows = []
        if cursor.description:
            rows = cursor.fetchall()
    connection.close()
    return rows


def failure(bench, *settings: str) -> PipelineError:
    with pytest.raises(PipelineError) as raised:
        bench.run("ingest", "visits", str(DAY), settings=settings)
    assert PASSWORD not in str(raised.value)
    assert not bench.context(bench.pipeline("visits"), str(DAY)).lake.exists("bronze")
    return raised.value


def test_undated_rows_are_quarantined_once(bench):
    summary = bench.run("ingest", "visits", str(DAY))
    assert summary.details.rejected == {
        "place_is_known": 1,
        "event_time_is_inside_the_file_period": 1,
    }
    assert bench.rows("visits", "silver") == [(DAY, "visits", 1, 1, DAY, "park", 30.0, None)]
    kept = (
        bench.table("visits", "quarantine")
        .orderBy("source_row")
        .select("source_row", "place")
        .collect()
    )
    assert [tuple(row) for row in kept] == [(2, None), (4, "zoo")]

    # Neither another day nor the same one again stores the undated row a second time.
    for day in ("2021-01-06", "2021-01-05"):
        bench.run("ingest", "visits", day)
    undated = (
        bench.table("visits", "quarantine")
        .where("day IS NULL")
        .select("event_date", "place")
        .collect()
    )
    assert [tuple(row) for row in undated] == [(DAY, "zoo")]


def test_seeding_again_replaces_the_day(bench, postgres: dict[str, str]):
    assert (
        seed(bench.pipeline("visits"), DAY, [["park", "1"], ["park", "2"], ["park", "3"]], postgres)
        == 3
    )
    bench.run("ingest", "visits", str(DAY), "2021-01-06")
    counted = bench.table("visits", "silver").groupBy("event_date").count().collect()
    assert dict(map(tuple, counted)) == {DAY: 3, dt.date(2021, 1, 6): 1}


def test_plan_does_not_contain_the_password(bench, capfd):
    pipeline = bench.pipeline("visits")
    extract = SOURCES["jdbc"](Request(bench.spark, pipeline, "", DAY, DAY, time.monotonic))
    assert extract.frame.rdd.getNumPartitions() == 2
    assert extract.dates == {DAY}
    extract.frame.explain("extended")
    plan = capfd.readouterr().out
    assert "surveyed" not in plan and "JDBCRelation" in plan
    assert PASSWORD not in plan


def test_undated_query_is_a_snapshot(bench):
    snapshot = (
        "source.table=null",
        "source.query=SELECT id, day, place, minutes FROM visits WHERE minutes > 7",
        "source.event_time=null",
        "source.partition_column=null",
    )
    summary = bench.run("ingest", "visits", "2021-02-01", "2021-02-02", settings=snapshot)
    assert summary.details.rows == {"bronze": 6, "silver": 4, "quarantine": 2}


def test_machine_time_zone_does_not_move_dates(bench):
    seen = "SELECT id, (day + TIME '23:30') AT TIME ZONE 'UTC' AS day, place, minutes FROM visits"
    zoned = ("source.table=null", f'source.query="{seen}"', "columns.day=timestamp_ntz")
    java = bench.spark._jvm.java.util.TimeZone
    usual = java.getDefault()
    java.setDefault(java.getTimeZone("Asia/Tokyo"))
    try:
        summary = bench.run("ingest", "visits", str(DAY), settings=zoned)
    finally:
        java.setDefault(usual)
    assert summary.details.rows == {"bronze": 3, "silver": 1, "quarantine": 2}
    (time,) = bench.table("visits", "silver").select("day").collect()[0]
    assert time == dt.datetime(2021, 1, 5, 23, 30)


def test_all_missing_columns_are_listed(bench):
    error = failure(bench, "columns.weather=string", "columns.guide=string")
    assert type(error) is BadData
    assert [line.partition(" is")[0] for line in error.details] == [
        "column 'weather'",
        "column 'guide'",
    ]


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        (("source.table=nowhere",), 'relation "nowhere" does not exist'),
        (("source.table=null", "source.query=SELEC 1"), "syntax error"),
        (("source.user=somebody",), "password authentication failed"),
    ],
)
def test_refused_query_is_bad_configuration(bench, settings: tuple[str, ...], said: str):
    error = failure(bench, *settings)
    assert type(error) is BadConfig
    assert said in str(error)


def test_refused_connection_is_unavailable(bench, monkeypatch: pytest.MonkeyPatch):
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        monkeypatch.setenv("BATCHML_SOURCES_DB", f"127.0.0.1:{closed.getsockname()[1]}/sources")
        error = failure(bench)
    assert type(error) is Unavailable
    assert "refused" in str(error)


@pytest.mark.parametrize(
    ("setting", "said"),
    [
        ("source.password=correct-horse", "source.password is wrong"),
        (
            "source.partition_column=place",
            "source.partition_column: 'place' is a string, not int or long",
        ),
        ("source.url='jdbc:postgresql://h/d?password=x'", "the password has a separate key"),
        ("source.url='jdbc:postgresql://me:pw@h/d'", "the password has a separate key"),
        ("source.query=SELECT 1", "either a table or a query"),
        ("source.partition_column=nobody", "source.partition_column names 'nobody'"),
    ],
)
def test_invalid_jdbc_settings_are_refused(bench, setting: str, said: str):
    with pytest.raises(BadConfig, match=said.replace("?", r"\?")):
        bench.pipeline("visits", setting)


def test_invalid_seed_leaves_the_table_unchanged(bench, postgres: dict[str, str]):
    pipeline = bench.pipeline("visits")
    with pytest.raises(BadData, match=r"row 2 has 1 fields, the table 2: park"):
        seed(pipeline, DAY, read(["a, 1", "", "park"]), postgres)
    with pytest.raises(BadData, match="visits: a row does not fit the table"):
        seed(pipeline, DAY, read(["a, soon"]), postgres)
    stored = execute(postgres, "SELECT day, place, minutes FROM visits ORDER BY id")
    assert stored == [
        (DAY, "park", 30.0),
        (DAY, "?", 20.0),
        (DAY + dt.timedelta(days=1), "pool", 10.5),
        (None, "zoo", 5.0),
    ]


def census_bench(
    workbench, postgres: dict[str, str], monkeypatch: pytest.MonkeyPatch, landing: Path
):
    for name, value in postgres.items():
        monkeypatch.setenv(name, value)
    if exists(postgres):
        execute(postgres, "DROP TABLE IF EXISTS census")
    provide(workbench.pipeline("census"), landing, Console(quiet=True), postgres)
    for job in ("ingest", "build_features"):
        workbench.run(job, "census", "2021-01-01", "2021-01-02")
    return workbench


def judged(bench, *settings: str) -> dict[str, float]:
    bench.run("train_model", "census", "2021-01-02", settings=settings)
    found = bench.run("evaluate_model", "census", "2021-01-02", settings=settings).details
    assert found.passed, found.reason
    assert found.metrics["baseline"]["auc"] == 0.5
    return found.metrics["challenger"]


def test_census_models_separate_synthetic_people(
    workbench, postgres: dict[str, str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
):
    bench = census_bench(workbench, postgres, monkeypatch, tmp_path)
    trees = judged(bench, "estimator.params.n_estimators=30")
    logistic = workbench.pipeline("census_logistic").estimator.model_dump(exclude_none=True)
    weighed = judged(bench, f"estimator={logistic}", "training.class_weight=balanced")
    assert min(trees["auc"], weighed["auc"]) > 0.85
    assert trees["calibration_error"] < 0.05 < weighed["calibration_error"], (
        "weights bend the probabilities"
    )
    assert weighed["f1"] > 0.7


def test_census_reaches_auc_on_published_files(
    workbench, postgres: dict[str, str], monkeypatch: pytest.MonkeyPatch, real_data: Path
):
    bench = census_bench(workbench, postgres, monkeypatch, real_data)
    found = judged(bench)
    assert found["rows"] == 16_281
    assert found["auc"] >= 0.92


ODD = """
DROP TABLE IF EXISTS odd;
CREATE TABLE odd (
 id int, at timestamp, price numeric, spare numeric(10, 2), day date, code uuid, tags int[],
 "Fee" real
);
INSERT INTO odd VALUES
 (1, '2021-03-14 02:30', 3.3333333333333333, 2.00, '2021-03-14',
  '00000000-0000-0000-0000-000000000001', '{1,2}', 0.1),
 (2, '2021-03-14 03:30', 'NaN', NULL, 'infinity', NULL, NULL, 'Infinity'),
 (3, '2021-03-14 04:30', 1e300, 2.50, '-infinity', NULL, '{}', NULL)
"""
ODD_COLUMNS = {
    **{
        "id": "long",
        "at": "timestamp_ntz",
        "price": "double",
        "spare": "long",
        "day": "date",
        "code": "string",
    },
    **{"tags": "string", "fee": "double"},
}


@pytest.fixture
def odd(bench, postgres: dict[str, str]):
    """Return a table of values that neither Java nor Spark can represent."""
    execute(postgres, ODD)
    source = VISITS["source"] | {"table": "odd", "event_time": "at"}
    raw = VISITS | {"source": source, "columns": ODD_COLUMNS, "checks": [], "label": "price"}
    bench.write_pipeline("odd", raw | {"inputs": {"numeric": ["spare"]}})
    return bench


def test_values_of_postgresql_are_read_exactly(odd):
    java = odd.spark._jvm.java.util.TimeZone
    usual = java.getDefault()
    java.setDefault(java.getTimeZone("America/New_York"))
    try:
        details = odd.run("ingest", "odd", "2021-03-14").details
    finally:
        java.setDefault(usual)
    assert details.rejected == {"spare_fits_long": 1}
    assert details.schema_differences == ("odd: fee is spelled 'Fee'",)
    rows = (
        odd.table("odd", "bronze")
        .orderBy("source_row")
        .drop("event_date", "source_file", "source_row", "reasons", "warnings")
        .collect()
    )
    times = [dt.datetime(2021, 3, 14, hour, 30) for hour in (2, 3, 4)]
    code = "00000000-0000-0000-0000-000000000001"
    assert [tuple(row) for row in rows] == [
        (1, times[0], 10 / 3, 2, dt.date(2021, 3, 14), code, "{1,2}", 0.1, None),
        (2, times[1], None, None, None, None, None, None, None),
        (3, times[2], 1e300, None, None, None, "{}", None, '{"spare":"2.50"}'),
    ]


def test_undeclared_table_columns_become_json(odd):
    raw = yaml.safe_load((odd.conf / "pipelines" / "odd.yaml").read_text())
    raw["columns"] = {name: raw["columns"][name] for name in ("id", "at", "price", "spare")}
    odd.write_pipeline("odd", raw)
    odd.run("ingest", "odd", "2021-03-14")
    kept = [
        json.loads(row[0])
        for row in odd.table("odd", "bronze").orderBy("source_row").select("undeclared").collect()
    ]
    assert kept[0] == {
        "day": "2021-03-14",
        "code": "00000000-0000-0000-0000-000000000001",
        "tags": [1, 2],
        "Fee": 0.1,
    }
    assert (kept[1]["day"], kept[1]["Fee"], kept[2]["spare"]) == ("infinity", "Infinity", "2.50")


def test_days_follow_the_sources_time_zone(bench):
    seen = "SELECT id, (day + TIME '03:30') AT TIME ZONE 'UTC' AS day, place, minutes FROM visits"
    settings = ("source.table=null", f'source.query="{seen}"', "columns.day=timestamp_ntz")
    zoned = (*settings, "source.time_zone=America/New_York")
    bench.run("ingest", "visits", str(DAY), settings=zoned)
    times = [
        row["day"] for row in bench.table("visits", "bronze").where("day IS NOT NULL").collect()
    ]
    assert times == [dt.datetime(2021, 1, 5, 22, 30)]


@pytest.mark.parametrize(
    "url", ["jdbc:mysql://h/d", "jdbc:oracle:thin:@h:1521:d", "jdbc:sqlserver://h"]
)
def test_other_database_is_refused(bench, url: str):
    with pytest.raises(BadConfig, match=r"source.url: \w+ is not supported; supported: postgresql"):
        bench.pipeline("visits", f"source.url='{url}'")


EVERY_TYPE = """
DROP TABLE IF EXISTS every_type;
DROP TYPE IF EXISTS mood;
CREATE TYPE mood AS ENUM ('glad', 'sad');
CREATE TABLE every_type (
 id numeric PRIMARY KEY, at timestamptz, cash money, span interval, raw bytea, feeling mood,
 doc json, docb jsonb,
 flag boolean, code char(5), clock time, bits bit(3), place point, net inet, parts text[], gone text
);
INSERT INTO every_type VALUES (
 1, '2021-03-14 23:30:00-05', 1234.5, '1 mon 2 days', '\\xff00', 'glad', '{"a": 1}', '{"a": 1}',
 true, 'ab', '10:00', '101', '(1,2)', '10.0.0.1', '{"a,b",NULL}', '<a/>'
), (2, '2021-03-15 00:30:00+00', NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL,
 NULL, NULL, NULL),
 (3, 'infinity', NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL)
"""


def test_every_type_of_postgresql_is_read_or_quarantined(bench, postgres: dict[str, str]):
    execute(postgres, EVERY_TYPE)
    texts = (
        "span",
        "raw",
        "feeling",
        "doc",
        "flag",
        "code",
        "clock",
        "bits",
        "place",
        "net",
        "parts",
    )
    columns = {
        "id": "long",
        "at": "timestamp_ntz",
        "cash": "double",
        **dict.fromkeys(texts, "string"),
    }
    source = VISITS["source"] | {"table": "every_type", "event_time": "at"}
    raw = VISITS | {"source": source, "columns": columns, "checks": [], "label": "cash"}
    bench.write_pipeline("every_type", raw | {"inputs": {"categorical": ["code"]}})
    details = bench.run("ingest", "every_type", "2021-03-15").details
    assert details.rejected == {"cash_fits_double": 1}
    row, other = bench.table("every_type", "bronze").orderBy("source_row").collect()
    assert (row["at"], other["id"]) == (dt.datetime(2021, 3, 15, 4, 30), 2)
    assert [row[name] for name in texts] == [
        *("1 mon 2 days", "\\xff00", "glad", '{"a": 1}', "true", "ab", "10:00:00", "101", "(1,2)"),
        *("10.0.0.1/32", '{"a,b",NULL}'),
    ]
    assert json.loads(row["undeclared"]) == {"cash": "$1,234.50", "docb": {"a": 1}, "gone": "<a/>"}


@pytest.mark.parametrize("query", ["SELECT * FROM visits;", "SELECT * FROM visits -- all of them"])
def test_query_may_end_with_a_comment(bench, query: str):
    settings = ("source.table=null", f"source.query='{query}'")
    assert bench.run("ingest", "visits", str(DAY), settings=settings).rows_in == 3


@pytest.mark.parametrize(
    ("query", "said"),
    [
        ("SELECT *, 1 AS id FROM visits", "a column occurs twice"),
        ("SELECT * FROM visits WHERE minutes / 0 > 1", "cannot be computed for some row"),
        (
            "SELECT *, 1 / (minutes - minutes) AS ratio FROM visits",
            "cannot be computed for some row",
        ),
        ("SELECT * FROM visits WHERE", "the table or the query is wrong"),
        ("DELETE FROM visits", "the table or the query is wrong"),
    ],
)
def test_invalid_query_is_not_retried(bench, query: str, said: str):
    error = failure(bench, "source.table=null", f"source.query={query}")
    assert type(error) in (BadConfig, BadData)
    assert said in str(error)


def test_missing_database_is_bad_configuration(bench, monkeypatch: pytest.MonkeyPatch):
    server = os.environ["BATCHML_SOURCES_DB"].partition("/")[0]
    monkeypatch.setenv("BATCHML_SOURCES_DB", f"{server}/nowhere")
    error = failure(bench)
    assert (type(error), "does not exist" in str(error)) == (BadConfig, True)
