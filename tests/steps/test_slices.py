"""Look up values in a small table, and evaluate models on slices by these values."""

from pathlib import Path

import pytest
from pyspark.sql import functions as F

from batchml.config import load_pipeline
from batchml.errors import BadConfig, BadData, Unavailable
from tests.support.rides import END, RIDES, START

LOOKED_UP = {
    **RIDES,
    "lookups": {"lengths": {"path": "lengths.csv", "key": "miles"}},
    "features": [
        *RIDES["features"],
        {"kind": "bands", "of": "hour", "edges": [12], "to": "half"},
        {"kind": "lookup", "table": "lengths", "of": "miles", "take": "name", "to": "length"},
    ],
    "gate": {
        "metric": "rmse",
        "limit": 20.0,
        "min_improvement": -9.0,
        "slices": [{"by": "half"}, {"by": "length"}],
    },
}


def put_lengths(bench, *lines: str) -> None:
    Path(bench.places.landing, "lengths.csv").write_text("\n".join(("miles,name", *lines)))


@pytest.fixture
def looked_up(bench):
    """Return rides whose length has a name, except those of seven miles, before their features."""
    bench.write_pipeline("rides", LOOKED_UP)
    put_lengths(bench, *(f"{miles}.0,{'long' if miles > 3 else 'short'}" for miles in range(1, 7)))
    return bench


@pytest.fixture
def sliced(looked_up):
    """Return the rides with features on the dates of a training up to the 19th, or the 20th."""
    looked_up.run("build_features", "rides", "2021-01-07", END)
    return looked_up


def test_better_challenger_with_worse_slice_is_rejected(sliced):
    sliced.run("train_model", "rides", "2021-01-19")
    results = sliced.run("evaluate_model", "rides", "2021-01-19").details.slices
    sliced.run("promote_model", "rides", "2021-01-19")
    assert {(part.by, part.value, part.rows) for part in results} == {
        *(("half", "<12", 36), ("half", ">=12", 36)),
        *(("length", "long", 30), ("length", "short", 31), ("length", "unknown", 11)),
    }
    broken = sliced.table("rides", "features").withColumn(
        "minutes", F.when(F.col("hour") < 12, F.col("minutes")).otherwise(F.col("minutes") + 7)
    )
    broken.cache().count()
    broken.write.format("delta").mode("overwrite").save(f"{sliced.places.lake}/rides/features")
    rule = "gate.slices=[{by: half, max_worse: 0.1, min_rows: 30}]"
    sliced.run("train_model", "rides", END, settings=(rule,))
    evaluated = sliced.run("evaluate_model", "rides", END, settings=(rule,))
    assert not evaluated.details.passed
    assert "half=<12: rmse" in evaluated.details.reason
    assert "more than 10% worse, on 36 rows" in evaluated.details.reason
    whole = evaluated.details.metrics
    assert whole["challenger"]["rmse"] < whole["champion"]["rmse"]


def test_missing_optional_lookup_is_null(looked_up):
    looked_up.run("build_features", "rides", START)
    Path(looked_up.places.landing, "lengths.csv").unlink()
    with pytest.raises(Unavailable, match=r"the lookup table .*lengths.csv does not exist"):
        looked_up.run("build_features", "rides", START)
    optional = ("lookups.lengths.optional=true",)
    assert looked_up.run(
        "build_features", "rides", START, settings=optional
    ).details.absent_lookups == ("lengths.csv",)
    assert (
        looked_up.table("rides", "features")
        .where(f"event_date = '{START}' AND length IS NULL")
        .count()
        == 24
    )


def test_lookup_text_may_contain_doubled_quotes(looked_up):
    put_lengths(looked_up, '1.0,"a ""short, short"" one"')
    looked_up.run("build_features", "rides", START)
    names = (
        looked_up.table("rides", "features")
        .where(f"event_date = '{START}'")
        .select("length")
        .distinct()
        .collect()
    )
    assert {row["length"] for row in names} == {None, 'a "short, short" one'}


def test_invalid_lookup_table_is_bad_data(looked_up):
    put_lengths(looked_up, "1.0,short", "1.0,long")
    with pytest.raises(BadData, match=r"lengths.csv: miles is not unique: 1.0"):
        looked_up.run("build_features", "rides", START)
    with pytest.raises(BadData, match=r"lengths.csv has no column kilometres"):
        looked_up.run(
            "build_features", "rides", START, settings=("lookups.lengths.key=kilometres",)
        )


def test_invalid_features_are_refused_at_load(looked_up):
    looked_up.write_pipeline(
        "elsewhere", {**LOOKED_UP, "lookups": {"names": LOOKED_UP["lookups"]["lengths"]}}
    )
    with pytest.raises(
        BadConfig,
        match=r"features.2.table names 'lengths', which is not known\n  expected one of: names",
    ):
        load_pipeline("elsewhere", looked_up.conf)
    with pytest.raises(BadConfig, match="edges must rise: 12, 6"):
        load_pipeline(
            "rides",
            looked_up.conf,
            ["features=[{kind: bands, of: miles, edges: [12, 6], to: half}]"],
        )
