import datetime as dt

from pyspark.sql import functions as F

from batchml.config import Pipeline, Training, conf_folder, load_pipeline
from batchml.models.splits import split, split_for_tuning

DAY = dt.date(2021, 2, 28)
IRIS = load_pipeline("iris", conf_folder())
TAXI = load_pipeline(
    "taxi",
    conf_folder(),
    ["training.window_days=3", "training.holdout_days=2", "training.validation_days=1"],
)


def parts(pipeline: Pipeline) -> tuple[Training, tuple[str, ...]]:
    """The part of a configuration that a split goes by."""
    return pipeline.training, (*pipeline.inputs.columns, pipeline.label)


def test_a_time_split_takes_the_last_days_and_leaves_out_what_is_older(spark):
    rows = spark.sql("SELECT explode(sequence(DATE'2021-02-20', DATE'2021-03-02')) AS event_date")
    fit, holdout = split(rows, DAY, *parts(TAXI))
    assert [str(row[0]) for row in fit.collect()] == ["2021-02-24", "2021-02-25", "2021-02-26"]
    assert [str(row[0]) for row in holdout.collect()] == ["2021-02-27", "2021-02-28"]
    attempt, validation = split_for_tuning(fit, DAY, *parts(TAXI))
    assert [str(row[0]) for row in attempt.collect()] == ["2021-02-24", "2021-02-25"]
    assert [str(row[0]) for row in validation.collect()] == ["2021-02-26"]


def irises(spark, size: int):
    columns = [
        (F.col("id") % 97 + offset).cast("double").alias(name)
        for offset, name in enumerate(IRIS.inputs.columns)
    ]
    return spark.range(size).select(
        F.lit(DAY).alias("event_date"), "id", *columns, F.lit("a").alias("species")
    )


def test_a_hash_split_is_the_same_each_time_and_puts_equal_rows_on_one_side(spark):
    rows = irises(spark, 970)
    fit, holdout = split(rows, DAY, *parts(IRIS))
    assert fit.count() + holdout.count() == 970
    assert 0.15 < holdout.count() / 970 < 0.45
    assert fit.join(holdout, list(IRIS.inputs.columns), "inner").count() == 0
    again = split(rows.repartition(5), DAY, *parts(IRIS))[1]
    assert {row["id"] for row in again.collect()} == {row["id"] for row in holdout.collect()}


def test_another_seed_gives_another_holdout(spark):
    rows = irises(spark, 970)
    other = load_pipeline("iris", conf_folder(), ["training.seed=7"])
    first, second = (
        {row["id"] for row in split(rows, DAY, *parts(pipeline))[1].collect()}
        for pipeline in (IRIS, other)
    )
    assert first != second


def test_the_tuning_slice_of_a_hash_split_is_neither_empty_nor_all(spark):
    fit, _ = split(irises(spark, 970), DAY, *parts(IRIS))
    attempt, validation = split_for_tuning(fit, DAY, *parts(IRIS))
    assert attempt.count() > validation.count() > 0
    assert attempt.count() + validation.count() == fit.count()
