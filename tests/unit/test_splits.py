import datetime as dt

from batchml.config import Training
from batchml.models.splits import DateRange, Windows, rows_to_fit, windows_up_to

END = dt.date(2021, 2, 28)


def test_window_ends_before_the_holdout():
    assert windows_up_to(END, Training(window_days=31, holdout_days=28)) == Windows(
        fit=DateRange(dt.date(2021, 1, 1), dt.date(2021, 1, 31)),
        holdout=DateRange(dt.date(2021, 2, 1), dt.date(2021, 2, 28)),
    )


def test_hash_split_uses_one_day():
    one_day = DateRange(END, END)
    assert windows_up_to(END, Training(split="hash")) == Windows(fit=one_day, holdout=one_day)


def test_hash_holdout_is_not_fitted():
    assert rows_to_fit(1000, Training(split="hash", holdout_fraction=0.2)) == 800
    assert rows_to_fit(1000, Training(window_days=31, holdout_days=7)) == 1000
