"""What `batchml.new` finds in a file: its form, and its columns by type."""

import datetime as dt
from pathlib import Path

import pytest

from batchml.errors import BadConfig, BadData
from batchml.new import dates
from batchml.new.csv_form import fitting_names
from tests.support.csv_files import NUMBERS, ROWS, columns_of, found_in, plan_of, write


@pytest.fixture
def table(tmp_path: Path) -> Path:
    return tmp_path / "table.csv"


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
    ],
)
def test_type_fits_every_value(table, values, expected):
    write(table, {"x": values, "y": NUMBERS}, delimiter=";")
    assert columns_of(table)["x"].type == expected


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
def test_other_dates_are_recognised_by_pattern(texts, pattern):
    dated = dates.recognise(texts)
    assert dated is not None
    assert dated.pattern == pattern
    assert dated.note == ""


def test_ambiguous_date_gets_a_note():
    dated = dates.recognise(["01/02/2024", "03/04/2024"])
    assert dated is not None
    assert dated.moments["03/04/2024"] == dt.datetime(2024, 3, 4)
    assert dated.note == "could also be d/M/yyyy: look at it"


@pytest.mark.parametrize(
    "texts", [["1.2.3.4"], ["12:30"], ["13/13/2024"], ["5"], ["version 1.2.24"], ["1.2.24", "x"]]
)
def test_other_text_is_not_a_date(texts):
    assert dates.recognise(texts) is None


def test_compact_dates_need_a_telling_name(table):
    write(
        table,
        {"sold_date": ["20240229", "20231231"], "amount": ["20240229", "20231231"], "y": NUMBERS},
    )
    columns = columns_of(table)
    assert (columns["sold_date"].type, columns["sold_date"].pattern) == ("date", "yyyyMMdd")
    assert columns["amount"].type == "long"


def test_texts_for_null_are_found(table):
    write(
        table,
        {
            "age": ["30", "?", "-"],
            "job": ["cook", "NA", "None"],
            "gap": [" ", "a", "b"],
            "y": NUMBERS,
        },
    )
    found = found_in(table)
    # A dash is no value among numbers; "None" among texts may be one.
    assert found.nulls == {"?": 20, "-": 20, "NA": 20, "": 20}
    age, job, gap, _ = found.columns
    assert (age.type, age.missing) == ("long", 40)
    assert sorted(job.counts) == ["None", "cook"]
    assert gap.missing == 20


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|", ", "])
def test_delimiter_is_detected(table, delimiter):
    write(table, {"x": ["1.5", "2.5"], "text": ["a", "b"], "y": NUMBERS}, delimiter)
    form = found_in(table).form
    assert form is not None
    assert (form.delimiter, form.header) == (delimiter, ("x", "text", "y"))


def test_file_without_header_numbers_its_columns(table):
    write(table, {"5.1": ["4.9", "4.7"], "setosa": ["setosa", "virginica"]})
    plan = plan_of(table, "column_2")
    assert [column.name for column in plan.columns] == ["column_1", "column_2"]
    assert plan.label.rows == ROWS + 1
    with pytest.raises(BadConfig, match="has no header"):
        plan_of(table, "species")


def test_lines_of_other_width_are_limited(table):
    write(table, {"x": ["1", "2"], "y": NUMBERS})
    text = table.read_text()
    table.write_text(text + "1,2,3\n4\n")
    assert found_in(table).malformed == 2
    table.write_text(text + "1,2,3\n" * 30)
    with pytest.raises(BadData, match="another number of fields") as caught:
        found_in(table)
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
