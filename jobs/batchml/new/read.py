"""Reads the whole of a file: its rows, its columns by type, and what of it the pipeline's reader could not take."""

from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
import pyarrow.parquet as pq

from batchml.errors import BadData
from batchml.new import columns
from batchml.new.columns import Column
from batchml.new.csv_form import CsvForm, fitting_names, look_at
from batchml.new.obtain import kind_of

# What is widely written for no value; the second kind only where all else in a column is numbers or dates.
SURE = ("?", "NA", "N/A", "n/a", "NaN", "nan", "NAN", "null", "NULL", "#N/A", "<NA>")
PERHAPS = ("-", "--", ".", "na", "None", "none", "unknown", "Unknown")
LEAST_ROWS = 20
MOST_MALFORMED = 0.2


@dataclass(frozen=True)
class Delivered:
    """A file as it was found. ``form`` is None for parquet.

    ``nulls`` are the texts that stand for no value, with how often they do: the empty one for nothing but spaces.
    ``malformed`` lines have more or fewer
    fields than the first. ``changes`` say in what the landed copy must differ from the file for Spark to read it.
    ``undeclared`` are columns that no pipeline can declare.
    """

    path: Path
    columns: tuple[Column, ...]
    form: CsvForm | None
    nulls: dict[str, int]
    malformed: int
    changes: tuple[str, ...]
    rewrites_rows: bool
    undeclared: tuple[str, ...] = ()

    @property
    def rows(self) -> int:
        """Rows that are well formed."""
        return self.columns[0].rows

    @property
    def kind(self) -> str:
        return "parquet" if self.form is None else "csv"


def read(path: Path, label: str, shown: str) -> Delivered:
    """What the file holds. Raises BadData for a file that cannot be read or is too short to learn from."""
    found = (
        _read_parquet(path, shown)
        if kind_of(path, shown) == "parquet"
        else _read_csv(path, label, shown)
    )
    if found.rows < LEAST_ROWS:
        raise BadData(
            f"{shown} has {found.rows} rows: too few to learn from and to judge on (at least {LEAST_ROWS})"
        )
    return found


def _read_csv(path: Path, label: str, shown: str) -> Delivered:
    form = look_at(path, label, shown)
    given = form.header or [f"column_{number}" for number in range(1, form.width + 1)]
    names = fitting_names(given)
    raw, malformed = _fields(path, form, names, shown)
    form, raw = _without_spaces(form, raw)
    texts = {name: pc.utf8_trim(array, characters=" ") for name, array in raw.items()}
    breaks, quotes = _count(raw, r"[\r\n]"), _count(raw, '"')
    if breaks:
        raw = {
            name: pc.replace_substring_regex(array, r"[\r\n]+", " ") for name, array in raw.items()
        }
    blank = _count(raw, "^ +$")
    nulls = _nulls(texts) | ({"": blank} if blank else {})
    parts = zip(names, given, raw.values(), strict=True)
    changes = _renamed(names, given if form.header is not None else names)
    changes += (
        [f"it is UTF-8; the file is {form.codec}"] if form.codec in ("cp1252", "utf-16") else []
    )
    changes += (
        [f"line breaks inside {breaks:,} fields are spaces: Spark ends a row at each"]
        if breaks
        else []
    )
    changes += [f"quotes inside {quotes:,} fields are doubled"] if quotes else []
    return Delivered(
        path=path,
        columns=tuple(
            columns.from_text(name, original, array, nulls) for name, original, array in parts
        ),
        form=form,
        nulls=nulls,
        malformed=malformed,
        changes=tuple(changes),
        rewrites_rows=bool(breaks or quotes),
    )


