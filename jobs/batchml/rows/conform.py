"""Bring the columns of a source to the declared ones: found by name, each cell converted."""

import difflib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F
from pyspark.sql import types as T

from batchml.config.pipeline import Column as Declared
from batchml.config.pipeline import misfit_reason
from batchml.errors import BadData
from batchml.rows import cells
from batchml.rows.cells import Cell
from batchml.rows.reasons import any_of, failing
from batchml.rows.schemas import UNDECLARED


@dataclass(frozen=True)
class Form:
    """How a source writes its values: texts that mean none, patterns of dates, and the zone of its wall clocks."""

    nulls: tuple[str, ...] = ()
    formats: Mapping[str, str] = field(default_factory=dict)
    zone: str = "UTC"


@dataclass(frozen=True)
class Matched:
    """Which column of a source each declared one is; None for one that is absent."""

    columns: dict[str, str | None]
    differences: tuple[str, ...]
    undeclared: tuple[str, ...]
    problems: tuple[str, ...]
    """One for each column that is missing and not optional."""


@dataclass(frozen=True)
class Conformed:
    """The declared columns of a source.

    ``originals`` holds, per column whose cells may not fit, the text of a cell as it was received. The expressions are
    for the frame that ``compute`` returns.
    """

    cells: dict[str, Cell]
    originals: dict[str, Column]
    differences: tuple[str, ...]
    undeclared: tuple[str, ...]
    types: Mapping[str, Declared]
    original_names: dict[str, str] = field(default_factory=dict)
    """The key of a cell's text where it is not the column's name."""

    def compute(self, raw: DataFrame) -> DataFrame:
        """Add the value of each cell, and whether it fits.

        They are in separate projections, so that Spark computes each of them once for all
        expressions that use it.
        """
        values = {_value(name): cell.value for name, cell in self.cells.items()}
        misfits = {
            _misfit(name): misfit
            for name, cell in self.cells.items()
            if (misfit := cell.misfit(column(_value(name)))) is not None
        }
        return raw.withColumns(values).withColumns(misfits)

    @property
    def values(self) -> list[Column]:
        """Return the declared columns, in their order."""
        return [column(_value(name)).alias(name) for name in self.cells]

    @property
    def reasons(self) -> Column:
        """The reasons of a row, one for each cell that does not fit."""
        return failing(
            {
                misfit_reason(name, self.types[name].type): column(_misfit(name))
                for name in self.originals
            }
        )

    @property
    def leftovers(self) -> Column:
        """As one JSON object, what is not declared and the text of each cell that does not fit; null if neither."""
        misfits = [column(_misfit(name)) for name in self.originals]
        texts = [
            F.when(misfit, original).alias(self.original_names.get(name, name))
            for misfit, (name, original) in zip(misfits, self.originals.items(), strict=True)
        ]
        if self.undeclared:
            others = [column(name).alias(name) for name in self.undeclared]
            return F.nullif(F.to_json(F.struct(*others, *texts)), F.lit("{}"))
        if texts:
            return F.when(any_of(misfits), F.to_json(F.struct(*texts)))
        return F.lit(None).cast("string")


def _value(name: str) -> str:
    return f"batchml: value of {name}"


def _misfit(name: str) -> str:
    return f"batchml: misfit of {name}"


def column(name: str) -> Column:
    """Return the column ``name``, whatever characters are in it."""
    return F.col(quoted(name))


def quoted(name: str) -> str:
    """Return the name of a column as SQL has it, whatever characters are in it."""
    doubled = name.replace("`", "``")
    return f"`{doubled}`"


def match(found: Iterable[str], declared: Mapping[str, Declared], where: str) -> Matched:
    """Find the ``declared`` columns among the names of a source, without regard to case and surrounding spaces.

    Raise BadData that lists every name that is there twice.
    """
    names = list(found)
    by_folded: dict[str, list[str]] = {}
    for name in names:
        by_folded.setdefault(_folded(name), []).append(name)
    doubled = [spellings for spellings in by_folded.values() if len(spellings) > 1]
    if doubled:
        raise BadData(
            f"{where}: a column is there twice",
            *(" and ".join(repr(name) for name in spellings) for spellings in doubled),
            remedy="names differ in more than case and surrounding spaces: correct the file",
        )

    columns: dict[str, str | None] = {}
    differences: list[str] = []
    for name, wanted in declared.items():
        received = wanted.name_in_source(name)
        columns[name] = next(iter(by_folded.get(_folded(received), ())), None)
        if columns[name] is None and wanted.optional:
            differences.append(f"{name} is absent, read as null")
        elif columns[name] not in (None, received):
            differences.append(f"{name} is spelled {columns[name]!r}")

    undeclared = tuple(name for name in names if name not in columns.values())
    problems = [
        _missing(name, wanted, undeclared)
        for name, wanted in declared.items()
        if columns[name] is None and not wanted.optional
    ]
    return Matched(columns, tuple(differences), undeclared, tuple(problems))


