import datetime as dt

from pyspark.sql import functions as F

from batchml.config import conf_folder, load_pipeline
from batchml.models.splits import SplitRule

DAY = dt.date(2021, 2, 28)
IRIS = load_pipeline("iris", conf_folder())
TAXI = load_pipeline(
    "taxi",
    conf_folder(),
    ["training.window_days=3", "training.holdout_days=2", "training.validation_days=1"],
)
BY_TIME, BY_HASH = SplitRule.of(TAXI, DAY), SplitRule.of(IRIS, DAY)


def days(spark, first: str, last: str):
    return spark.sql(f"SELECT explode(sequence(DATE'{first}', DATE'{last}')) AS event_date")


def dates(frame) -> list[str]:
    return [str(row["event_date"]) for row in frame.collect()]


def test_time_split_holds_out_the_last_days(spark):
    fit, holdout = BY_TIME.split(days(spark, "2021-02-20", "2021-03-02"))
    assert dates(fit) == ["2021-02-24", "2021-02-25", "2021-02-26"]
    assert dates(holdout) == ["2021-02-27", "2021-02-28"]
    attempt, validation = BY_TIME.split_for_tuning(fit)
    assert dates(attempt) == ["2021-02-24", "2021-02-25"]
    assert dates(validation) == ["2021-02-26"]


def test_time_split_sees_dates_until_its_end(spark):
    rows = days(spark, "2021-02-20", "2021-03-02")
    assert dates(rows.where(~BY_TIME.seen(rows.columns))) == ["2021-03-01", "2021-03-02"]
    fitted = rows.where(BY_TIME.fitted(rows.columns))
    assert dates(fitted) == ["2021-02-24", "2021-02-25", "2021-02-26"]


def irises(spark, size: int, date: dt.date = DAY):
    columns = [
        (F.col("id") % 97 + offset).cast("double").alias(name)
        for offset, name in enumerate(IRIS.inputs.columns)
    ]
    kinds = F.when(F.col("id") % 2 == 0, "a").otherwise("b")
    return spark.range(size).select(
        F.lit(date).alias("event_date"),
        F.col("id").alias("source_row"),
        *columns,
        kinds.alias("species"),
    )


def numbers(frame) -> set[int]:
    return {row["source_row"] for row in frame.collect()}


def test_hash_split_does_not_depend_on_row_order(spark):
    rows = irises(spark, 970)
    fit, holdout = BY_HASH.split(rows)
    assert fit.count() + holdout.count() == 970
    assert 0.25 < holdout.count() / 970 < 0.35
    assert numbers(BY_HASH.split(rows.repartition(5))[1]) == numbers(holdout)


def test_hash_split_ignores_other_columns(spark):
    rows = irises(spark, 970)
    other = rows.withColumns({"species": F.lit("c"), "petal_width": F.lit(0.0)})
    assert numbers(BY_HASH.split(other)[1]) == numbers(BY_HASH.split(rows)[1])


def test_rows_of_a_group_stay_together(spark):
    grouped = load_pipeline("iris", conf_folder(), ["training.group=[petal_width]"])
    fit, holdout = SplitRule.of(grouped, DAY).split(irises(spark, 970))
    assert fit.count() > 0
    assert holdout.count() > 0
    assert fit.join(holdout, "petal_width", "inner").count() == 0


def test_another_seed_changes_the_holdout(spark):
    rows = irises(spark, 970)
    other = SplitRule.of(load_pipeline("iris", conf_folder(), ["training.seed=7"]), DAY)
    assert numbers(other.split(rows)[1]) != numbers(BY_HASH.split(rows)[1])
    assert not other.has_same_holdout_as(BY_HASH)


def test_snapshot_rows_are_seen_on_every_date(spark):
    fit, _ = BY_HASH.split(irises(spark, 970))
    later = irises(spark, 970, DAY + dt.timedelta(days=1))
    assert numbers(later.where(BY_HASH.seen(later.columns))) == numbers(fit)
    assert numbers(later.where(BY_HASH.fitted(later.columns))) == numbers(fit)


def test_dated_rows_after_training_are_unseen(spark):
    rule = SplitRule.of(load_pipeline("taxi", conf_folder(), ["training.split=hash"]), DAY)
    rows = days(spark, "2021-02-27", "2021-03-01").withColumns(
        {"source_file": F.lit("month"), "source_row": F.lit(1)}
    )
    assert dates(rows.where(~rule.seen(rows.columns)))[-1] == "2021-03-01"


def test_missing_split_columns_mark_every_row_seen(spark):
    rows = irises(spark, 10).drop("source_row")
    assert rows.where(BY_HASH.seen(rows.columns)).count() == 10


def test_earlier_records_see_unknown_labels(spark):
    earlier = SplitRule.of(IRIS, DAY, (*IRIS.inputs.columns, IRIS.label))
    rows = irises(spark, 970)
    fit, _ = earlier.split(rows)
    assert numbers(rows.where(earlier.seen(rows.columns))) == numbers(fit)
    unknown = rows.withColumn("species", F.lit(None).cast("string"))
    assert unknown.where(earlier.seen(unknown.columns)).count() == 970


def test_tuning_slice_of_a_hash_split_is_partial(spark):
    fit, _ = BY_HASH.split(irises(spark, 970))
    attempt, validation = BY_HASH.split_for_tuning(fit)
    assert attempt.count() > validation.count() > 0
    assert attempt.count() + validation.count() == fit.count()