def _fields(path: Path, form: CsvForm, names: list[str], shown: str) -> tuple[dict[str, Any], int]:
    """All fields as text by column, and how many lines have more or fewer than there are columns."""
    malformed: list[int] = []

    def skip(row: Any) -> str:
        malformed.append(row.actual_columns)
        return "skip"

    try:
        table = pyarrow.csv.read_csv(
            path,
            pyarrow.csv.ReadOptions(
                column_names=names,
                skip_rows=form.header_lines,
                encoding=form.codec.removesuffix("-sig"),
            ),
            pyarrow.csv.ParseOptions(
                delimiter=form.delimiter, newlines_in_values=True, invalid_row_handler=skip
            ),
            pyarrow.csv.ConvertOptions(
                column_types=dict.fromkeys(names, pa.string()), strings_can_be_null=False
            ),
        )
    except (pa.ArrowInvalid, UnicodeError) as error:
        raise BadData(f"{shown} cannot be read as CSV", str(error)) from error
    if len(malformed) > MOST_MALFORMED * (len(malformed) + table.num_rows):
        width, size = Counter(malformed).most_common(1)[0]
        raise BadData(
            f"{shown}: {len(malformed):,} lines have another number of fields than the first, which has {len(names)} "
            f"(delimiter {form.delimiter!r})",
            f"{size:,} of them have {width}",
            remedy="take away what stands above the header, or correct these lines",
        )
    return {name: table[name].combine_chunks() for name in names}, len(malformed)


def _without_spaces(form: CsvForm, raw: dict[str, Any]) -> tuple[CsvForm, dict[str, Any]]:
    """A space behind every comma belongs to the delimiter."""
    first, *others = raw
    if form.delimiter != "," or not others:
        return form, raw
    if not all(pc.all(pc.starts_with(raw[name], " ")).as_py() for name in others):
        return form, raw
    without = {name: pc.utf8_slice_codeunits(raw[name], 1) for name in others}
    return CsvForm(form.codec, form.encoding, ", ", form.header, form.header_lines, form.width), {
        first: raw[first]
    } | without


def _nulls(texts: dict[str, Any]) -> dict[str, int]:
    """The texts that stand for no value, with their number."""
    found: Counter[str] = Counter()
    for array in texts.values():
        counts = {
            pair["values"]: pair["counts"]
            for pair in pc.value_counts(array).to_pylist()
            if pair["values"]
        }
        present = [text for text in SURE if text in counts]
        perhaps = [text for text in PERHAPS if text in counts]
        if perhaps and columns.is_telling(
            [text for text in counts if text not in (*SURE, *PERHAPS)]
        ):
            present += perhaps
        found.update({text: counts[text] for text in present})
    return dict(found)


def _count(arrays: dict[str, Any], pattern: str) -> int:
    return sum(
        int(pc.sum(pc.match_substring_regex(array, pattern)).as_py() or 0)
        for array in arrays.values()
    )


def _renamed(names: list[str], given: list[str] | tuple[str, ...]) -> list[str]:
    renamed = [f"{old!r} is {new}" for new, old in zip(names, given, strict=True) if new != old]
    return (
        [f"columns have names that Spark and Delta take: {', '.join(renamed)}"] if renamed else []
    )


def _read_parquet(path: Path, shown: str) -> Delivered:
    try:
        table = pq.read_table(path)
    except (pa.ArrowInvalid, OSError) as error:
        raise BadData(f"{shown} is no readable parquet file", str(error)) from error
    given = table.column_names
    names = fitting_names(given)
    if not table.num_columns:
        raise BadData(f"{shown} has no columns")
    found = {
        name: columns.from_arrow(name, original, table[number].combine_chunks())
        for number, (name, original) in enumerate(zip(names, given, strict=True))
    }
    fine = [
        field.name
        for field in table.schema
        if pa.types.is_timestamp(field.type) and field.type.unit == "ns"
    ]
    times = [field.name for field in table.schema if pa.types.is_time(field.type)]
    changes = _renamed(names, given)
    changes += (
        [f"{', '.join(fine)}: microseconds, as Spark does not read nanoseconds"] if fine else []
    )
    changes += [f"{', '.join(times)}: text, as Delta has no times of day"] if times else []
    return Delivered(
        path=path,
        columns=tuple(column for column in found.values() if column is not None),
        form=None,
        nulls={},
        malformed=0,
        changes=tuple(changes),
        rewrites_rows=bool(changes),
        undeclared=tuple(name for name, column in found.items() if column is None),
    )