def other_columns(where: str, problems: Iterable[str]) -> BadData:
    """Return the error for a source that does not have the declared columns."""
    return BadData(
        f"{where}: the file does not have the declared columns",
        *problems,
        remedy="correct the file, or the declared columns in the pipeline's YAML (from: NAME for another name in the "
        "source, optional: true for a column that may be absent, type: for its real type)",
    )


def _missing(name: str, wanted: Declared, others: Iterable[str]) -> str:
    received = wanted.name_in_source(name)
    candidates = {_folded(other): other for other in others}
    close = difflib.get_close_matches(_folded(received), candidates, n=1, cutoff=0.5)
    if close:
        hint = f"; the nearest is {candidates[close[0]]!r}"
    else:
        hint = f"; there is {', '.join(sorted(candidates.values()))}" if candidates else ""
    return f"column {received!r} is missing (declared as {wanted.type}){hint}"


def conform(
    found: T.StructType,
    declared: Mapping[str, Declared],
    where: str,
    form: Form = Form(),
    *,
    is_text: bool = False,
) -> Conformed:
    """Return how to read a source of schema ``found`` as the ``declared`` columns.

    In a text format (``is_text``) every column is a string, which is no difference worth a word.
    Raise BadData that lists every column that is missing or can never be converted.
    """
    matched = match(found.fieldNames(), declared, where)
    types = {field.name: field.dataType for field in found}
    conformed = Conformed({}, {}, (), matched.undeclared, dict(declared))
    differences = list(matched.differences)
    problems = list(matched.problems)
    for name, wanted in declared.items():
        received = matched.columns[name]
        if received is None:
            conformed.cells[name] = Cell(F.lit(None).cast(cells.SPARK_TYPES[wanted.type]))
            continue
        source = types[received]
        cell = _converted(column(received), source, name, wanted, form)
        if cell is None:
            problems.append(_inconvertible(received, source, wanted))
            continue
        conformed.cells[name] = cell
        if cell.received is not None:
            # JSON has one key for a name: an undeclared column may have the declared name of this one.
            if _folded(name) in map(_folded, matched.undeclared):
                conformed.original_names[name] = received
            conformed.originals[name] = cells.as_text(column(received), source)
        if not is_text:
            differences += _difference(name, source, wanted, form.zone)
    if problems:
        raise other_columns(where, problems)
    differences += [
        f"{name} is not declared, kept as JSON in {UNDECLARED!r}" for name in matched.undeclared
    ]
    return replace(conformed, differences=tuple(differences))


def _converted(
    cell: Column, source: T.DataType, name: str, wanted: Declared, form: Form
) -> Cell | None:
    if isinstance(source, T.StringType) and form.nulls:
        cell = F.when(~F.trim(cell).isin(*form.nulls), cell)
    if wanted.epoch is not None:
        return cells.convert_epoch(cell, source, wanted.type, wanted.epoch, form.zone)
    if isinstance(source, T.StringType) and name in form.formats:
        return cells.convert_formatted(cell, wanted.type, form.formats[name], form.zone)
    return cells.convert(cell, source, wanted.type, form.zone)


def _inconvertible(name: str, source: T.DataType, wanted: Declared) -> str:
    problem = f"column {name!r} is {source.simpleString()}, which cannot be cast to {wanted.type}"
    if isinstance(source, cells.Integer) and wanted.type == "timestamp_ntz":
        return f"{problem}; if it counts from 1970, declare it as {{type: {wanted.type}, epoch: ms}} (or s, us, ns)"
    return problem


def _difference(name: str, source: T.DataType, wanted: Declared, zone: str) -> list[str]:
    target = cells.SPARK_TYPES[wanted.type]
    if source == target or wanted.epoch is not None:
        return []
    if isinstance(source, T.TimestampType):
        return [f"{name} is an instant, read as wall-clock time of {zone}"]
    return [f"{name} is {source.simpleString()}, cast to {target.simpleString()}"]


def _folded(name: str) -> str:
    return name.strip().casefold()
