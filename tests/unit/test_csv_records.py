"""Records of CSV files as RFC 4180 has them, whatever else is delivered under the name of CSV."""

import bz2
import csv
import gzip
import io
import lzma
import time
import zipfile
from pathlib import Path

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from batchml.errors import BadData
from batchml.sources import csv_text
from batchml.sources.csv_form import CsvForm
from batchml.sources.csv_records import CsvRecords
from batchml.sources.unpacking import open_unpacked

Record = tuple[int, list[str | None], str | None]


def records_of(content: bytes | str, **form: object) -> tuple[tuple[str, ...] | None, list[Record]]:
    """Return the names, and each record's number, fields, and text if it is malformed."""
    stream = io.BytesIO(content.encode() if isinstance(content, str) else content)
    records = CsvRecords(stream, CsvForm(**form), "a.csv")
    found: list[Record] = []
    for table in records.tables():
        for *fields, number, malformed in zip(
            *(column.to_pylist() for column in table.columns), strict=True
        ):
            found.append((number, fields, malformed))
    return records.names, sorted(found, key=lambda record: record[0])


def fields_of(content: bytes | str, **form: object) -> list[list[str | None]]:
    found = records_of(content, **form)[1]
    assert [number for number, _, malformed in found] == list(range(len(found)))
    assert [malformed for *_, malformed in found] == [None] * len(found)
    return [fields for _, fields, _ in found]


@pytest.mark.parametrize(
    ("content", "fields"),
    [
        ('a,b\n1,"two\nlines"\n2,x\n', [["1", "two\nlines"], ["2", "x"]]),
        ('a,b\n"two\nlines",1\n', [["two\nlines", "1"]]),
        ('a,b\r\n"two\r\nlines","three\n\nlines"\r\n', [["two\r\nlines", "three\n\nlines"]]),
        ('a,b\n"a ""word""",""""\n', [['a "word"', '"']]),
        ("a,b\n5\" pipe,6' pipe\n", [['5" pipe', "6' pipe"]]),
        ('a,b\n"C:\\",C:\\in\n', [["C:\\", "C:\\in"]]),
        ("a,b\n1,\n,2\n", [["1", None], [None, "2"]]),
        ('a,b\n"",x\n', [[None, "x"]]),
        ("a,b\n\n1,2\n  \n3,4", [["1", "2"], ["3", "4"]]),
        ("a,b\r1,2\r3,4\r", [["1", "2"], ["3", "4"]]),
        ("a\n1\n\n x\n", [["1"], [" x"]]),
        ("\ufeffa,b\n1,2\n", [["1", "2"]]),
        ("a,b\n", []),
        ("", []),
    ],
)
def test_fields_of_records(content: str, fields: list[list[str | None]]):
    assert fields_of(content) == fields


def test_record_with_wrong_width_is_malformed():
    _, found = records_of('a,b\n1,2\n3,4,5\n6\n"7\n8"\n9,10\n')
    assert found == [
        (0, ["1", "2"], None),
        (1, ["3", "4"], "3,4,5"),
        (2, ["6", None], "6"),
        (3, ["7\n8", None], '"7\n8"'),
        (4, ["9", "10"], None),
    ]


def test_text_after_closing_quote_is_malformed():
    _, found = records_of('a,b\n1,"x"y\n2,z\n')
    assert found == [(0, [None, None], '1,"x"y'), (1, ["2", "z"], None)]


def test_late_closing_quote_costs_one_line():
    _, found = records_of('a,b\n1,"open\n2,x\n3,"whole"\n4,y\n')
    assert found == [
        (0, [None, None], '1,"open'),
        (1, ["2", "x"], None),
        (2, ["3", "whole"], None),
        (3, ["4", "y"], None),
    ]


@pytest.mark.parametrize(
    ("content", "line"),
    [
        ('a,b\n1,2\n3,"x\n4,5\n', 3),
        ('a,b\n1,"x', 2),
        ('a,b\n"a\nb","x\n4,5\n', 3),
        ('a,b\r\n1,2\r\n"', 3),
        ("a,b\n" + "1,2\n" * 1000 + '3,"x\n' + "4,5\n" * 1000, 1002),
    ],
)
def test_unclosed_quote_states_its_line(content: str, line: int):
    with pytest.raises(BadData, match=f"a quote that is opened in line {line} is never closed"):
        records_of(content)


