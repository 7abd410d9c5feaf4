"""Choice of task, dates, key, inputs and checks by `batchml.new`."""

import datetime as dt

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from batchml.errors import BadConfig, BadData
from batchml.new.suggested_checks import sql_name, suggest
from tests.support.csv_files import DAYS, NUMBERS, ROWS, plan_of, write


def test_label_values_choose_the_task(csv_path):
    columns = {
        "x": NUMBERS[::-1],
        "stars": ["1", "2", "5"],
        "flag": ["0.0", "1.0"],
        "sort": ["a", "b"],
        "y": NUMBERS,
    }
    write(csv_path, columns)
    by_label = {name: plan_of(csv_path, name) for name in columns}
    assert {name: plan.task for name, plan in by_label.items()} == {
        "x": "regression",
        "stars": "classification",
        "flag": "classification",
        "sort": "classification",
        "y": "regression",
    }
    assert by_label["flag"].label.type == "string"
    assert by_label["stars"].label.type == "long"


def test_gate_limit_is_the_constants_metric(csv_path):
    write(csv_path, {"x": NUMBERS, "sort": ["a", "a", "a", "b"], "y": ["1.5", "3.5"]})
    assert (plan_of(csv_path, "sort").metric, plan_of(csv_path, "sort").limit) == ("accuracy", 0.75)
    assert (plan_of(csv_path, "y").metric, plan_of(csv_path, "y").limit) == ("rmse", 1.0)


@pytest.mark.parametrize(
    ("values", "error", "said"),
    [
        (["7"], BadData, "1 values"),
        (["2024-01-01", "2024-01-02"], BadConfig, "is a date"),
        ([f"text {n}" for n in range(ROWS)], BadConfig, "60 different texts in 60 rows"),
        (["1,5", *[f"{n},25" for n in range(ROWS)]], BadConfig, "decimal comma"),
    ],
)
def test_unusable_label_is_refused(csv_path, values, error, said):
    write(csv_path, {"x": NUMBERS, "y": values}, ";")
    with pytest.raises(error, match=said):
        plan_of(csv_path)


def test_unknown_label_gets_a_suggestion(csv_path):
    write(csv_path, {"fixed acidity": NUMBERS, "quality": NUMBERS[::-1]})
    with pytest.raises(BadConfig) as caught:
        plan_of(csv_path, "qualty")
    assert "did you mean 'quality'?" in str(caught.value)
    assert (
        plan_of(csv_path, "fixed acidity").label.name
        == plan_of(csv_path, "fixed_acidity").label.name
        == "fixed_acidity"
    )


def test_leaking_columns_are_omitted(csv_path):
    numbers = [n * 7 % 41 for n in range(ROWS)]
    part = [n * 3 % 17 for n in range(ROWS)]
    columns = {
        "again": numbers,
        "in_cents": [100 * n + 1 for n in numbers],
        "one_part": part,
        "other_part": [n - p for n, p in zip(numbers, part, strict=True)],
        "honest": [n * 5 % 23 for n in range(ROWS)],
        "y": numbers,
    }
    plan = plan_of(write(csv_path, {name: map(str, values) for name, values in columns.items()}))
    assert plan.left_out == {
        "again": "it is equal to the label",
        "in_cents": "its correlation with the label is 1.00000",
        "one_part": "y = one_part + other_part in every row",
        "other_part": "y = one_part + other_part in every row",
    }
    assert plan.numeric == ("honest",)


def test_renamed_classes_are_omitted(csv_path):
    write(
        csv_path,
        {
            "code": ["0", "1", "2"],
            "half": ["a", "a", "b"],
            "x": NUMBERS,
            "y": ["red", "green", "blue"],
        },
    )
    plan = plan_of(csv_path)
    assert plan.left_out == {"code": "each of its values stands for one of the label's"}
    assert plan.categorical == ("half",)


