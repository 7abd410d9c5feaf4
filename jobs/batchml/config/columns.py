"""The columns of a pipeline: how they are declared, which names are taken, and their reasons."""

import re
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, ConfigDict, Field, model_validator

from batchml.config import patterns
from batchml.config.base import Closed, ColumnType

# Delta refuses some characters in a name, Spark and MLflow others.
NAME = re.compile(r"\w[\w-]*")
TIMES: tuple[ColumnType, ...] = ("date", "timestamp_ntz")
LINEAGE: dict[str, ColumnType] = {"source_file": "string", "source_row": "long"}
OUTSIDE_PERIOD = "event_time_is_inside_the_file_period"
MALFORMED = "line_is_well_formed"
# Names of the pipeline's own columns, in any case: Delta has one column for two spellings.
RESERVED = {
    "event_date",
    "source_file",
    "source_row",
    "undeclared",
    "malformed_line",
    "in_period",
    "fits",
    "misfits",
    "reasons",
    "warnings",
    "label_index",
    "class_weight",
    "features",
    "prediction",
    "prediction_index",
    "probability",
    "probabilities",
    "model_version",
}


class Column(Closed):
    """A declared column. An ``optional`` one may be missing from the source: it is then null.

    ``from`` is the column's name in the source if that is another one. ``epoch`` is the unit of
    times that are numbers since 1970 in UTC: seconds, milliseconds, microseconds or
    nanoseconds.
    """

    model_config = ConfigDict(populate_by_name=True)

    type: ColumnType
    optional: bool = False
    source_name: str | None = Field(None, alias="from", min_length=1)
    epoch: Literal["s", "ms", "us", "ns"] | None = None

    def name_in_source(self, name: str) -> str:
        """Return the source's name of the column that is declared as ``name``."""
        return self.source_name or name

    @model_validator(mode="after")
    def _epoch_of_a_time(self) -> Self:
        if self.epoch is not None and self.type not in TIMES:
            raise patterns.WrongValue(
                f"epoch is for {' and '.join(TIMES)} only, not for {self.type}"
            )
        return self


class Check(Closed):
    """A condition in Spark SQL that must hold for every row. Null counts as not holding."""

    name: str = Field(pattern=r"^[a-z][a-z0-9_]*$")
    expect: Annotated[str, AfterValidator(patterns.row_condition)]
    on_fail: Literal["reject", "warn"] = "reject"


class Inputs(Closed):
    """The columns that a model sees: numbers, and categories."""

    numeric: tuple[str, ...] = ()
    categorical: tuple[str, ...] = ()

    @property
    def columns(self) -> tuple[str, ...]:
        """Return all of them, the numbers first."""
        return self.numeric + self.categorical


def declaration(value: Any) -> Any:
    """Return a column's declaration; its type alone is short for one."""
    if isinstance(value, str):
        return {"type": value}
    return value


def misfit_reason(name: str, type_: ColumnType) -> str:
    """Return the reason by which a row is quarantined whose cell in ``name`` is not a ``type_``."""
    return f"{name}_fits_{type_}"
