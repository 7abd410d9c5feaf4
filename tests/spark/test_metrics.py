import math

import pytest

from batchml.models.metrics import calibration, classification, confusion, regression


def test_regression_metrics_match_manual_values(spark):
    rows = spark.createDataFrame(
        [(3.0, 1.0), (2.0, 2.0), (4.0, 6.0)], "prediction double, label double"
    )
    measured = regression(rows)
    assert measured["rows"] == 3
    assert measured["rmse"] == pytest.approx(math.sqrt((4 + 0 + 4) / 3))
    assert measured["mae"] == pytest.approx(4 / 3)
    assert measured["r2"] == pytest.approx(1 - 8 / 14)


FORM = "prediction string, label string, probabilities map<string, double>"


def test_classification_metrics_match_manual_values(spark):
    rows = spark.createDataFrame(
        [
            ("a", "a", {"a": 0.8, "b": 0.2}),
            ("b", "a", {"a": 0.25, "b": 0.75}),
            ("b", "b", {"a": 0.5, "b": 0.5}),
            ("b", "b", {"a": 1.0}),
        ],
        FORM,
    )
    measured = classification(rows)
    assert measured["accuracy"] == 0.75
    assert measured["f1"] == pytest.approx((2 / 3 + 4 / 5) / 2)
    assert measured["log_loss"] == pytest.approx(
        -(math.log(0.8) + math.log(0.25) + math.log(0.5) + math.log(1e-15)) / 4
    )
    assert confusion(rows) == {("a", "a"): 1, ("a", "b"): 1, ("b", "b"): 2}


def test_binary_metrics_match_manual_values(spark):
    # Rows of class yes have the scores 3/4 and 1/4, the others 1/4 and twice 1/8.
    scored = [
        ("yes", "yes", 0.75),
        ("no", "yes", 0.25),
        ("no", "no", 0.25),
        ("no", "no", 0.125),
        ("no", "no", 0.125),
    ]
    rows = spark.createDataFrame(
        [(*row, {"no": 1 - yes, "yes": yes}) for *row, yes in scored], FORM
    )
    measured = classification(rows)
    # Of 2 x 3 pairs the true class has the higher score in 5, and an equal one in 1.
    assert measured["auc"] == pytest.approx(5.5 / 6)
    bins = [(part.rows, part.score, part.share) for part in calibration(rows, "yes")]
    assert bins == [(2, 0.125, 0.0), (2, 0.25, 0.5), (1, 0.75, 1.0)]
    assert measured["calibration_error"] == pytest.approx((2 * 0.125 + 2 * 0.25 + 1 * 0.25) / 5)


@pytest.mark.parametrize("yes", [0.1, 0.24, 1 / 3, 1e-9])
def test_constant_score_has_auc_one_half(spark, yes: float):
    """In floating-point numbers 1 - 0.9 is not 0.1, which must not order the rows."""
    rows = [("no", label, {"no": 1 - yes, "yes": yes}) for label in ("no", "no", "yes")]
    assert classification(spark.createDataFrame(rows, FORM))["auc"] == 0.5


def test_auc_needs_exactly_two_classes(spark):
    def measured(*rows: tuple[str, str]) -> dict[str, float]:
        return classification(
            spark.createDataFrame([(*row, {"a": 0.9, "b": 0.1}) for row in rows], FORM)
        )

    assert "auc" not in measured(("a", "b"), ("c", "c"))
    assert math.isnan(measured(("a", "b"), ("b", "b"))["auc"])


def test_rmse_without_rows_is_nan(spark):
    empty = spark.createDataFrame([], "prediction double, label double")
    assert regression(empty)["rows"] == 0
    assert math.isnan(regression(empty)["rmse"])
