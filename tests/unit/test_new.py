"""`python -m batchml.new`: the files it writes, and the input it rejects."""

import datetime as dt
import json
import shutil

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml
from jsonschema import Draft202012Validator

from batchml.config import load_pipeline
from batchml.config.json_schema import json_schema
from batchml.errors import BadConfig, BadData
from batchml.new.__main__ import main, make
from batchml.new.locate import name_from
from batchml.sources.csv_form import CsvForm
from batchml.sources.csv_records import CsvRecords
from batchml.sources.csv_tables import MALFORMED
from tests.support.csv_files import DAYS, NUMBERS, ROWS, write


@pytest.mark.parametrize(
    ("given", "name"),
    [
        ("../in/Sales Data.csv", "sales_data"),
        ("2021-sales.parquet", "file_2021_sales"),
        ("https://example.org/a/wine%20red.csv?raw=1", "wine_red"),
    ],
)
def test_file_name_becomes_pipeline_name(given, name):
    assert name_from(given) == name


def test_written_yaml_describes_the_file(folders, csv_path):
    columns = {
        "bill no": [f"{n}" for n in range(1, ROWS + 1)],
        "day": [f"{d[8:]}.{d[5:7]}.{d[:4]}" for d in DAYS],
    }
    write(csv_path, {**columns, "city": ["Bonn", "n/a"], "2nd": ["1", "2"], "y": NUMBERS}, ";")
    assert main(["--from", str(csv_path), "--label", "y", "--name", "bills"]) == 0
    text = (folders / "conf" / "pipelines" / "bills.yaml").read_text()
    assert text.startswith("# yaml-language-server: $schema=../pipeline.schema.json\n")
    Draft202012Validator(json_schema()).validate(
        json.loads(json.dumps(yaml.safe_load(text), default=str))
    )
    pipeline = load_pipeline("bills", folders / "conf")
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
    assert (
        (folders / "landing" / "bills.csv")
        .read_text()
        .startswith("bill_no;day;city;2nd;y\n1;20.02.2024;Bonn;1;")
    )
    assert "'bill no' is bill_no" in text


def test_readable_file_lands_unchanged(folders, csv_path):
    write(csv_path, {"x": NUMBERS[::-1], "größe": ["1", "2"], "y": NUMBERS}, encoding="iso-8859-1")
    assert main(["--from", str(csv_path), "--label", "y"]) == 0
    assert (folders / "landing" / "table.csv").read_bytes() == csv_path.read_bytes()
    assert load_pipeline("table", folders / "conf").source.model_dump()["encoding"] == "ISO-8859-1"
    assert [path.name for path in (folders / "landing").iterdir()] == ["table.csv"]


@pytest.mark.parametrize("encoding", ["cp1252", "utf-16", "utf-8-sig"])
def test_unsupported_encoding_becomes_utf8(folders, csv_path, encoding):
    write(csv_path, {"x": NUMBERS[::-1], "price": ["5 €", "7 €"], "y": NUMBERS}, encoding=encoding)
    assert main(["--from", str(csv_path), "--label", "y"]) == 0
    assert (folders / "landing" / "table.csv").read_bytes() == csv_path.read_text(
        encoding=encoding
    ).encode()


def test_quoted_fields_are_rewritten_for_spark(folders, csv_path):
    quoted = ['"he said ""no, no"""', '"two\nlines"', "C:\\in"]
    write(csv_path, {"x": NUMBERS[::-1], "said": quoted, "y": NUMBERS})
    assert main(["--from", str(csv_path), "--label", "y"]) == 0
    landed = folders / "landing" / "table.csv"
    assert landed.read_bytes() == csv_path.read_bytes()
    with landed.open("rb") as stream:
        (records,) = CsvRecords(stream, CsvForm(), "table.csv").tables()
    assert records[MALFORMED].null_count == ROWS
    assert records["c1"].to_pylist()[:3] == ['he said "no, no"', "two\nlines", "C:\\in"]


