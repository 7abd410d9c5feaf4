import datetime as dt
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from delta.tables import DeltaTable
from py4j.java_gateway import JVMView
from pyspark.sql import types as T

from batchml.errors import NothingToDo, Unavailable
from batchml.lake import row_counts
from batchml.lake.tables import Lake

SCHEMA = T.StructType([T.StructField("event_date", T.DateType()), T.StructField("n", T.LongType())])
FIRST, SECOND = dt.date(2021, 1, 1), dt.date(2021, 1, 2)


@pytest.fixture
def lake(spark, tmp_path: Path) -> Lake:
    return Lake(spark, str(tmp_path), "trips", {"job": "test", "run": "r1", "code_version": "abc"})


def test_frame_keeps_schema_types(lake: Lake):
    schema = T.StructType(
        [*SCHEMA, T.StructField("share", T.DoubleType()), T.StructField("why", T.StringType())]
    )
    rows = [(FIRST, 1, 1, None), (SECOND, None, float("inf"), None)]
    made = lake.create_frame(rows, schema)
    assert made.schema == schema
    assert [tuple(row) for row in made.collect()] == rows


def test_java_is_asked_for_whole_names(lake: Lake, monkeypatch: pytest.MonkeyPatch):
    # For a part of a name Java searches all jars, which was a tenth of the time of a small job.
    asked = []
    find = JVMView.__getattr__

    def record(view: JVMView, name: str) -> Any:
        asked.append(name)
        return find(view, name)

    monkeypatch.setattr(JVMView, "__getattr__", record)
    rows = lake.create_frame([(FIRST, 1)], SCHEMA)
    lake.replace("t", rows, SCHEMA, [FIRST])
    assert content(lake) == [(FIRST, 1)]
    assert asked
    assert [name for name in asked if "." not in name] == []


def content(lake: Lake, version: int | None = None):
    return sorted(tuple(row) for row in lake.read("t", FIRST, SECOND, version).collect())


def test_second_write_is_idempotent(lake: Lake):
    rows = lake.create_frame([(FIRST, 1), (FIRST, 1), (SECOND, 2)], SCHEMA)
    for _ in range(2):
        lake.replace("t", rows, SCHEMA, [FIRST, SECOND])
    assert content(lake) == [(FIRST, 1), (FIRST, 1), (SECOND, 2)]


def test_only_given_dates_are_replaced(lake: Lake):
    before = lake.replace(
        "t", lake.create_frame([(FIRST, 1), (SECOND, 2)], SCHEMA), SCHEMA, [FIRST, SECOND]
    )
    after = lake.replace("t", lake.create_frame([(SECOND, 3)], SCHEMA), SCHEMA, [SECOND])
    assert (before, after) == (0, 1)
    assert content(lake) == [(FIRST, 1), (SECOND, 3)]
    assert content(lake, before) == [(FIRST, 1), (SECOND, 2)]
    assert lake.rows_by_date("t", after, [FIRST, SECOND]) == {FIRST: 1, SECOND: 1}


def test_empty_write_returns_a_valid_version(lake: Lake):
    lake.replace("other", lake.create_frame([(FIRST, 1)], SCHEMA), SCHEMA, [FIRST])
    lake.replace("other", lake.create_frame([(FIRST, 2)], SCHEMA), SCHEMA, [FIRST])
    assert lake.replace("t", lake.create_frame([], SCHEMA), SCHEMA, [FIRST]) == 0
    version = lake.replace("t", lake.create_frame([], SCHEMA), SCHEMA, [FIRST])
    assert lake.rows_by_date("t", version, [FIRST]) == {}


def test_both_row_counts_are_equal(lake: Lake):
    rows = lake.create_frame([(FIRST, 1), (FIRST, 2), (SECOND, 3)], SCHEMA).repartition(2)
    version = lake.replace("t", rows, SCHEMA, [FIRST, SECOND])
    lake.replace(
        "t", lake.create_frame([(SECOND, 3), (SECOND, 4)], SCHEMA), SCHEMA, [FIRST, SECOND]
    )
    by_spark = replace(lake, root=f"file://{lake.root}")
    for counting in (lake, by_spark):
        assert counting.rows_by_date("t", version, [FIRST]) == {FIRST: 2}
        assert counting.rows_by_date("t", version + 1, [FIRST, SECOND]) == {SECOND: 2}


def test_deletion_vectors_are_counted_by_spark(spark, lake: Lake):
    version = lake.replace(
        "t", lake.create_frame([(FIRST, 1), (FIRST, 2)], SCHEMA).coalesce(1), SCHEMA, [FIRST]
    )
    assert row_counts.rows_by_date(lake.path("t"), version, [FIRST]) == {FIRST: 2}
    properties = "('delta.enableDeletionVectors' = 'true')"
    spark.sql(f"ALTER TABLE delta.`{lake.path('t')}` SET TBLPROPERTIES {properties}")
    DeltaTable.forPath(spark, lake.path("t")).delete("n = 1")  # which leaves the file as it is
    assert row_counts.rows_by_date(lake.path("t"), lake.latest_version("t"), [FIRST]) is None
    assert lake.rows_by_date("t", lake.latest_version("t"), [FIRST]) == {FIRST: 1}


