import pytest

from batchml.config import Gate, Slice
from batchml.models.comparison import Comparison
from batchml.models.gate import Verdict, decide, improvement
from batchml.models.significance import Difference
from batchml.models.slices import SliceResult

RMSE = Gate(metric="rmse", limit=9.0, min_improvement=0.01)
ACCURACY = Gate(metric="accuracy", limit=0.9)


def test_first_model_needs_no_champion():
    assert decide(RMSE, Comparison({"rmse": 6.0}, {"rmse": 12.0}, None)) == Verdict(
        True, "rmse 6 is within the limit 9; there is no champion to compare with"
    )


def test_metric_beyond_limit_is_rejected():
    assert decide(RMSE, Comparison({"rmse": 9.5}, {"rmse": 12.0}, None)) == Verdict(
        False, "rmse 9.5 is worse than the limit 9"
    )


def test_metric_equal_to_baseline_is_rejected():
    verdict = decide(RMSE, Comparison({"rmse": 6.0}, {"rmse": 6.0}, None))
    assert verdict == Verdict(False, "rmse 6 is no better than the constant baseline's 6")


def test_too_small_improvement_is_rejected():
    assert decide(RMSE, Comparison({"rmse": 5.9}, {"rmse": 12.0}, {"rmse": 6.0})).passed
    verdict = decide(RMSE, Comparison({"rmse": 5.95}, {"rmse": 12.0}, {"rmse": 6.0}))
    assert verdict == Verdict(
        False, "rmse 5.95 against the champion's 6 is +0.83%, less than the required +1.00%"
    )


def test_equal_model_passes_without_required_improvement():
    assert decide(
        ACCURACY, Comparison({"accuracy": 0.95}, {"accuracy": 0.3}, {"accuracy": 0.95})
    ).passed


def test_larger_is_better_for_accuracy():
    assert not decide(ACCURACY, Comparison({"accuracy": 0.89}, {"accuracy": 0.3}, None)).passed
    assert not decide(
        ACCURACY, Comparison({"accuracy": 0.94}, {"accuracy": 0.3}, {"accuracy": 0.95})
    ).passed


@pytest.mark.parametrize("value", [float("nan")])
def test_nan_metric_never_passes(value: float):
    assert not decide(RMSE, Comparison({"rmse": value}, {"rmse": 12.0}, None)).passed
    assert not decide(RMSE, Comparison({"rmse": value}, {"rmse": 12.0}, {"rmse": 6.0})).passed


def test_improvement_is_relative_to_old_value():
    assert improvement(10.0, 9.0, "rmse") == pytest.approx(0.1)
    assert improvement(0.8, 0.9, "accuracy") == pytest.approx(0.125)
    assert improvement(0.0, 0.5, "r2") == 0.5


def test_insignificant_improvement_fails_the_strict_gate():
    rules = Gate(metric="rmse", limit=9.0)
    better = Difference(-0.2, -0.3, -0.1, 0.95)
    chance = Difference(-0.01, -0.3, 0.28, 0.95)
    verdict = decide(rules, Comparison({"rmse": 5.0}, {"rmse": 10.0}, {"rmse": 5.2}, better))
    assert (verdict.passed, verdict.reason) == (
        True,
        "rmse 5 against the champion's 5.2 is +3.85%, at least the required +0.00%; "
        "difference -0.2 (95% interval -0.3 to -0.1)",
    )
    assert (
        "not significant"
        in decide(rules, Comparison({"rmse": 5.0}, {"rmse": 10.0}, {"rmse": 5.01}, chance)).reason
    )
    strict = Gate(metric="rmse", limit=9.0, beyond_chance=True)
    assert decide(strict, Comparison({"rmse": 5.0}, {"rmse": 10.0}, {"rmse": 5.2}, better)).passed
    refused = decide(strict, Comparison({"rmse": 5.0}, {"rmse": 10.0}, {"rmse": 5.01}, chance))
    assert (refused.passed, "but the difference is not significant" in refused.reason) == (
        False,
        True,
    )
    assert decide(strict, Comparison({"rmse": 5.0}, {"rmse": 10.0}, None)).passed, (
        "there is no champion to be compared with"
    )


def test_significantly_worse_loss_fails_strict_gate():
    """Rows in a better order may have worse probabilities: loss and metric need not agree."""
    strict = Gate(metric="auc", limit=0.5, beyond_chance=True)
    worse = Difference(0.2, 0.15, 0.25, 0.95)
    assert not decide(strict, Comparison({"auc": 0.91}, {"auc": 0.5}, {"auc": 0.90}, worse)).passed


def test_undefined_auc_rejects_with_a_reason():
    rules = Gate(metric="auc", limit=0.5)
    of_one_class = decide(rules, Comparison({"accuracy": 1.0}, {"accuracy": 1.0}, {"auc": 0.9}))
    assert of_one_class == Verdict(
        False,
        "auc is undefined on the holdout rows: their labels and predictions are not of exactly two "
        "classes",
    )
    other_classes = decide(rules, Comparison({"auc": 0.8}, {"auc": 0.5}, {"accuracy": 0.0}))
    assert other_classes == Verdict(
        passed=False,
        reason="auc 0.8 is within the limit 0.5, but cannot be compared with the champion: "
        "the champion has no auc on these rows",
        needs_approval=True,
    )


def test_rounding_error_does_not_reject():
    assert decide(
        Gate(metric="rmse", limit=9.0),
        Comparison({"rmse": 0.1 + 0.2}, {"rmse": 1.0}, {"rmse": 0.3}),
    ).passed


def slice_result(
    challenger: float,
    champion: float | None,
    rows: int = 500,
    *,
    significant: bool = True,
    **rule: float,
) -> SliceResult:
    return SliceResult(
        Slice(by="borough", **rule),
        "Bronx",
        "rmse",
        rows,
        challenger,
        champion,
        significantly_worse=significant,
    )


def decide_with(gate: Gate, result: SliceResult, champion: float | None = 5.2) -> Verdict:
    """Return the verdict on a better challenger with one slice."""
    champion_metrics = None
    if champion is not None:
        champion_metrics = {"rmse": champion}
    comparison = Comparison({"rmse": 5.0}, {"rmse": 10.0}, champion_metrics, None, [result])
    return decide(gate, comparison)


def test_significantly_worse_slice_rejects():
    rules = Gate(metric="rmse", limit=9.0)
    refused = decide_with(rules, slice_result(6.0, 5.0, max_worse=0.1))
    assert refused == Verdict(
        False,
        "rmse 5 against the champion's 5.2 is +3.85%, at least the required +0.00%, but "
        "borough=Bronx: rmse 6 against the champion's 5, more than 10% worse, on 500 rows",
    )
    assert decide_with(rules, slice_result(6.0, 5.0, max_worse=0.3)).passed
    assert decide_with(rules, slice_result(6.0, 5.0, rows=20)).passed, "20 rows are too few"
    assert decide_with(rules, slice_result(6.0, 5.0, significant=False)).passed, (
        "it is not significant"
    )


def test_slice_limit_applies_without_champion():
    refused = decide_with(
        Gate(metric="rmse", limit=9.0), slice_result(6.0, None, max_loss=5.5), champion=None
    )
    assert (refused.passed, "borough=Bronx: rmse 6 is more than 5.5" in refused.reason) == (
        False,
        True,
    )
    assert decide_with(
        Gate(metric="rmse", limit=9.0), slice_result(6.0, None), champion=None
    ).passed
