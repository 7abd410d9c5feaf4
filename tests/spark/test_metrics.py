import math

import pytest

from batchml.metrics import classification, confusion, regression


def test_regression_metrics_by_hand(spark):
    rows = spark.createDataFrame([(3.0, 1.0), (2.0, 2.0), (4.0, 6.0)], "prediction double, label double")
    found = regression(rows)
    assert found["rows"] == 3
    assert found["rmse"] == pytest.approx(math.sqrt((4 + 0 + 4) / 3))
    assert found["mae"] == pytest.approx(4 / 3)
    assert found["r2"] == pytest.approx(1 - 8 / 14)


def test_classification_metrics_by_hand(spark):
    rows = spark.createDataFrame(
        [("a", "a", 0.8), ("b", "a", 0.25), ("b", "b", 0.5), ("b", "b", 0.0)],
        "prediction string, label string, probability_of_label double",
    )
    found = classification(rows)
    assert found["accuracy"] == 0.75
    assert found["f1"] == pytest.approx((2 / 3 + 4 / 5) / 2)
    assert found["log_loss"] == pytest.approx(-(math.log(0.8) + math.log(0.25) + math.log(0.5) + math.log(1e-15)) / 4)
    assert confusion(rows) == {("a", "a"): 1, ("a", "b"): 1, ("b", "b"): 2}


def test_without_rows_there_is_no_number(spark):
    empty = spark.createDataFrame([], "prediction double, label double")
    assert regression(empty)["rows"] == 0
    assert math.isnan(regression(empty)["rmse"])
