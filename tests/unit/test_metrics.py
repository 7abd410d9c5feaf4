import math

from batchml.models.metrics import macro_f1


def test_macro_f1_is_the_plain_mean_over_classes():
    matrix = {("a", "a"): 8, ("a", "b"): 2, ("b", "b"): 1, ("b", "a"): 1}
    f1_a, f1_b = 2 * 8 / (2 * 8 + 1 + 2), 2 * 1 / (2 * 1 + 2 + 1)
    assert math.isclose(macro_f1(matrix), (f1_a + f1_b) / 2)


def test_a_class_never_predicted_counts_as_zero():
    assert macro_f1({("a", "a"): 1, ("b", "a"): 1}) == (2 / 3 + 0) / 2


def test_no_rows_have_no_score():
    assert math.isnan(macro_f1({}))
