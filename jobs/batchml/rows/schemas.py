"""The schema of every table."""

from collections.abc import Mapping

from pyspark.sql import DataFrame
from pyspark.sql.types import ArrayType, StringType, StructField, StructType

from batchml.config import Pipeline
from batchml.errors import BadData
from batchml.rows.cells import SPARK_TYPES

UNDECLARED = "undeclared"


def _fields(types: Mapping[str, str]) -> list[StructField]:
    fields = []
    for name, type_ in types.items():
        fields.append(StructField(name, SPARK_TYPES[type_]))
    return fields


def bronze(pipeline: Pipeline) -> StructType:
    """Return the columns of rows as received, with the names of the checks each row fails."""
    names = ArrayType(StringType())
    fields = silver(pipeline).fields
    fields.append(StructField("reasons", names))
    fields.append(StructField("warnings", names))
    return StructType(fields)


def silver(pipeline: Pipeline) -> StructType:
    """Return the columns of rows that pass every check.

    They are the lineage, the declared columns, and the others as JSON.
    """
    lineage = {
        "event_date": "date",
        "source_file": "string",
        "source_row": "long",
    }
    declared = {name: column.type for name, column in pipeline.columns.items()}
    fields = _fields(lineage | declared)
    fields.append(StructField(UNDECLARED, StringType()))
    return StructType(fields)


def quarantine(pipeline: Pipeline) -> StructType:
    """Return the columns of rows that fail a check, with the names of the failed checks."""
    names = ArrayType(StringType())
    fields = silver(pipeline).fields
    fields.append(StructField("reasons", names))
    return StructType(fields)


def features(pipeline: Pipeline) -> StructType:
    """Return the key, the inputs, the label, and the columns of the split and of the slices."""
    types = pipeline.column_types
    columns = {name: types[name] for name in pipeline.feature_columns}
    return StructType(_fields({"event_date": "date"} | columns))


def predictions(pipeline: Pipeline) -> StructType:
    """Return the columns of a scored row; ``label`` is null while the truth is unknown.

    ``seen`` is true where the version may have been fitted on the row or chosen by it, and
    ``trained_end`` is the last date of its training. Both are null in rows of earlier releases.
    """
    types = pipeline.column_types
    predicted = pipeline.prediction_type
    columns = {"event_date": "date"}
    columns |= {name: types[name] for name in pipeline.key}
    columns |= {"prediction": predicted, "label": predicted, "model_version": "long"}
    columns |= {"seen": "boolean", "trained_end": "date"}
    return StructType(_fields(columns))


def drift() -> StructType:
    """Return the columns of a finding, of which a date has one per subject and measure.

    ``batchml.models.drift`` defines the measures. ``subject`` is an input, ``prediction``, or
    ``rows``. ``expected`` is the value at training, or the error at evaluation.
    """
    columns = {
        "event_date": "date",
        "subject": "string",
        "measure": "string",
        "value": "double",
        "expected": "double",
        "level": "string",
        "rows": "long",
        "model_version": "long",
    }
    return StructType(_fields(columns))


def verdicts() -> StructType:
    """Return the columns of the gate's last verdict on a version.

    Its date is the one the version was trained up to. ``metric`` is the gate's. ``challenger`` and
    ``champion`` are of the same rows, ``baseline`` is of the whole holdout. ``champion`` is null if
    there was none to compare with.
    ``needs_approval`` is null in rows of earlier releases.
    """
    columns = {
        "event_date": "date",
        "model_version": "long",
        "passed": "boolean",
        "reason": "string",
        "metric": "string",
        "challenger": "double",
        "champion": "double",
        "baseline": "double",
        "needs_approval": "boolean",
    }
    return StructType(_fields(columns))


def select(frame: DataFrame, schema: StructType) -> DataFrame:
    """Return the columns of ``schema``, in its order.

    Raise BadData that lists every missing or differing column.
    """
    types = {field.name: field.dataType.simpleString() for field in frame.schema}
    missing = []
    differing = []
    for field in schema:
        expected = field.dataType.simpleString()
        if field.name not in types:
            missing.append(f"column {field.name!r} is missing")
        elif types[field.name] != expected:
            differing.append(f"column {field.name!r} is {types[field.name]}, expected {expected}")
    problems = missing + differing
    if problems:
        raise BadData("the frame does not fit its table's schema", *problems)
    return frame.select(schema.fieldNames())


INGESTED = {"bronze": bronze, "silver": silver, "quarantine": quarantine}
"""The schema of each table that ingest writes."""
