"""The copy in the landing folder: as the file is, or with what Spark could not read written as it can."""

import csv
import filecmp
import re
import shutil
from pathlib import Path
from typing import TextIO

import pyarrow as pa
import pyarrow.parquet as pq

from batchml.errors import BadData
from batchml.new.csv_form import CsvForm, fitting_names
from batchml.new.read import Delivered


def write_copy(found: Delivered, target: Path) -> None:
    """The file in ``target``, which is whole when this returns. Raises BadData for what the csv module refuses."""
    if found.form is None and found.changes:
        _write_parquet(found.path, target)
    elif found.form is not None and (found.changes or found.form.codec == "utf-8-sig"):
        try:
            _write_csv(found, found.form, target)
        except csv.Error as error:
            raise BadData(f"{found.path.name} cannot be read as CSV", str(error)) from error
    else:
        shutil.copyfile(found.path, target)


def is_same(one: Path, other: Path) -> bool:
    """Whether both files are there and hold the same."""
    return one.is_file() and other.is_file() and filecmp.cmp(one, other, shallow=False)


def _write_csv(found: Delivered, form: CsvForm, target: Path) -> None:
    names = [column.name for column in found.columns]
    with (
        found.path.open(encoding=form.codec, newline="") as source,
        target.open("w", encoding=form.encoding, newline="") as copy,
    ):
        if form.header is not None:
            for _ in range(form.header_lines):
                source.readline()
            copy.write(form.delimiter.join(names) + "\n")
        if found.rewrites_rows:
            _write_rows(source, copy, form.delimiter)
        else:
            shutil.copyfileobj(source, copy)


def _write_rows(source: TextIO, copy: TextIO, delimiter: str) -> None:
    for row in csv.reader(source, delimiter=delimiter[0], skipinitialspace=len(delimiter) > 1):
        if row:
            copy.write(delimiter.join(_field(text, delimiter) for text in row) + "\n")


def _field(text: str, delimiter: str) -> str:
    """A field as the source's reader takes it: on one line, in quotes where needed, and in these each quote doubled."""
    text = re.sub(r"[\r\n]+", " ", text)
    if not any(mark in text for mark in (delimiter[0], '"')):
        return text
    doubled = text.replace('"', '""')
    return f'"{doubled}"'


def _write_parquet(path: Path, target: Path) -> None:
    table = pq.read_table(path)
    table = table.rename_columns(fitting_names(table.column_names))
    for number, field in enumerate(table.schema):
        if pa.types.is_time(field.type):
            table = table.set_column(number, field.name, table[number].cast(pa.string()))
    pq.write_table(table, target, coerce_timestamps="us", allow_truncated_timestamps=True)