def test_mixed_malformed_lines_stay_below_the_limit(folders, csv_path):
    write(csv_path, {"x": NUMBERS[::-1], "y": NUMBERS})
    with csv_path.open("a") as handle:
        handle.write('"1"2,3\n4\n')
    assert main(["--from", str(csv_path), "--label", "y"]) == 0
    text = (folders / "conf" / "pipelines" / "table.yaml").read_text()
    assert "malformed lines are quarantined: 2" in text


def test_copy_with_lost_rows_is_rejected(folders, csv_path, monkeypatch, capsys):
    write(csv_path, {"bill no": NUMBERS[::-1], "y": NUMBERS})
    monkeypatch.setattr(
        "batchml.new.__main__.write_csv", lambda text, names, path: path.write_text("bill_no,y\n")
    )
    assert main(["--from", str(csv_path), "--label", "y"]) == BadData.exit_code
    assert "has 0 readable rows" in capsys.readouterr().out
    assert not (folders / "conf" / "pipelines" / "table.yaml").exists()


def test_parquet_types_are_declared(folders, tmp_path):
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
    pipeline = load_pipeline("things", folders / "conf")
    assert {name: column.type for name, column in pipeline.columns.items()} == {
        "seen_at": "timestamp_ntz",
        "flag": "string",
        "kind": "string",
        "size": "long",
        "price": "double",
        "y": "double",
    }
    landed = pq.read_schema(folders / "landing" / "things.parquet")
    assert landed.field("seen_at").type == pa.timestamp("us")  # Spark does not read nanoseconds
    assert "tags" in landed.names


def test_existing_pipeline_needs_force(folders, csv_path, capsys):
    write(csv_path, {"x": NUMBERS[::-1], "y": NUMBERS})
    before = (folders / "conf" / "pipelines" / "taxi.yaml").read_bytes()
    assert main(["--from", str(csv_path), "--label", "y", "--name", "taxi"]) == BadConfig.exit_code
    assert "already exists" in capsys.readouterr().out
    assert (folders / "conf" / "pipelines" / "taxi.yaml").read_bytes() == before
    assert not (folders / "landing").exists()
    assert main(["--from", str(csv_path), "--label", "y", "--name", "taxi", "--force"]) == 0
    assert load_pipeline("taxi", folders / "conf").label == "y"


def test_other_landed_file_is_kept(folders, csv_path):
    write(csv_path, {"x": NUMBERS[::-1], "y": NUMBERS})
    landed = folders / "landing" / "table.csv"
    landed.parent.mkdir()
    landed.write_text("of somebody else")
    with pytest.raises(BadConfig, match="another file"):
        make(str(csv_path), "y", "table", force=False)
    assert landed.read_text() == "of somebody else"
    assert not (folders / "conf" / "pipelines" / "table.yaml").exists()
    shutil.copy(csv_path, landed)  # the same file is no other
    make(str(landed), "y", "table", force=False)


def test_invalid_yaml_is_not_written(folders, csv_path, monkeypatch):
    write(csv_path, {"x": NUMBERS[::-1], "y": NUMBERS})
    monkeypatch.setattr("batchml.new.__main__.as_yaml", lambda *_: "task: guessing\n")
    assert main(["--from", str(csv_path), "--label", "y"]) == BadConfig.exit_code
    assert not (folders / "conf" / "pipelines" / "table.yaml").exists()
    assert not (folders / "landing").exists()


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "is empty"),
        (b"x,y\n1,2\n", "has 1 rows"),
        (b"<!doctype html><html></html>", "is a web page"),
        (b"\x1f\x8b\x08\x00", "gunzip"),
        (b"PAR1 and no more", "not a readable parquet file"),
        (b"a\0b", "binary"),
    ],
)
def test_unusable_file_is_bad_data(folders, csv_path, capsys, content, said):
    csv_path.write_bytes(content)
    assert main(["--from", str(csv_path), "--label", "y"]) == BadData.exit_code
    assert said in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["--from", "nowhere.csv"], 4, "there is no such file"),
        (["--from", "ftp://example.org/a.csv"], 4, "only files and addresses"),
        (["--from", "nowhere.csv", "--name", "Big Data"], 4, "begins with a letter"),
    ],
)
def test_wrong_arguments_end_with_a_remedy(folders, capsys, arguments, code, said):
    assert main([*arguments, "--label", "y"]) == code
    assert said in capsys.readouterr().out