def test_oversized_record_is_bad_data():
    with pytest.raises(
        BadData, match=r"record in line 2 is larger than 0.0001 MB: a quote is opened in it"
    ):
        records_of('a,b\n1,"' + "x\n" * 200 + '"\n', max_characters=100)
    with pytest.raises(
        BadData, match=r"record in line 3 is larger than 0.0001 MB: it has no line break"
    ):
        records_of("a,b\n1,2\n1," + "x" * 200 + "\n", max_characters=100)


@pytest.mark.parametrize(
    "encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "windows-1252", "gb18030", "utf-32"]
)
def test_python_encodings_are_read(encoding: str):
    content = 'größe,b\n"ä\nö",ü\n'.encode(encoding)
    assert records_of(content, encoding=encoding) == (("größe", "b"), [(0, ["ä\nö", "ü"], None)])


def test_undecodable_bytes_make_the_record_malformed():
    _, found = records_of(b"a,b\n1,caf\xe9\n2,\xc3\xa9\n")
    assert found == [(0, ["1", "caf\ufffd"], "1,caf\ufffd"), (1, ["2", "é"], None)]
    _, found = records_of(b"a,b\n1,\x81\x20\n2,y\n", encoding="shift_jis")
    assert [record[2] is None for record in found] == [False, True]


@pytest.mark.parametrize(
    ("declared", "actual"), [("utf-16", "utf-8"), ("utf-16", "utf-16-le"), ("utf-32", "utf-8")]
)
def test_missing_byte_order_mark_is_refused(declared: str, actual: str):
    with pytest.raises(BadData, match=f"a.csv is not text in {declared}") as caught:
        records_of("a,b\n1,2\n".encode(actual), encoding=declared)
    assert "set source.encoding" in caught.value.remedy


def test_header_with_nul_characters_is_refused():
    with pytest.raises(
        BadData, match="the header has NUL characters, so the file is not text in utf-8"
    ):
        records_of("a,b\n1,2\n".encode("utf-16"))


@pytest.mark.parametrize(
    ("encoding", "content"), [("utf-7", b"a,b\n+2AA-,2\n"), ("unicode_escape", b"a,b\n\\ud800,2\n")]
)
def test_lone_surrogate_makes_the_record_malformed(encoding: str, content: bytes):
    assert records_of(content, encoding=encoding)[1] == [(0, ["\ufffd", "2"], "\ufffd,2")]


@pytest.mark.parametrize("odd", ["", '1\t"2"x\t3\n'])
def test_line_of_delimiters_is_a_record(odd: str):
    _, found = records_of(f"a\tb\tc\n{odd}\t\t\n\t\n  \n1\t2\t3\n", delimiter="\t")
    none = [None, None, None]
    assert [record[1:] for record in found][bool(odd) :] == [
        (none, None),
        (none, "\t"),
        (["1", "2", "3"], None),
    ]


def test_many_malformed_records_are_read_fast():
    rows = 20_000
    content = "a,b\n" + '1,"x"y\n1,2\n1,2\n' * rows
    start = time.process_time()
    assert len(records_of(content)[1]) == 3 * rows
    assert time.process_time() - start < 5


def test_skipped_rows_or_comments_are_omitted():
    content = '"report, of May\n\nstarted,n\n1,2\n# note, a\n3,4\nTotal,6\n'
    assert fields_of(content, skip_rows=2, comment=("#", "Total")) == [["1", "2"], ["3", "4"]]
    assert fields_of('a,b\n1,"x\n# no comment"\n', comment=("#",)) == [["1", "x\n# no comment"]]


def test_columns_without_a_name_are_numbered():
    names, _ = records_of(",a,b,\n1,2,3,\n")
    assert names == ("_c0", "a", "b", "_c3")


def test_file_without_header_gets_given_names():
    assert records_of("1,2\n", names=("x", "y")) == (("x", "y"), [(0, ["1", "2"], None)])


@pytest.mark.parametrize("delimiter", ["||", ";", "\t", "¦", "::"])
def test_delimiter_may_have_several_characters(delimiter: str):
    content = f'a{delimiter}b\n1{delimiter}"x{delimiter}y"\n'
    assert fields_of(content, delimiter=delimiter) == [["1", f"x{delimiter}y"]]


