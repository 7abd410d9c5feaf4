"""The profile of a file: its form, and its columns by type."""

import datetime as dt
from decimal import Decimal

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from batchml.errors import BadConfig, BadData
from batchml.new.csv_text import fitting_names
from tests.support.csv_files import NUMBERS, ROWS, columns_of, plan_of, profile_of, write


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (["1", "-20", "+3"], "long"),
        (["1", "2.5", "-.5e-3"], "double"),
        (["9223372036854775807"], "long"),
        (["9223372036854775808"], "string"),
        (["007", "123"], "string"),
        (["0.5", "0"], "double"),
        (["true", "False"], "string"),
        (["1,5", "2,25"], "string"),
        (["2024-02-29", "2023-1-5"], "date"),
        (["2024-02-29T10:30:00Z", "2024-02-29 10:30"], "timestamp_ntz"),
        (["2023-02-29"], "string"),  # there is no such day
        (["31.12.2023", "01.02.2024"], "date"),
        (["2024-02-29", "soon"], "string"),
        (["1.5", "1e400"], "string"),  # Spark reads it as infinity
        (["2024-02-29 24:00"], "string"),
        (["0000-01-01"], "string"),
        (["1.2.24", "1.2.2024"], "string"),
    ],
)
def test_type_fits_every_value(csv_path, values, expected):
    write(csv_path, {"x": values, "y": NUMBERS}, delimiter=";")
    assert columns_of(csv_path)["x"].type == expected


@pytest.mark.parametrize(
    ("texts", "pattern"),
    [
        (["1/13/11", "12/1/12"], "M/d/yy"),
        (["01/13/2011", "12/01/2012"], "MM/dd/yyyy"),
        (["13/01/2011", "01/12/2012"], "dd/MM/yyyy"),
        (["1.2.2024", "13.12.2024"], "d.M.yyyy"),
        (["01.02.2024 07:05", "13.12.2024 17:00"], "dd.MM.yyyy HH:mm"),
        (["13-02-2024"], "dd-MM-yyyy"),
        (["2024/02/29 10:30:15"], "yyyy/MM/dd HH:mm:ss"),
        (["1/13/2024 3:05 PM"], "M/d/yyyy h:mm a"),
        (["05-Jan-2024", "31-DEC-2023"], "dd-MMM-yyyy"),
    ],
)
def test_other_dates_have_a_pattern(csv_path, texts, pattern):
    write(csv_path, {"x": texts, "y": NUMBERS}, delimiter=";")
    column = columns_of(csv_path)["x"]
    assert (column.pattern, column.notes) == (pattern, ())


def test_ambiguous_date_format_has_a_note(csv_path):
    write(csv_path, {"x": ["01/02/2024", "03/04/2024"], "y": NUMBERS})
    column = columns_of(csv_path)["x"]
    assert column.values[1].as_py() == dt.datetime(2024, 3, 4)
    assert column.notes == ("could also be d/M/yyyy: look at it",)


def test_times_with_a_zone_become_utc(csv_path):
    write(csv_path, {"x": ["2024-02-29T10:30:00.5+02:00", "2024-02-29 10:30"], "y": NUMBERS})
    column = columns_of(csv_path)["x"]
    assert [value.as_py().hour for value in column.values[:2]] == [8, 10]
    assert "converted to UTC" in column.notes[0]


def test_decimals_that_a_double_rounds_are_text(tmp_path):
    exact, long = Decimal("0.25"), Decimal("0.1234567890123456789012345678")
    columns = {"short": [exact] * ROWS, "long": [long] * ROWS, "y": range(ROWS)}
    pq.write_table(pa.table(columns), tmp_path / "table.parquet")
    types = {name: column.type for name, column in columns_of(tmp_path / "table.parquet").items()}
    assert types == {"short": "double", "long": "string", "y": "long"}


