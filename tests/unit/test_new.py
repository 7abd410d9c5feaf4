"""`python -m batchml.new`: what it finds in a file, what it writes, and what it refuses."""

import datetime as dt
import json
import shutil
from collections.abc import Iterable, Mapping
from itertools import cycle, islice
from pathlib import Path
from urllib.request import pathname2url

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml
from jsonschema import Draft202012Validator

from batchml.config import conf_folder, load_pipeline
from batchml.config.schema import json_schema
from batchml.errors import BadConfig, BadData
from batchml.new import dates
from batchml.new.__main__ import main, make
from batchml.new.choose import Plan, choose
from batchml.new.columns import Column
from batchml.new.csv_form import fitting_names
from batchml.new.facts import facts, sql_name
from batchml.new.obtain import name_from
from batchml.new.read import Delivered, read
from tests.servers import answering, body

ROWS = 60
NUMBERS = [str(n * n % 101 / 4) for n in range(ROWS)]  # a label of regression
DAYS = [str(dt.date(2024, 2, 20) + dt.timedelta(days=n // 3)) for n in range(ROWS)]  # three a day


def write(path: Path, columns: Mapping[str, Iterable[str]], delimiter: str = ",", encoding: str = "utf-8") -> Path:
    """A CSV file of 60 rows, each column's values over and over."""
    rows = zip(*(islice(cycle(values), ROWS) for values in columns.values()), strict=True)
    lines = [delimiter.join(columns), *(delimiter.join(row) for row in rows)]
    path.write_text("\n".join(lines) + "\n", encoding=encoding)
    return path


@pytest.fixture
def table(tmp_path: Path) -> Path:
    return tmp_path / "table.csv"


def found_in(path: Path, label: str = "y") -> Delivered:
    return read(path, label, path.name)


def plan_of(path: Path, label: str = "y") -> Plan:
    return choose(found_in(path, label), label, path.name)


def columns_of(path: Path) -> dict[str, Column]:
    return {column.name: column for column in found_in(path).columns}


@pytest.fixture
def places(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a configuration and a landing folder of the test's own."""
    shutil.copytree(conf_folder(), tmp_path / "conf")
    monkeypatch.setenv("BATCHML_CONF", str(tmp_path / "conf"))
    monkeypatch.setenv("BATCHML_LANDING", str(tmp_path / "landing"))
    return tmp_path


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
def test_a_type_is_one_that_every_value_has(table, values, expected):
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
def test_dates_that_are_not_iso_are_read_by_a_pattern(texts, pattern):
    dated = dates.recognise(texts)
    assert dated is not None
    assert dated.pattern == pattern
    assert dated.note == ""


def test_a_date_that_can_be_read_in_two_ways_says_so():
    dated = dates.recognise(["01/02/2024", "03/04/2024"])
    assert dated is not None
    assert dated.moments["03/04/2024"] == dt.datetime(2024, 3, 4)
    assert dated.note == "could also be d/M/yyyy: look at it"


@pytest.mark.parametrize("texts", [["1.2.3.4"], ["12:30"], ["13/13/2024"], ["5"], ["version 1.2.24"], ["1.2.24", "x"]])
def test_what_is_no_date_is_none(texts):
    assert dates.recognise(texts) is None


def test_compact_dates_are_told_by_the_name(table):
    write(table, {"sold_date": ["20240229", "20231231"], "amount": ["20240229", "20231231"], "y": NUMBERS})
    columns = columns_of(table)
    assert (columns["sold_date"].type, columns["sold_date"].pattern) == ("date", "yyyyMMdd")
    assert columns["amount"].type == "long"


def test_texts_for_no_value_are_found(table):
    write(table, {"age": ["30", "?", "-"], "job": ["cook", "NA", "None"], "gap": [" ", "a", "b"], "y": NUMBERS})
    found = found_in(table)
    # A dash is no value among numbers; "None" among texts may be one.
    assert found.nulls == {"?": 20, "-": 20, "NA": 20, "": 20}
    age, job, gap, _ = found.columns
    assert (age.type, age.missing) == ("long", 40)
    assert sorted(job.counts) == ["None", "cook"]
    assert gap.missing == 20


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|", ", "])
def test_the_delimiter_is_found(table, delimiter):
    write(table, {"x": ["1.5", "2.5"], "text": ["a", "b"], "y": NUMBERS}, delimiter)
    form = found_in(table).form
    assert form is not None
    assert (form.delimiter, form.header) == (delimiter, ("x", "text", "y"))


def test_a_file_without_header_numbers_its_columns(table):
    write(table, {"5.1": ["4.9", "4.7"], "setosa": ["setosa", "virginica"]})
    plan = plan_of(table, "column_2")
    assert [column.name for column in plan.columns] == ["column_1", "column_2"]
    assert plan.label.rows == ROWS + 1
    with pytest.raises(BadConfig, match="has no header"):
        plan_of(table, "species")


def test_lines_of_another_width_are_counted_and_too_many_are_an_error(table):
    write(table, {"x": ["1", "2"], "y": NUMBERS})
    text = table.read_text()
    table.write_text(text + "1,2,3\n4\n")
    assert found_in(table).malformed == 2
    table.write_text(text + "1,2,3\n" * 30)
    with pytest.raises(BadData, match="another number of fields") as caught:
        found_in(table)
    assert "30 of them have 3" in str(caught.value)


def test_labels_become_the_task_they_suit(table):
    columns = {"x": NUMBERS[::-1], "stars": ["1", "2", "5"], "flag": ["0.0", "1.0"], "sort": ["a", "b"], "y": NUMBERS}
    write(table, columns)
    by_label = {name: plan_of(table, name) for name in columns}
    assert {name: plan.task for name, plan in by_label.items()} == {
        "x": "regression",
        "stars": "classification",
        "flag": "classification",
        "sort": "classification",
        "y": "regression",
    }
    assert by_label["flag"].label.type == "string"
    assert by_label["stars"].label.type == "long"


def test_the_gate_asks_for_more_than_a_constant(table):
    write(table, {"x": NUMBERS, "sort": ["a", "a", "a", "b"], "y": ["1.5", "3.5"]})
    assert (plan_of(table, "sort").metric, plan_of(table, "sort").limit) == ("accuracy", 0.75)
    assert (plan_of(table, "y").metric, plan_of(table, "y").limit) == ("rmse", 1.0)


@pytest.mark.parametrize(
    ("values", "error", "said"),
    [
        (["7"], BadData, "1 values"),
        (["2024-01-01", "2024-01-02"], BadConfig, "is a date"),
        ([f"text {n}" for n in range(ROWS)], BadConfig, "60 different texts in 60 rows"),
        (["1,5", *[f"{n},25" for n in range(ROWS)]], BadConfig, "decimal comma"),
    ],
)
def test_what_cannot_be_a_label_is_refused(table, values, error, said):
    write(table, {"x": NUMBERS, "y": values}, ";")
    with pytest.raises(error, match=said):
        plan_of(table)


def test_an_unknown_label_is_suggested(table):
    write(table, {"fixed acidity": NUMBERS, "quality": NUMBERS[::-1]})
    with pytest.raises(BadConfig) as caught:
        plan_of(table, "qualty")
    assert "did you mean 'quality'?" in str(caught.value)
    assert plan_of(table, "fixed acidity").label.name == plan_of(table, "fixed_acidity").label.name == "fixed_acidity"


def test_columns_that_give_the_label_away_are_left_out(table):
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
    plan = plan_of(write(table, {name: map(str, values) for name, values in columns.items()}))
    assert plan.left_out == {
        "again": "it is the label once more",
        "in_cents": "its correlation with the label is 1.00000",
        "one_part": "y = one_part + other_part in every row",
        "other_part": "y = one_part + other_part in every row",
    }
    assert plan.numeric == ("honest",)


def test_another_name_for_the_classes_is_left_out(table):
    write(table, {"code": ["0", "1", "2"], "half": ["a", "a", "b"], "x": NUMBERS, "y": ["red", "green", "blue"]})
    plan = plan_of(table)
    assert plan.left_out == {"code": "each of its values stands for one of the label's"}
    assert plan.categorical == ("half",)


def test_columns_without_use_are_left_out_and_say_why(table):
    columns = {
        "id": [str(n + 1) for n in range(ROWS)],
        "article": [f"A-{n:03}" for n in range(ROWS)],
        "remark": [f"remark number {n % 31}" for n in range(ROWS)],
        "country": ["de"],
        "nothing": [""],
        "rare": ["1.5", *[""] * 59],
        "weight": [str(n * 11 % 61) for n in range(ROWS)],  # a value of its own in every row, and yet no id
        "colour": ["red", "blue"],
        "y": NUMBERS,
    }
    plan = plan_of(write(table, columns))
    assert plan.left_out == {
        "id": "it numbers or names the rows: every value is another one",
        "article": "it numbers or names the rows: every value is another one",
        "remark": "31 different texts: too many for categories",
        "country": "it is always de",
        "nothing": "it has no value",
        "rare": "98% of it is empty",
    }
    assert (plan.numeric, plan.categorical, plan.key) == (("weight",), ("colour",), "id")


def test_nothing_left_to_learn_from_is_an_error(table):
    write(table, {"id": [str(n) for n in range(ROWS)], "y": NUMBERS})
    with pytest.raises(BadData, match="no column is left to learn y from"):
        plan_of(table)


def test_rows_with_a_date_are_split_by_it(table):
    plan = plan_of(write(table, {"day": DAYS, "x": NUMBERS[::-1], "y": NUMBERS}))
    assert plan.event_time is not None
    assert plan.dates is not None
    assert (str(plan.dates.first), str(plan.dates.end)) == ("2024-02-20", "2024-03-09")  # the 10th is scored
    assert (plan.dates.window_days, plan.dates.holdout_days, plan.fit_rows) == (15, 4, 45)
    assert plan.features == ({"kind": "day_of_week", "of": "day", "to": "day_weekday"},)


@pytest.mark.parametrize(
    "columns",
    [
        {"date_of_birth": DAYS},
        {"day": [*DAYS[:-1], ""]},  # a row has none
        {"day": ["2024-02-20", "2024-02-21"]},  # too few days
        {"opened": DAYS, "closed": DAYS},  # which of them?
        {"day": [*["2024-02-20"] * 2, *[f"2024-03-{n:02}" for n in range(1, 13)], *["2024-03-30"] * 46]},
    ],
)
def test_rows_without_a_date_that_serves_are_split_by_hash(table, columns):
    plan = plan_of(write(table, {**columns, "x": NUMBERS[::-1], "y": NUMBERS}))
    assert (plan.event_time, plan.dates) == (None, None)


def test_a_few_dates_far_off_do_not_stretch_the_range(tmp_path):
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


def test_names_fit_the_configuration_spark_and_delta():
    given = ["alcohol %", "Alcohol", "od280/od315", "features", "", "größe", "_x", "a b", "a-b"]
    expected = ["alcohol", "Alcohol_2", "od280_od315", "file_features", "column_5", "größe", "_x", "a_b", "a_b_2"]
    assert fitting_names(given) == expected


def test_checks_hold_null_and_quotes_in_mind(table):
    write(
        table, {"mood": ["it's", "so\\so"], "x": ["1", "", "0"], "null": ["2", "4", "8"], "y": ["-1.5", "", *NUMBERS]}
    )
    found, _ = facts(plan_of(table))
    assert [(fact.name, fact.expect, fact.rejects) for fact in found] == [
        ("y_is_known", "y IS NOT NULL AND NOT isnan(y)", False),
        ("x_is_not_negative", "x IS NULL OR x >= 0", False),
        ("null_is_not_negative", "`null` >= 0", False),
        ("mood_is_a_known_one", r"mood IN ('it\'s', 'so\\so')", False),
    ]
    assert sql_name("größe") == "`größe`"


@pytest.mark.parametrize(
    ("given", "name"),
    [
        ("../in/Sales Data.csv", "sales_data"),
        ("2021-sales.parquet", "file_2021_sales"),
        ("https://example.org/a/wine%20red.csv?raw=1", "wine_red"),
    ],
)
def test_a_file_names_its_pipeline(given, name):
    assert name_from(given) == name


def test_the_yaml_is_one_a_person_could_have_written(places, table):
    columns = {"bill no": [f"{n}" for n in range(1, ROWS + 1)], "day": [f"{d[8:]}.{d[5:7]}.{d[:4]}" for d in DAYS]}
    write(table, {**columns, "city": ["Bonn", "n/a"], "2nd": ["1", "2"], "y": NUMBERS}, ";")
    assert main(["--from", str(table), "--label", "y", "--name", "bills"]) == 0
    text = (places / "conf" / "pipelines" / "bills.yaml").read_text()
    assert text.startswith("# yaml-language-server: $schema=../pipeline.schema.json\n")
    Draft202012Validator(json_schema()).validate(json.loads(json.dumps(yaml.safe_load(text), default=str)))
    pipeline = load_pipeline("bills", places / "conf")
    assert pipeline.source.model_dump(exclude_defaults=True) == {
        "kind": "csv",
        "path": "bills.csv",
        "delimiter": ";",
        "nulls": ("n/a",),
        "formats": {"day": "dd.MM.yyyy"},
        "event_time": "day",
    }
    assert {name: column.type for name, column in pipeline.columns.items()} == {
        "bill_no": "long",
        "day": "date",
        "city": "string",
        "2nd": "long",
        "y": "double",
    }
    assert (pipeline.key, pipeline.label, pipeline.gate.metric) == (("bill_no",), "y", "rmse")
    assert (places / "landing" / "bills.csv").read_text().startswith("bill_no;day;city;2nd;y\n1;20.02.2024;Bonn;1;")
    assert "'bill no' is bill_no" in text


def test_a_file_that_needs_no_change_is_landed_as_it_is(places, table):
    write(table, {"x": NUMBERS[::-1], "größe": ["1", "2"], "y": NUMBERS}, encoding="iso-8859-1")
    assert main(["--from", str(table), "--label", "y"]) == 0
    assert (places / "landing" / "table.csv").read_bytes() == table.read_bytes()
    assert load_pipeline("table", places / "conf").source.model_dump()["encoding"] == "ISO-8859-1"
    assert [path.name for path in (places / "landing").iterdir()] == ["table.csv"]


@pytest.mark.parametrize("encoding", ["cp1252", "utf-16", "utf-8-sig"])
def test_an_encoding_spark_does_not_read_becomes_utf8(places, table, encoding):
    write(table, {"x": NUMBERS[::-1], "price": ["5 €", "7 €"], "y": NUMBERS}, encoding=encoding)
    assert main(["--from", str(table), "--label", "y"]) == 0
    assert (places / "landing" / "table.csv").read_bytes() == table.read_text(encoding=encoding).encode()


def test_quotes_and_line_breaks_in_fields_are_written_as_spark_reads_them(places, table):
    write(table, {"x": NUMBERS[::-1], "said": ['"he said ""no, no"""', '"two\nlines"', "C:\\in"], "y": NUMBERS})
    assert main(["--from", str(table), "--label", "y"]) == 0
    lines = (places / "landing" / "table.csv").read_text().splitlines()
    assert len(lines) == ROWS + 1
    assert [line.split(",", 1)[1].rsplit(",", 1)[0] for line in lines[1:4]] == [
        r'"he said \"no, no\""',
        "two lines",
        r'"C:\\in"',
    ]


def test_parquet_types_are_those_of_its_columns(places, tmp_path):
    numbers = [n * n % 101 / 4 for n in range(ROWS)]
    columns = {
        "seen at": pa.array([dt.datetime(2024, 1, 1)] * ROWS, pa.timestamp("ns")),
        "flag": pa.array([True, False] * 30),
        "kind": pa.array(["a", "b"] * 30).dictionary_encode(),
        "size": pa.array(range(ROWS), pa.int16()),
        "price": pa.array(numbers, pa.float32()),
        "tags": pa.array([["a"]] * ROWS),
        "y": numbers,
    }
    pq.write_table(pa.table(columns), tmp_path / "things.parquet")
    assert main(["--from", str(tmp_path / "things.parquet"), "--label", "y"]) == 0
    pipeline = load_pipeline("things", places / "conf")
    assert {name: column.type for name, column in pipeline.columns.items()} == {
        "seen_at": "timestamp_ntz",
        "flag": "string",
        "kind": "string",
        "size": "long",
        "price": "double",
        "y": "double",
    }
    landed = pq.read_schema(places / "landing" / "things.parquet")
    assert landed.field("seen_at").type == pa.timestamp("us")  # Spark does not read nanoseconds
    assert "tags" in landed.names


def test_nothing_is_written_over_without_force(places, table, capsys):
    write(table, {"x": NUMBERS[::-1], "y": NUMBERS})
    before = (places / "conf" / "pipelines" / "taxi.yaml").read_bytes()
    assert main(["--from", str(table), "--label", "y", "--name", "taxi"]) == BadConfig.exit_code
    assert "is there already" in capsys.readouterr().out
    assert (places / "conf" / "pipelines" / "taxi.yaml").read_bytes() == before
    assert not (places / "landing").exists()
    assert main(["--from", str(table), "--label", "y", "--name", "taxi", "--force"]) == 0
    assert load_pipeline("taxi", places / "conf").label == "y"


def test_another_file_in_the_landing_folder_stays(places, table):
    write(table, {"x": NUMBERS[::-1], "y": NUMBERS})
    landed = places / "landing" / "table.csv"
    landed.parent.mkdir()
    landed.write_text("of somebody else")
    with pytest.raises(BadConfig, match="another file"):
        make(str(table), "y", "table", force=False)
    assert landed.read_text() == "of somebody else"
    assert not (places / "conf" / "pipelines" / "table.yaml").exists()
    shutil.copy(table, landed)  # the same file is no other
    make(str(landed), "y", "table", force=False)


def test_a_yaml_that_does_not_load_is_not_written(places, table, monkeypatch):
    write(table, {"x": NUMBERS[::-1], "y": NUMBERS})
    monkeypatch.setattr("batchml.new.__main__.as_yaml", lambda *_: "task: guessing\n")
    assert main(["--from", str(table), "--label", "y"]) == BadConfig.exit_code
    assert not (places / "conf" / "pipelines" / "table.yaml").exists()
    assert not (places / "landing").exists()


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "is empty"),
        (b"x,y\n1,2\n", "has 1 rows"),
        (b"<!doctype html><html></html>", "is a web page"),
        (b"\x1f\x8b\x08\x00", "gunzip"),
        (b"PAR1 and no more", "no readable parquet file"),
        (b"a\0b", "binary"),
    ],
)
def test_a_file_that_cannot_be_used_is_bad_data(places, table, capsys, content, said):
    table.write_bytes(content)
    assert main(["--from", str(table), "--label", "y"]) == BadData.exit_code
    assert said in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["--from", "nowhere.csv"], 4, "there is no such file"),
        (["--from", "ftp://example.org/a.csv"], 4, "only files and addresses"),
        (["--from", "nowhere.csv", "--name", "Big Data"], 4, "begins with a letter"),
        (["--from", "http://127.0.0.1:9/a.csv"], 5, "could not be fetched"),
    ],
)
def test_wrong_arguments_say_so(places, capsys, monkeypatch, arguments, code, said):
    monkeypatch.setattr("batchml.web.download.retry.sleep", lambda seconds: None)
    assert main([*arguments, "--label", "y"]) == code
    assert said in capsys.readouterr().out


def test_an_address_is_downloaded(places, table, capsys):
    write(table, {"x": NUMBERS[::-1], "y": NUMBERS})
    with answering({f"/{pathname2url('the table.csv')}": body(table.read_bytes())}) as (url, _):
        assert main(["--from", f"{url}/the%20table.csv", "--label", "y"]) == 0
        assert main(["--from", f"{url}/other.csv", "--label", "y"]) == BadConfig.exit_code
    assert "the server has no such file" in capsys.readouterr().out
    assert (places / "landing" / "the_table.csv").read_bytes() == table.read_bytes()


def test_a_download_is_bounded(places, table, monkeypatch, capsys):
    write(table, {"x": NUMBERS[::-1], "y": NUMBERS})
    monkeypatch.setattr("batchml.new.obtain.MOST_BYTES", 100)
    with answering({"/table.csv": body(table.read_bytes())}) as (url, _):
        assert main(["--from", f"{url}/table.csv", "--label", "y"]) == BadData.exit_code
    assert "has more than" in capsys.readouterr().out