@given(
    table=st.integers(1, 4).flatmap(
        lambda width: st.lists(
            st.lists(st.text("ab,;\"\n\r é#'1\u2028", max_size=6), min_size=width, max_size=width),
            max_size=12,
        )
    ),
    block=st.sampled_from([3, 17, 64, 1000]),
    line_end=st.sampled_from(["\n", "\r\n"]),
)
@settings(max_examples=2000, deadline=None)
def test_output_of_csv_module_is_read_back(table: list[list[str]], block: int, line_end: str):
    width = len(table[0]) if table else 2
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator=line_end, quoting=csv.QUOTE_ALL)
    writer.writerows([[f"n{place}" for place in range(width)], *table])
    usual, csv_text.BLOCK = csv_text.BLOCK, block
    try:
        found = fields_of(text.getvalue())
    finally:
        csv_text.BLOCK = usual
    assert found == [[field or None for field in row] for row in table]


@given(content=st.text('ab,"\n\r é', max_size=60), block=st.sampled_from([3, 17, 1000]))
@settings(max_examples=2000, deadline=None)
def test_block_size_does_not_change_the_result(content: str, block: int):
    def read() -> object:
        try:
            return records_of("a,b\n" + content)
        except BadData as error:
            return error.message

    whole = read()
    usual, csv_text.BLOCK = csv_text.BLOCK, block
    try:
        assert read() == whole
    finally:
        csv_text.BLOCK = usual


def zipped(content: bytes, *names: str) -> bytes:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        for name in names:
            archive.writestr(name, content)
    return packed.getvalue()


def deflated64(content: bytes) -> bytes:
    """Return an archive as Windows writes it for large files, with a rare method's number."""
    version = b"\x14\0\0\0"
    return zipped(content, "a.csv").replace(version + b"\0\0", version + b"\x09\0")


CONTENT = b"a,b\n" + b"1,2\n" * 500


@pytest.mark.parametrize(
    "packed",
    [
        gzip.compress(CONTENT),
        bz2.compress(CONTENT),
        lzma.compress(CONTENT),
        pa.compress(CONTENT, "zstd", asbytes=True),
        zipped(CONTENT, "a.csv"),
        CONTENT,
    ],
    ids=["gzip", "bzip2", "xz", "zstd", "zip", "plain"],
)
def test_compression_is_detected_by_content(tmp_path: Path, packed: bytes):
    path = tmp_path / "a.csv"
    path.write_bytes(packed)
    with open_unpacked(path, "a.csv") as stream:
        assert len(fields_of(stream.read())) == 500


def zstandard(content: bytes) -> bytes:
    return pa.compress(content, "zstd", asbytes=True)


@pytest.mark.parametrize("pack", [gzip.compress, bz2.compress, lzma.compress, zstandard])
def test_truncated_compressed_file_is_damaged(tmp_path: Path, pack):
    path = tmp_path / "a.csv.gz"
    path.write_bytes(pack(bytes(range(256)) * 400)[:-30])
    message = r"a\.csv\.gz cannot be read: its \w+ packing is cut off or damaged"
    with pytest.raises(BadData, match=message), open_unpacked(path, "a.csv.gz") as stream:
        stream.read()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (zipped(b"", "[Content_Types].xml", "xl/workbook.xml"), "is an Excel workbook"),
        (
            zipped(b"a", "a.csv").replace(b"\x14\x03\x14", b"\x14\x03\xff"),
            "cannot be read: its zip packing is .* damaged",
        ),
        (zipped(b"a", "a.csv")[:-6] + b"\xff" * 6, "cannot be read: its zip packing is .* damaged"),
        (zipped(b"a", "a.csv", "b.csv"), "is a zip archive of 2 files: a.csv, b.csv"),
        (
            b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + b"\0" * 600,
            "is an Excel workbook of an old version",
        ),
        (b"PAR1" + b"\0" * 50, r"is a parquet file \(kind: parquet\)"),
        (b"\n<!DOCTYPE html><html>maintenance</html>", "is a web page"),
        (b"%PDF-1.7", "is a PDF"),
        (b"a.csv" + b"\0" * 252 + b"ustar  ", "is a tar archive"),
        (gzip.compress(b"<html>maintenance</html>"), "is a web page"),
        (gzip.compress(gzip.compress(CONTENT)), r"is packed twice \(gzip, gzip\)"),
        (zipped(zipped(b"", "[Content_Types].xml"), "a.xlsx"), r"is packed twice \(zip, zip\)"),
        (deflated64(b"a"), r"is a zip archive that is packed by a rare method \(number 9\)"),
    ],
)
def test_other_format_is_refused_by_name(tmp_path: Path, content: bytes, message: str):
    path = tmp_path / "a.csv"
    path.write_bytes(content)
    with pytest.raises(BadData, match=f"a.csv {message}"), open_unpacked(path, "a.csv"):
        pass