@pytest.mark.parametrize(
    "texts", [["1.2.3.4"], ["12:30"], ["13/13/2024"], ["5"], ["version 1.2.24"], ["1.2.24", "x"]]
)
def test_other_text_is_not_a_date(csv_path, texts):
    write(csv_path, {"x": texts, "y": NUMBERS})
    assert not columns_of(csv_path)["x"].is_dated


def test_compact_dates_need_a_telling_name(csv_path):
    write(
        csv_path,
        {"sold_date": ["20240229", "20231231"], "amount": ["20240229", "20231231"], "y": NUMBERS},
    )
    columns = columns_of(csv_path)
    assert (columns["sold_date"].type, columns["sold_date"].pattern) == ("date", "yyyyMMdd")
    assert columns["amount"].type == "long"


def test_texts_for_null_are_found(csv_path):
    write(
        csv_path,
        {
            "age": ["30", "?", "-"],
            "job": ["cook", "NA", "None"],
            "gap": [" ", "a", "b"],
            "y": NUMBERS,
        },
    )
    profile = profile_of(csv_path)
    # A dash is no value among numbers; "None" among texts may be one.
    assert profile.nulls == {"?": 20, "-": 20, "NA": 20, "": 20}
    age, job, gap, _ = profile.columns
    assert (age.type, age.missing) == ("long", 40)
    assert sorted(job.counts) == ["None", "cook"]
    assert gap.missing == 20


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|", ", "])
def test_delimiter_is_detected(csv_path, delimiter):
    write(csv_path, {"x": ["1.5", "2.5"], "text": ["a", "b"], "y": NUMBERS}, delimiter)
    form = profile_of(csv_path).text
    assert form is not None
    assert (form.delimiter, form.has_header) == (delimiter, True)
    assert form.given == ("x", "text", "y")


@pytest.mark.parametrize(
    ("header", "row", "delimiter"),
    [
        ('a, "b, c", y', '{}, "x, y", {}', ", "),
        ('a, "b, c", y', "{}, 2, {}", ", "),
        ('a,"b, c",y', "{}, 2, {}", ","),
        ('"a","b, c","y"', "{}, 2, {}", ","),
    ],
)
def test_quoted_names_may_contain_the_delimiter(csv_path, header, row, delimiter):
    rows = [row.format(number, number * 1.5) for number in range(ROWS)]
    csv_path.write_text("\n".join([header, *rows]) + "\n", encoding="utf-8")
    found = profile_of(csv_path)
    assert (found.text.delimiter, found.text.given) == (delimiter, ("a", "b, c", "y"))
    assert (found.rows, found.malformed) == (ROWS, 0)


def test_file_without_header_numbers_its_columns(csv_path):
    write(csv_path, {"5.1": ["4.9", "4.7"], "setosa": ["setosa", "virginica"]})
    plan = plan_of(csv_path, "column_2")
    assert [column.name for column in plan.columns] == ["column_1", "column_2"]
    assert plan.label.rows == ROWS + 1
    with pytest.raises(BadConfig, match="has no header"):
        plan_of(csv_path, "species")


def test_lines_of_other_width_are_limited(csv_path):
    write(csv_path, {"x": ["1", "2"], "y": NUMBERS})
    text = csv_path.read_text()
    csv_path.write_text(text + "1,2,3\n4\n")
    assert profile_of(csv_path).malformed == 2
    csv_path.write_text(text + "1,2,3\n" * 30)
    with pytest.raises(BadData, match="another number of fields") as caught:
        profile_of(csv_path)
    assert "30 of them have 3" in str(caught.value)


def test_column_names_are_made_valid():
    given = ["alcohol %", "Alcohol", "od280/od315", "features", "", "größe", "_x", "a b", "a-b"]
    expected = [
        "alcohol",
        "Alcohol_2",
        "od280_od315",
        "file_features",
        "column_5",
        "größe",
        "_x",
        "a_b",
        "a_b_2",
    ]
    assert fitting_names(given) == expected