def test_only_model_version_has_file_statistics(lake: Lake):
    scored = T.StructType([*SCHEMA, T.StructField("model_version", T.LongType())])
    lake.replace(
        "plain", lake.create_frame([(FIRST, 1), (FIRST, 2)], SCHEMA).coalesce(1), SCHEMA, [FIRST]
    )
    lake.replace(
        "scored",
        lake.create_frame([(FIRST, 1, 7), (FIRST, 2, 7)], scored).coalesce(1),
        scored,
        [FIRST],
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


def test_commit_metadata_identifies_the_job(spark, lake: Lake):
    lake.replace("t", lake.create_frame([(FIRST, 1)], SCHEMA), SCHEMA, [FIRST])
    commit = DeltaTable.forPath(spark, lake.path("t")).history(1).head()
    assert json.loads(commit["userMetadata"]) == {"job": "test", "run": "r1", "code_version": "abc"}


def test_missing_table_is_nothing_to_do(lake: Lake):
    with pytest.raises(NothingToDo, match=r"there is no table .*/trips/t yet"):
        lake.latest_version("t")


def test_unwritable_lake_is_unavailable(spark, tmp_path: Path):
    (tmp_path / "file").write_text("not a folder")
    lake = Lake(spark, str(tmp_path / "file"), "trips", {})
    with pytest.raises(Unavailable, match="cannot be written"):
        lake.require_writable()


def test_write_check_leaves_no_file(lake: Lake, tmp_path: Path):
    lake.require_writable()
    assert [
        path.name for path in (tmp_path / "trips").iterdir() if not path.name.startswith(".")
    ] == []


def test_staged_rows_are_invisible_before_commit(lake: Lake):
    before = lake.replace("t", lake.create_frame([(FIRST, 1)], SCHEMA), SCHEMA, [FIRST])
    rows = lake.create_frame([(FIRST, 2), (SECOND, 3), (SECOND, 4)], SCHEMA)
    with lake.stage("t", rows, SCHEMA, [FIRST, SECOND]) as staged:
        assert staged.rows == {FIRST: 1, SECOND: 2}
        assert sorted(staged.read([SECOND]).collect()) == [(SECOND, 3), (SECOND, 4)]
        assert content(lake) == [(FIRST, 1)]
        assert lake.latest_version("t") == before
        assert staged.commit() == before + 1
    assert content(lake) == [(FIRST, 2), (SECOND, 3), (SECOND, 4)]


def test_uncommitted_dates_are_discarded(lake: Lake):
    lake.replace("t", lake.create_frame([(FIRST, 1), (SECOND, 2)], SCHEMA), SCHEMA, [FIRST, SECOND])
    before = files(lake)
    rows = lake.create_frame([(FIRST, 8), (SECOND, 9)], SCHEMA)
    with lake.stage("t", rows, SCHEMA, [FIRST, SECOND]) as staged:
        staged.commit([SECOND])
    assert content(lake) == [(FIRST, 1), (SECOND, 9)]
    with lake.stage("t", rows, SCHEMA, [FIRST, SECOND]):
        pass
    assert content(lake) == [(FIRST, 1), (SECOND, 9)]
    assert len(files(lake) - before) == 1, "the file of the second date only"


def files(lake: Lake) -> set[Path]:
    return set(Path(lake.path("t")).rglob("*.parquet"))


class Interrupted:
    """A transaction whose answer is lost after Delta has committed."""

    def __init__(self, transaction: Any):
        self.transaction = transaction

    def __getattr__(self, name: str) -> Any:
        return getattr(self.transaction, name)

    def commitIfNeeded(self, *arguments: Any) -> None:  # noqa: N802  # Delta's name
        self.transaction.commitIfNeeded(*arguments)
        raise KeyboardInterrupt


def test_files_of_unconfirmed_commit_are_kept(lake: Lake):
    lake.replace("t", lake.create_frame([(FIRST, 1)], SCHEMA), SCHEMA, [FIRST])
    with (
        pytest.raises(KeyboardInterrupt),
        lake.stage("t", lake.create_frame([(FIRST, 2)], SCHEMA), SCHEMA, [FIRST]) as staged,
    ):
        replace(staged, transaction=Interrupted(staged.transaction)).commit()
    assert content(lake) == [(FIRST, 2)]


def test_file_with_deletion_vector_is_kept(spark, lake: Lake):
    rows = lake.create_frame([(FIRST, 1), (FIRST, 2)], SCHEMA)
    lake.replace("t", rows, SCHEMA, [FIRST])
    properties = "('delta.enableDeletionVectors' = 'true')"
    spark.sql(f"ALTER TABLE delta.`{lake.path('t')}` SET TBLPROPERTIES {properties}")
    with lake._stage("t", lake.create_frame([(FIRST, 2)], SCHEMA), SCHEMA, "n = 2", {}):
        pass
    assert content(lake) == [(FIRST, 1), (FIRST, 2)]


def test_concurrent_writer_of_a_date_is_unavailable(lake: Lake):
    lake.replace("t", lake.create_frame([(FIRST, 1)], SCHEMA), SCHEMA, [FIRST])
    with lake.stage("t", lake.create_frame([(FIRST, 2)], SCHEMA), SCHEMA, [FIRST]) as staged:
        lake.replace("t", lake.create_frame([(FIRST, 3)], SCHEMA), SCHEMA, [FIRST])
        with pytest.raises(Unavailable, match="another job has written the table"):
            staged.commit()
    assert content(lake) == [(FIRST, 3)]
    assert len(files(lake)) == 2, "the other writer's, and the one it replaced"
