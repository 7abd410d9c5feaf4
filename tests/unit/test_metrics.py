import math

from batchml.models.metrics import macro_f1


def test_macro_f1_is_unweighted_mean():
    matrix = {("a", "a"): 8, ("a", "b"): 2, ("b", "b"): 1, ("b", "a"): 1}
    f1_a, f1_b = 2 * 8 / (2 * 8 + 1 + 2), 2 * 1 / (2 * 1 + 2 + 1)
    assert math.isclose(macro_f1(matrix), (f1_a + f1_b) / 2)


def test_unpredicted_class_scores_zero():
    assert macro_f1({("a", "a"): 1, ("b", "a"): 1}) == (2 / 3 + 0) / 2


def test_macro_f1_without_rows_is_nan():
    assert math.isnan(macro_f1({}))
