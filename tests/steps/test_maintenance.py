"""maintain_tables on a lake of old files: what is removed, and what can be reproduced."""

import json
import os
import re
from pathlib import Path

import pytest

from batchml.errors import NothingToDo
from tests.support.rides import train_and_promote

DAY = 86_400
KEEP_ONE = (
    "maintenance.keep_models=1",
    "maintenance.retention_days=7",
    "maintenance.small_files=1",
)


def age(spark, lake: Path, days: int) -> None:
    """Move the times of all log entries and files of the tables ``days`` back."""
    for entry in lake.rglob("_delta_log/*.json"):
        text = re.sub(
            r'("(?:deletionTimestamp|modificationTime|timestamp)":)(\d{13})',
            lambda found: f"{found[1]}{int(found[2]) - days * DAY * 1000}",
            entry.read_text(),
        )
        entry.write_text(text)
        checksum = entry.with_name(f".{entry.name}.crc")
        checksum.unlink(missing_ok=True)
    for file in lake.rglob("*"):
        past = file.stat().st_mtime - days * DAY
        os.utime(file, (past, past))
    getattr(spark._jvm, "org.apache.spark.sql.delta.DeltaLog").clearCache()


def data_files(bench, table: str) -> int:
    return len(list(Path(bench.places.lake, "rides", table).rglob("*.parquet")))


def build_again(bench, times: int = 1) -> None:
    for _ in range(times):
        bench.run("build_features", "rides", "2021-01-01", "2021-01-20")


def test_maintained_table_still_reproduces_the_model(trained, spark):
    build_again(trained)
    age(spark, Path(trained.places.lake), days=40)
    files = data_files(trained, "features")
    rows = trained.rows("rides", "features")

    told = trained.run(
        "maintain_tables", "rides", "2021-03-01", settings=KEEP_ONE, options={"dry_run": True}
    )
    assert told.details.dry_run
    assert data_files(trained, "features") == files, "it only tells"

    done = trained.run("maintain_tables", "rides", "2021-03-01", settings=KEEP_ONE)
    kept = done.details.tables["features"]
    assert kept.retention_hours == pytest.approx(40 * 24, abs=3), (
        "since what version 1 was trained on was replaced"
    )
    assert kept.files == 0
    assert done.details.tables["silver"].retention_hours == 7 * 24
    assert trained.rows("rides", "features") == rows
    again = trained.run("train_model", "rides", "2021-03-01", options={"reproduce": 1})
    assert again.details.reason.endswith("are the same within 1e-09")


def test_model_without_files_is_archived(trained, spark):
    build_again(trained)
    age(spark, Path(trained.places.lake), days=40)
    tracker = trained.tracker("rides")
    train_and_promote(trained, "2021-01-17")  # a new champion, and version 1 the previous one
    tracker.delete_alias("previous")
    before = data_files(trained, "features")

    told = trained.run(
        "maintain_tables", "rides", "2021-03-01", settings=KEEP_ONE, options={"dry_run": True}
    )
    assert (told.details.kept_models, told.details.archived_models) == ((2,), (1,))
    assert "archived" not in tracker.get(1).tags
    done = trained.run("maintain_tables", "rides", "2021-03-01", settings=KEEP_ONE)
    assert tracker.get(1).tags["archived"] == "2021-03-01"
    freed = done.details.tables["features"]
    assert freed.files == told.details.tables["features"].files > 0
    assert told.details.tables["features"].bytes > 0
    assert data_files(trained, "features") < before
    assert (
        trained.run("train_model", "rides", "2021-03-01", options={"reproduce": 2}).details.changes
        is not None
    )

    twice = trained.run("maintain_tables", "rides", "2021-03-01", settings=KEEP_ONE)
    assert twice.details.archived_models == ()
    assert {table.files for table in twice.details.tables.values()} == {0}


def test_compaction_keeps_the_rows(bench, spark):
    table = f"{bench.places.lake}/rides/features"
    rows = bench.table("rides", "features")
    rows.repartition(3).write.format("delta").mode("overwrite").option("replaceWhere", "true").save(
        table
    )
    before = bench.rows("rides", "features")
    done = bench.run("maintain_tables", "rides", "2021-03-01", settings=KEEP_ONE)
    assert done.details.tables["features"].compacted == 21
    assert bench.rows("rides", "features") == before
    again = bench.run("maintain_tables", "rides", "2021-03-01", settings=KEEP_ONE)
    assert again.details.tables["features"].compacted == 0
    versions = {**again.tables, "features": done.tables["features"]}
    assert versions == done.tables, "where nothing was ever replaced there is nothing to commit"


def test_log_retention_exceeds_file_retention(bench):
    bench.run(
        "maintain_tables", "rides", "2021-03-01", settings=("maintenance.retention_days=400",)
    )
    entries = sorted(Path(bench.places.lake, "rides", "silver", "_delta_log").glob("*.json"))
    lines = [json.loads(line) for entry in entries for line in entry.read_text().splitlines()]
    properties = [line["metaData"]["configuration"] for line in lines if "metaData" in line][-1]
    assert properties == {
        "delta.logRetentionDuration": "interval 431 days",
        "delta.deletedFileRetentionDuration": "interval 431 days",
        "delta.dataSkippingNumIndexedCols": "0",
    }


def test_pipeline_without_tables_is_nothing_to_do(workbench):
    with pytest.raises(NothingToDo, match="taxi has no tables yet"):
        workbench.run("maintain_tables", "taxi", "2021-03-01")