def test_useless_columns_are_omitted_with_reason(csv_path):
    columns = {
        "id": [str(n + 1) for n in range(ROWS)],
        "article": [f"A-{n:03}" for n in range(ROWS)],
        "remark": [f"remark number {n % 31}" for n in range(ROWS)],
        "country": ["de"],
        "nothing": [""],
        "rare": ["1.5", *[""] * 59],
        "weight": [
            str(n * 11 % 61) for n in range(ROWS)
        ],  # a value of its own in every row, and yet no id
        "colour": ["red", "blue"],
        "y": NUMBERS,
    }
    plan = plan_of(write(csv_path, columns))
    assert plan.left_out == {
        "id": "it numbers or names the rows: all values differ",
        "article": "it numbers or names the rows: all values differ",
        "remark": "31 different texts: too many for categories",
        "country": "it is always de",
        "nothing": "it has no value",
        "rare": "98% of it is empty",
    }
    assert (plan.numeric, plan.categorical, plan.key) == (("weight",), ("colour",), "id")


def test_file_without_inputs_is_bad_data(csv_path):
    write(csv_path, {"id": [str(n) for n in range(ROWS)], "y": NUMBERS})
    with pytest.raises(BadData, match="no column is left to learn y from"):
        plan_of(csv_path)


def test_dated_rows_are_split_by_date(csv_path):
    plan = plan_of(write(csv_path, {"day": DAYS, "x": NUMBERS[::-1], "y": NUMBERS}))
    assert plan.event_time is not None
    assert plan.dates is not None
    assert (str(plan.dates.first), str(plan.dates.end)) == (
        "2024-02-20",
        "2024-03-09",
    )  # the 10th is scored
    assert (plan.dates.window_days, plan.dates.holdout_days, plan.fit_rows) == (15, 4, 45)
    assert plan.features == ({"kind": "day_of_week", "of": "day", "to": "day_weekday"},)


@pytest.mark.parametrize(
    "columns",
    [
        {"date_of_birth": DAYS},
        {"day": [*DAYS[:-1], ""]},  # a row has none
        {"day": ["2024-02-20", "2024-02-21"]},  # too few days
        {"opened": DAYS, "closed": DAYS},  # which of them?
        {
            "day": [
                *["2024-02-20"] * 2,
                *[f"2024-03-{n:02}" for n in range(1, 13)],
                *["2024-03-30"] * 46,
            ]
        },
    ],
)
def test_rows_without_usable_date_split_by_hash(csv_path, columns):
    plan = plan_of(write(csv_path, {**columns, "x": NUMBERS[::-1], "y": NUMBERS}))
    assert (plan.event_time, plan.dates) == (None, None)


def test_outlying_dates_do_not_stretch_the_range(tmp_path):
    first = dt.datetime(2024, 1, 1)
    moments = [first + dt.timedelta(hours=n) for n in range(2000)]
    moments[5], moments[6] = dt.datetime(2009, 1, 1), dt.datetime(2041, 1, 1)
    numbers = [n * n % 101 / 4 for n in range(2000)]
    columns = {"started": pa.array(moments, pa.timestamp("us")), "x": numbers[::-1], "y": numbers}
    pq.write_table(pa.table(columns), tmp_path / "trips.parquet")
    plan = plan_of(tmp_path / "trips.parquet")
    assert plan.dates is not None
    assert (str(plan.dates.first), str(plan.dates.end)) == ("2024-01-01", "2024-03-23")
    assert (plan.dates.before, plan.dates.after) == (1, 1)
    assert [feature["to"] for feature in plan.features] == ["started_hour", "started_weekday"]


def test_suggested_checks_handle_null_or_quotes(csv_path):
    write(
        csv_path,
        {
            "mood": ["it's", "so\\so"],
            "x": ["1", "", "0"],
            "null": ["2", "4", "8"],
            "y": ["-1.5", "", *NUMBERS],
        },
    )
    checks, _ = suggest(plan_of(csv_path))
    assert [(check.name, check.expect, check.rejects) for check in checks] == [
        ("y_is_known", "y IS NOT NULL AND NOT isnan(y)", False),
        ("x_is_not_negative", "x IS NULL OR x >= 0", False),
        ("null_is_not_negative", "`null` >= 0", False),
        ("mood_is_a_known_one", r"mood IN ('it\'s', 'so\\so')", False),
    ]
    assert sql_name("größe") == "`größe`"
