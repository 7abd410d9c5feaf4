"""The schema of every table, and how a received frame is brought to the declared one."""

from collections.abc import Mapping
from dataclasses import dataclass

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F
from pyspark.sql import types as T

from batchml.config import Column as Declared
from batchml.config import Pipeline
from batchml.errors import BadData

SPARK_TYPES: dict[str, T.DataType] = {
    "string": T.StringType(),
    "int": T.IntegerType(),
    "long": T.LongType(),
    "double": T.DoubleType(),
    "boolean": T.BooleanType(),
    "date": T.DateType(),
    "timestamp_ntz": T.TimestampNTZType(),
}
# Casts that keep every value, so that no row need be looked at.
WIDENING = {
    ("void", "*"),
    ("*", "string"),
    ("tinyint", "int"),
    ("smallint", "int"),
    ("tinyint", "bigint"),
    ("smallint", "bigint"),
    ("int", "bigint"),
    ("tinyint", "double"),
    ("smallint", "double"),
    ("int", "double"),
    ("float", "double"),
    ("date", "timestamp_ntz"),
    ("timestamp", "timestamp_ntz"),
}
UNDECLARED = "undeclared"


def _fields(types: Mapping[str, str]) -> list[T.StructField]:
    return [T.StructField(name, SPARK_TYPES[type_]) for name, type_ in types.items()]


def bronze(pipeline: Pipeline) -> T.StructType:
    """Return the columns of rows as received: lineage, declared columns, the rest as JSON."""
    lineage = {"event_date": "date", "source_file": "string", "source_row": "long"}
    declared = {name: column.type for name, column in pipeline.columns.items()}
    return T.StructType([*_fields(lineage | declared), T.StructField(UNDECLARED, T.StringType())])


def silver(pipeline: Pipeline) -> T.StructType:
    """Return the columns of rows that pass every check, which are those of bronze."""
    return bronze(pipeline)


def quarantine(pipeline: Pipeline) -> T.StructType:
    """Return the columns of rows that fail a check, with the names of the failed checks."""
    reasons = T.StructField("reasons", T.ArrayType(T.StringType()))
    return T.StructType([*bronze(pipeline).fields, reasons])


def features(pipeline: Pipeline) -> T.StructType:
    """Return the key, the inputs, the label, and the columns of the gate's slices."""
    types = pipeline.column_types
    judged_by = (*pipeline.slices, *filter(None, [pipeline.gate.baseline]))
    names = dict.fromkeys((*pipeline.key, *pipeline.inputs.columns, pipeline.label, *judged_by))
    return T.StructType(_fields({"event_date": "date"} | {name: types[name] for name in names}))


def predictions(pipeline: Pipeline) -> T.StructType:
    """Return the columns of a scored row; ``label`` is null while the truth is unknown."""
    types = pipeline.column_types
    answer = pipeline.prediction_type
    columns = {"event_date": "date"} | {name: types[name] for name in pipeline.key}
    columns |= {"prediction": answer, "label": answer, "model_version": "long"}
    return T.StructType(_fields(columns))


def drift() -> T.StructType:
    """Return the columns of a finding, of which a date has one per subject and measure.

    ``batchml.models.drift`` defines the measures. ``subject`` is an input, ``prediction``, or
    ``rows``. ``expected`` is the value at training, or the promised error.
    """
    columns = {"event_date": "date", "subject": "string", "measure": "string", "value": "double", "expected": "double"}
    return T.StructType(_fields(columns | {"level": "string", "rows": "long", "model_version": "long"}))


def verdicts() -> T.StructType:
    """Return the columns of the gate's last verdict on a version.

    Its date is the one the version was trained up to. ``metric`` is the gate's; ``champion`` is
    null if there was no champion to compare with.
    """
    columns = {"event_date": "date", "model_version": "long", "passed": "boolean", "reason": "string"}
    values = {"metric": "string", "challenger": "double", "champion": "double", "baseline": "double"}
    return T.StructType(_fields(columns | values))


