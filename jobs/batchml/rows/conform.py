"""Read the columns of a source as the declared ones, each cell converted to its declared type."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F
from pyspark.sql.types import DataType, StringType, StructType, TimestampType

from batchml.config.columns import Column as Declared
from batchml.config.columns import misfit_reason
from batchml.rows import cells
from batchml.rows.cell_values import Cell, as_text
from batchml.rows.columns import column
from batchml.rows.matching import Matched, folded, match, other_columns
from batchml.rows.reasons import any_of, failing
from batchml.rows.schemas import UNDECLARED


@dataclass(frozen=True)
class Form:
    """The form of a source's values: texts for null, patterns of dates, zone of its wall clocks.

    In a text format (``is_text``) every column is a string, which is not reported as a difference.
    """

    nulls: tuple[str, ...] = ()
    formats: Mapping[str, str] = field(default_factory=dict)
    zone: str = "UTC"
    is_text: bool = False


@dataclass(frozen=True)
class Conformed:
    """The declared columns of a source.

    ``originals`` contains, per column whose cells may not fit, the text of a cell as received. The
    expressions are for the frame that ``compute`` returns.
    """

    cells: dict[str, Cell]
    originals: dict[str, Column]
    differences: tuple[str, ...]
    undeclared: tuple[str, ...]
    types: Mapping[str, Declared]
    original_names: dict[str, str] = field(default_factory=dict)
    """The key of a cell's text, if it is not the column's name."""

    def compute(self, raw: DataFrame) -> DataFrame:
        """Add the value of each cell, and whether it fits.

        They are in separate projections, so that Spark computes each of them once for all
        expressions that use it.
        """
        values = {}
        misfits = {}
        for name, cell in self.cells.items():
            values[_value(name)] = cell.value
            misfit = cell.misfit(column(_value(name)))
            if misfit is not None:
                misfits[_misfit(name)] = misfit
        return raw.withColumns(values).withColumns(misfits)

    @property
    def values(self) -> list[Column]:
        """Return the declared columns, in their order."""
        return [column(_value(name)).alias(name) for name in self.cells]

    @property
    def reasons(self) -> Column:
        """Return the reasons of a row, one for each cell that does not fit."""
        conditions = {}
        for name in self.originals:
            reason = misfit_reason(name, self.types[name].type)
            conditions[reason] = column(_misfit(name))
        return failing(conditions)

    @property
    def leftovers(self) -> Column:
        """Return undeclared fields and the texts of cells that do not fit, as one JSON object.

        The result is null if a row has neither.
        """
        misfits = []
        texts = []
        for name, original in self.originals.items():
            misfit = column(_misfit(name))
            misfits.append(misfit)
            key = self.original_names.get(name, name)
            texts.append(F.when(misfit, original).alias(key))

        if self.undeclared:
            others = [column(name).alias(name) for name in self.undeclared]
            both = F.to_json(F.struct(others + texts))
            return F.nullif(both, F.lit("{}"))
        if texts:
            has_misfit = any_of(misfits)
            return F.when(has_misfit, F.to_json(F.struct(texts)))
        return F.lit(None).cast("string")


@dataclass(frozen=True)
class _SourceColumn:
    """A column under the name and with the type that the source gives it."""

    name: str
    type: DataType

    @property
    def cell(self) -> Column:
        return column(self.name)


def _value(name: str) -> str:
    return f"batchml: value of {name}"


def _misfit(name: str) -> str:
    return f"batchml: misfit of {name}"


def conform(
    received: StructType,
    declared: Mapping[str, Declared],
    where: str,
    form: Form = Form(),
) -> Conformed:
    """Return how to read a source of schema ``received`` as the ``declared`` columns.

    Raise BadData that lists every column that is missing or can never be converted.
    """
    matched = match(received.fieldNames(), declared, where)
    sources = {field.name: _SourceColumn(field.name, field.dataType) for field in received}
    values: dict[str, Cell] = {}
    originals: dict[str, Column] = {}
    differences = list(matched.differences)
    problems = list(matched.problems)
    for name, declaration in declared.items():
        spelling = matched.columns[name]
        if spelling is None:
            values[name] = _null(declaration)
            continue
        source = sources[spelling]
        cell = _converted(source, name, declaration, form)
        if cell is None:
            problems.append(_inconvertible(source, declaration))
            continue

        values[name] = cell
        if cell.received is not None:
            originals[name] = as_text(source.cell, source.type)
        if not form.is_text:
            differences += _differences(source, name, declaration, form)

    if problems:
        raise other_columns(where, problems)
    differences += _undeclared(matched)
    original_names = _original_names(originals, matched)
    undeclared = matched.undeclared
    return Conformed(
        values, originals, tuple(differences), undeclared, dict(declared), original_names
    )


def _undeclared(matched: Matched) -> list[str]:
    return [
        f"{name} is not declared, kept as JSON in {UNDECLARED!r}" for name in matched.undeclared
    ]


def _null(declaration: Declared) -> Cell:
    target = cells.SPARK_TYPES[declaration.type]
    return Cell(F.lit(None).cast(target))


def _original_names(originals: Iterable[str], matched: Matched) -> dict[str, str]:
    """Return the key of a cell's text where it is not the column's name.

    An undeclared column may have the declared name, and a key must be unique in JSON.
    """
    undeclared = {folded(name) for name in matched.undeclared}
    names = {}
    for name in originals:
        spelling = matched.columns[name]
        if spelling is not None and folded(name) in undeclared:
            names[name] = spelling
    return names


def _converted(source: _SourceColumn, name: str, declaration: Declared, form: Form) -> Cell | None:
    cell = source.cell
    target = declaration.type
    is_string = isinstance(source.type, StringType)
    if is_string and form.nulls:
        is_null = F.trim(cell).isin(list(form.nulls))
        cell = F.when(~is_null, cell)
    if declaration.epoch is not None:
        return cells.convert_epoch(cell, source.type, declaration, form.zone)
    if is_string and name in form.formats:
        pattern = form.formats[name]
        return cells.convert_formatted(cell, target, pattern, form.zone)
    return cells.convert(cell, source.type, target, form.zone)


def _inconvertible(source: _SourceColumn, declaration: Declared) -> str:
    target = declaration.type
    type_ = source.type.simpleString()
    problem = f"column {source.name!r} is {type_}, which cannot be cast to {target}"
    if isinstance(source.type, cells.Integer) and target == "timestamp_ntz":
        return (
            f"{problem}; if it counts from 1970, declare it as {{type: {target}, epoch: ms}} "
            "(or s, us, ns)"
        )
    return problem


def _differences(source: _SourceColumn, name: str, declaration: Declared, form: Form) -> list[str]:
    target = cells.SPARK_TYPES[declaration.type]
    if source.type == target or declaration.epoch is not None:
        return []
    if isinstance(source.type, TimestampType):
        return [f"{name} is an instant, read as wall-clock time of {form.zone}"]
    return [f"{name} is {source.type.simpleString()}, cast to {target.simpleString()}"]
