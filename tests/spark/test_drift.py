"""Measure drift and its noise, on small columns with known values."""

import datetime as dt
import math
import random

import pytest
from pyspark.sql import functions as F

from batchml.config import Levels
from batchml.models import drift, metrics
from batchml.models.reference import Reference, bin_counts, describe

LEVELS = Levels(watch=0.1, alarm=0.25)
SHARES = Levels(watch=0.02, alarm=0.1)


@pytest.fixture(scope="module")
def references(spark):
    """Return the references of 1,000 rows.

    Miles are 1 to 100 evenly, and missing in one row of ten. Borough A is twice as frequent as B.
    """
    rows = spark.range(1000).select(
        F.when(F.col("id") % 10 != 9, F.col("id") % 100 + 1).cast("double").alias("miles"),
        F.when(F.col("id") % 3 == 0, "B").otherwise("A").alias("borough"),
    )
    return describe(rows, ["miles"], ["borough"])


def counts(spark, references, rows, schema="event_date DATE, miles DOUBLE, borough STRING"):
    return bin_counts(spark.createDataFrame(rows, schema), references)


DAY = dt.date(2021, 2, 1)


def test_bins_follow_the_column_type(references):
    miles, borough = references["miles"], references["borough"]
    assert (miles.edges[0], miles.edges[-1], len(miles.edges)) == (1.0, 99.0, 11)
    assert miles.counts["null"] == 100
    assert sum(miles.counts.values()) == 1000
    assert borough.values == ("A", "B")
    assert borough.counts == {"=A": 666, "=B": 334}


def test_values_are_counted_in_their_bins(spark, references):
    rows = [(DAY, value, "A") for value in (None, math.nan, 0.5, 1.0, 99.0, 99.5)]
    miles = counts(spark, references, rows)[DAY]["miles"]
    assert miles == {"null": 2, "below": 1, "0": 1, "9": 1, "above": 1}
    rows = [(DAY, 1.0, value) for value in ("A", "B", "C", None)]
    borough = counts(spark, references, rows)[DAY]["borough"]
    assert borough == {"=A": 1, "=B": 1, "unseen": 1, "null": 1}
    assert (drift.null_share(borough), drift.unseen_share(borough)) == (0.25, 0.25)


def test_skewed_columns_have_several_bins(spark):
    rows = spark.range(1000).select(
        (F.col("id") % 10 < 3).cast("double").alias("flag"),
        F.when(F.col("id") % 20 == 0, F.col("id") + 1).otherwise(0).cast("double").alias("gain"),
        F.lit(7.0).alias("constant"),
    )
    columns = describe(rows, ["flag", "gain", "constant"], [])
    assert columns["flag"].counts == {"0": 700, "1": 300}
    assert columns["gain"].counts == {"0": 950, "1": 50}
    assert columns["constant"].counts == {"0": 1000}
    index, noise = drift.psi({"1": 500}, columns["flag"])
    assert drift.level(index, LEVELS, noise) == "alarm"


def test_sampled_deciles_keep_all_extremes(spark):
    rows = spark.range(10_000).select(
        F.when(F.col("id") == 7, math.nan).otherwise(F.col("id")).cast("double").alias("miles"),
        F.lit(None).cast("double").alias("nothing"),
        F.when(F.col("id") < 2, F.col("id")).cast("double").alias("rare"),
    )
    columns = describe(rows, ["miles", "nothing", "rare"], [], rows.where("miles % 100 = 50"))
    edges = columns["miles"].edges
    assert (edges[0], edges[-1], len(edges)) == (0.0, 9999.0, 11)
    assert edges[5] == pytest.approx(5000, abs=100)
    assert "below" not in columns["miles"].counts
    assert (columns["miles"].counts["null"], sum(columns["miles"].counts.values())) == (1, 10_000)
    assert columns["nothing"] == Reference(counts={"null": 10_000})
    assert columns["rare"] == Reference(edges=(0.0, 1.0), counts={"null": 9998, "0": 2})


def test_identifier_keeps_only_its_first_values(spark):
    rows = spark.range(3000).select(
        F.concat(F.lit("n"), F.format_string("%05d", F.col("id") % 1500)).alias("number"),
        F.when(F.col("id") % 3 == 0, "B").when(F.col("id") % 3 == 1, "A").alias("borough"),
    )
    columns = describe(rows, [], ["number", "borough"])
    assert columns["borough"] == Reference(
        values=("A", "B"), counts={"=A": 1000, "=B": 1000, "null": 1000}
    )
    first = tuple(f"n{number:05d}" for number in range(10))
    assert (columns["number"].values, columns["number"].complete) == (first, False)
    assert columns["number"].counts == {f"={name}": 2 for name in first} | {"other": 2980}