def select(frame: DataFrame, schema: T.StructType) -> DataFrame:
    """Return the columns of ``schema``, in its order.

    Raise BadData that lists every missing or differing column.
    """
    found = {field.name: field.dataType for field in frame.schema}
    problems = [f"column {field.name!r} is missing" for field in schema if field.name not in found]
    problems += [
        f"column {field.name!r} is {found[field.name].simpleString()}, expected {field.dataType.simpleString()}"
        for field in schema
        if field.name in found and found[field.name].simpleString() != field.dataType.simpleString()
    ]
    if problems:
        raise BadData("the frame does not fit its table's schema", *problems)
    return frame.select(*schema.fieldNames())


@dataclass(frozen=True)
class Conformed:
    """A file brought to the declared columns.

    ``lossy`` holds, per column whose cast may lose something, a condition that is true where it does.
    """

    columns: dict[str, Column]
    differences: tuple[str, ...]
    lossy: dict[str, Column]
    undeclared: tuple[str, ...]


def conform(found: T.StructType, declared: Mapping[str, Declared], where: str, *, is_text: bool = False) -> Conformed:
    """Return how a file of schema ``found`` is read as the ``declared`` columns.

    In a text format (``is_text``) every column is a string, which is not reported as a difference.
    Raise BadData that lists every column that is missing or can never be cast.
    """
    by_name = {field.name: field.dataType for field in found}
    columns: dict[str, Column] = {}
    lossy: dict[str, Column] = {}
    differences: list[str] = []
    problems: list[str] = []
    for name, column in declared.items():
        target = SPARK_TYPES[column.type]
        source = by_name.get(name)
        if source is None and column.optional:
            columns[name] = F.lit(None).cast(target)
            differences.append(f"{name} is absent, read as null")
        elif source is None:
            problems.append(f"column {name!r} is missing (declared as {column.type})")
        elif isinstance(source, T.ArrayType | T.MapType | T.StructType | T.BinaryType):
            problems.append(f"column {name!r} is {source.simpleString()}, which cannot be cast to {column.type}")
        else:
            columns[name] = _known(_cast(name, source, target), target)
            if source != target and not is_text:
                differences.append(f"{name} is {source.simpleString()}, cast to {target.simpleString()}")
            if source != target and not _widens(source, target):
                lossy[name] = _loses(name, source, target)
    undeclared = tuple(name for name in by_name if name not in declared)
    differences += [f"{name} is not declared, kept as JSON in {UNDECLARED!r}" for name in undeclared]
    if problems:
        raise BadData(
            f"{where}: the file does not have the declared columns",
            *problems,
            remedy="correct the file, or declare the column under 'columns' in the pipeline's YAML (optional: true "
            "for one that may be absent)",
        )
    return Conformed(columns, tuple(differences), lossy, undeclared)


def undeclared_as_json(names: tuple[str, ...]) -> Column:
    """Return the columns ``names`` as one JSON object; null if there are none."""
    if not names:
        return F.lit(None).cast("string")
    return F.to_json(F.struct(*(F.col(f"`{name}`") for name in names)))


def _cast(name: str, source: T.DataType, target: T.DataType) -> Column:
    column = F.col(f"`{name}`")
    if isinstance(source, T.StringType) and not isinstance(target, T.StringType):
        return F.trim(column).try_cast(target)
    return column.try_cast(target) if not _widens(source, target) else column.cast(target)


def _known(value: Column, target: T.DataType) -> Column:
    """Replace NaN by null.

    pandas writes NaN for a missing value, and as a number it would pass every check.
    """
    return F.when(~F.isnan(value), value) if isinstance(target, T.DoubleType) else value


def _loses(name: str, source: T.DataType, target: T.DataType) -> Column:
    """Return the condition that the cast changes a value, or turns it into null."""
    column = F.col(f"`{name}`")
    cast = _cast(name, source, target)
    became_null = column.isNotNull() & cast.isNull()
    if isinstance(source, T.StringType):
        return became_null
    changed = ~column.eqNullSafe(cast.try_cast(source))
    return became_null | changed


def _widens(source: T.DataType, target: T.DataType) -> bool:
    pair = (source.simpleString(), target.simpleString())
    return bool({pair, (pair[0], "*"), ("*", pair[1])} & WIDENING)
