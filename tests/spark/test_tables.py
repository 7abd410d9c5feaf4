import datetime as dt
import json
from dataclasses import replace
from pathlib import Path

import pytest
from delta.tables import DeltaTable
from pyspark.sql import types as T

from batchml.errors import NothingToDo, Unavailable
from batchml.lake import row_counts
from batchml.lake.tables import Lake

SCHEMA = T.StructType([T.StructField("event_date", T.DateType()), T.StructField("n", T.LongType())])
FIRST, SECOND = dt.date(2021, 1, 1), dt.date(2021, 1, 2)


@pytest.fixture
def lake(spark, tmp_path: Path) -> Lake:
    return Lake(spark, str(tmp_path), "trips", {"job": "test", "run": "r1", "code_version": "abc"})


def test_a_few_rows_make_a_frame_with_nulls_and_in_the_schemas_types(lake: Lake):
    schema = T.StructType(
        [*SCHEMA, T.StructField("share", T.DoubleType()), T.StructField("why", T.StringType())]
    )
    rows = [(FIRST, 1, 1, None), (SECOND, None, float("inf"), None)]
    made = lake.frame(rows, schema)
    assert made.schema == schema
    assert [tuple(row) for row in made.collect()] == rows


def content(lake: Lake, version: int | None = None):
    return sorted(tuple(row) for row in lake.read("t", FIRST, SECOND, version).collect())


def test_a_second_write_of_the_same_rows_leaves_the_same_rows(lake: Lake):
    rows = lake.frame([(FIRST, 1), (FIRST, 1), (SECOND, 2)], SCHEMA)
    for _ in range(2):
        lake.replace("t", rows, SCHEMA, [FIRST, SECOND])
    assert content(lake) == [(FIRST, 1), (FIRST, 1), (SECOND, 2)]


def test_only_the_dates_given_are_replaced_and_the_old_version_stays_readable(lake: Lake):
    before = lake.replace(
        "t", lake.frame([(FIRST, 1), (SECOND, 2)], SCHEMA), SCHEMA, [FIRST, SECOND]
    )
    after = lake.replace("t", lake.frame([(SECOND, 3)], SCHEMA), SCHEMA, [SECOND])
    assert (before, after) == (0, 1)
    assert content(lake) == [(FIRST, 1), (SECOND, 3)]
    assert content(lake, before) == [(FIRST, 1), (SECOND, 2)]
    assert lake.rows_by_date("t", after, [FIRST, SECOND]) == {FIRST: 1, SECOND: 1}


def test_writing_nothing_where_nothing_was_gives_the_version_that_holds(lake: Lake):
    lake.replace("other", lake.frame([(FIRST, 1)], SCHEMA), SCHEMA, [FIRST])
    lake.replace("other", lake.frame([(FIRST, 2)], SCHEMA), SCHEMA, [FIRST])
    assert lake.replace("t", lake.frame([], SCHEMA), SCHEMA, [FIRST]) == 0
    version = lake.replace("t", lake.frame([], SCHEMA), SCHEMA, [FIRST])
    assert lake.rows_by_date("t", version, [FIRST]) == {}


def test_rows_are_counted_alike_without_spark_and_by_spark(lake: Lake):
    rows = lake.frame([(FIRST, 1), (FIRST, 2), (SECOND, 3)], SCHEMA).repartition(2)
    version = lake.replace("t", rows, SCHEMA, [FIRST, SECOND])
    lake.replace("t", lake.frame([(SECOND, 3), (SECOND, 4)], SCHEMA), SCHEMA, [FIRST, SECOND])
    by_spark = replace(lake, root=f"file://{lake.root}")
    for counting in (lake, by_spark):
        assert counting.rows_by_date("t", version, [FIRST]) == {FIRST: 2}
        assert counting.rows_by_date("t", version + 1, [FIRST, SECOND]) == {SECOND: 2}


def test_a_table_of_which_only_spark_knows_all_is_counted_by_spark(spark, lake: Lake):
    version = lake.replace(
        "t", lake.frame([(FIRST, 1), (FIRST, 2)], SCHEMA).coalesce(1), SCHEMA, [FIRST]
    )
    assert row_counts.rows_by_date(lake.path("t"), version, [FIRST]) == {FIRST: 2}
    spark.sql(
        f"ALTER TABLE delta.`{lake.path('t')}` SET TBLPROPERTIES ('delta.enableDeletionVectors' = 'true')"
    )
    DeltaTable.forPath(spark, lake.path("t")).delete("n = 1")  # which leaves the file as it is
    assert row_counts.rows_by_date(lake.path("t"), lake.version("t"), [FIRST]) is None
    assert lake.rows_by_date("t", lake.version("t"), [FIRST]) == {FIRST: 1}


def test_delta_counts_every_files_rows_and_keeps_extremes_of_the_model_version_alone(lake: Lake):
    scored = T.StructType([*SCHEMA, T.StructField("model_version", T.LongType())])
    lake.replace("plain", lake.frame([(FIRST, 1), (FIRST, 2)], SCHEMA).coalesce(1), SCHEMA, [FIRST])
    lake.replace(
        "scored", lake.frame([(FIRST, 1, 7), (FIRST, 2, 7)], scored).coalesce(1), scored, [FIRST]
    )
    assert statistics(lake, "plain") == {"numRecords": 2}
    assert statistics(lake, "scored") == {
        "numRecords": 2,
        "minValues": {"model_version": 7},
        "maxValues": {"model_version": 7},
        "nullCount": {"model_version": 0},
    }


def statistics(lake: Lake, table: str) -> dict[str, object]:
    lines = Path(lake.path(table), "_delta_log", f"{0:020}.json").read_text().splitlines()
    (added,) = (action["add"] for line in lines if "add" in (action := json.loads(line)))
    found: dict[str, object] = json.loads(added["stats"])
    return {name: value for name, value in found.items() if name != "tightBounds"}


def test_every_commit_names_job_run_and_code_version(spark, lake: Lake):
    lake.replace("t", lake.frame([(FIRST, 1)], SCHEMA), SCHEMA, [FIRST])
    commit = DeltaTable.forPath(spark, lake.path("t")).history(1).head()
    assert json.loads(commit["userMetadata"]) == {"job": "test", "run": "r1", "code_version": "abc"}


def test_a_table_that_is_not_there_says_who_writes_it(lake: Lake):
    with pytest.raises(NothingToDo, match=r"there is no table .*/trips/t yet"):
        lake.version("t")


def test_a_lake_that_cannot_be_written_is_known_at_once(spark, tmp_path: Path):
    (tmp_path / "file").write_text("not a folder")
    lake = Lake(spark, str(tmp_path / "file"), "trips", {})
    with pytest.raises(Unavailable, match="cannot be written"):
        lake.require_writable()


def test_asking_leaves_no_trace(lake: Lake, tmp_path: Path):
    lake.require_writable()
    assert [
        path.name for path in (tmp_path / "trips").iterdir() if not path.name.startswith(".")
    ] == []