def test_psi_follows_its_formula():
    reference = Reference(values=("A", "B"), counts={"=A": 50, "=B": 50})
    index, noise = drift.psi({"=A": 80, "=B": 20}, reference)
    a, e = [80.5 / 101, 20.5 / 101], [0.5, 0.5]
    assert index == pytest.approx(sum((x - y) * math.log(x / y) for x, y in zip(a, e, strict=True)))
    assert noise == pytest.approx((1 / 100 + 1 / 100) * 10.828, rel=1e-3)


def test_same_population_never_alarms():
    reference = Reference(edges=tuple(range(11)), counts={str(i): 1000 for i in range(10)})
    draw = random.Random(1)
    for rows in (10, 30, 100, 1000):
        for _ in range(50):
            day: dict[str, int] = {}
            for _ in range(rows):
                name = str(draw.randrange(10))
                day[name] = day.get(name, 0) + 1
            index, noise = drift.psi(day, reference)
            assert drift.level(index, LEVELS, noise) == "ok", (rows, index, noise)


def test_size_of_shift_sets_the_level():
    reference = Reference(edges=tuple(range(11)), counts={str(i): 1000 for i in range(10)})
    shifted = {str(i): 100 * i for i in range(10)}
    slight = {str(i): 70 + 7 * i for i in range(10)} | {"0": 20}
    assert (
        drift.level(drift.psi(shifted, reference)[0], LEVELS, drift.psi(shifted, reference)[1])
        == "alarm"
    )
    index, noise = drift.psi(slight, reference)
    assert (round(index, 2), drift.level(index, LEVELS, noise)) == (0.16, "watch")


def test_values_beyond_extremes_raise_psi():
    reference = Reference(edges=tuple(range(11)), counts={str(i): 1000 for i in range(10)})
    index, noise = drift.psi({"above": 900, "0": 100}, reference)
    assert drift.level(index, LEVELS, noise) == "alarm"


def test_only_a_significant_share_alarms():
    assert drift.share_level(0.1, 10, 0.0, SHARES) == "ok", "one row of ten"
    assert drift.share_level(0.3, 10, 0.0, SHARES) == "alarm"
    assert drift.share_level(0.05, 2000, 0.0, SHARES) == "watch"
    assert drift.share_level(0.05, 2000, 0.04, SHARES) == "ok", "training had as many"


def test_only_a_significant_error_alarms():
    levels = Levels(watch=0.15, alarm=0.3)
    many = drift.least_error(loss=49.0, spread=70.0, rows=2000, squared=True)
    few = drift.least_error(loss=49.0, spread=70.0, rows=20, squared=True)
    assert drift.error_level(many, 5.0, levels) == "alarm"
    assert drift.error_level(few, 5.0, levels) == "ok"
    assert drift.least_error(loss=49.0, spread=0.0, rows=20, squared=True) == 7.0


def test_empty_training_column_makes_values_unseen(spark):
    empty = spark.range(5).select(F.lit(None).cast("double").alias("miles"))
    reference = describe(empty, ["miles"], [])
    day = counts(spark, reference, [(DAY, 1.0), (DAY, None)], "event_date DATE, miles DOUBLE")[DAY][
        "miles"
    ]
    assert day == {"unseen": 1, "null": 1}
    assert drift.psi(day, reference["miles"]) == (0.0, math.inf)


def test_error_estimate_needs_two_rows(spark):
    form = "prediction double, label double"
    (alone,) = spark.createDataFrame([(9.0, 1.0)], form).agg(*metrics.loss("regression")).collect()
    assert (alone["loss"], alone["spread"]) == (64.0, None)
    assert drift.least_error(alone["loss"], alone["spread"], alone["rows"], squared=True) == 0.0
    (pair,) = (
        spark.createDataFrame([(9.0, 1.0), (9.0, 1.0)], form)
        .agg(*metrics.loss("regression"))
        .collect()
    )
    assert drift.least_error(pair["loss"], pair["spread"], pair["rows"], squared=True) == 8.0
