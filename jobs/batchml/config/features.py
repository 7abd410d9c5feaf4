"""The feature steps a YAML can name, with the columns that each reads and adds.

So names are checked when the file is loaded, and not minutes later in Spark.
"""

from typing import TYPE_CHECKING, Annotated, ClassVar, Literal, Self

from pydantic import Field, model_validator

from batchml.config.base import NUMBERS, Closed, ColumnType

TIMES: tuple[ColumnType, ...] = ("timestamp_ntz", "date")


class Step(Closed):
    """A step that adds the column ``to``."""

    fixed_by_date: ClassVar[bool] = False
    """True if all rows of a date have the same value, given a column that dates them."""

    def reads(self) -> tuple[str, ...]:
        """Return the columns that the step reads."""
        raise NotImplementedError

    def takes(self) -> dict[str, tuple[ColumnType, ...]]:
        """Return the types that a column may have, for the columns that cannot be of any type."""
        return {}

    def adds(self) -> dict[str, ColumnType]:
        """Return the columns that the step adds, with their types."""
        raise NotImplementedError

    @property
    def looks_up(self) -> str | None:
        """Return the table of ``lookups`` that the step needs in addition to the rows, or None."""
        return None


class OneColumnStep(Step):
    """A step that computes the column ``to`` from the column ``of``."""

    input_types: ClassVar[tuple[ColumnType, ...]] = ()
    """The types that ``of`` may have; none means any."""
    output_type: ClassVar[ColumnType] = "string"

    if TYPE_CHECKING:
        # Each step declares both, so that an editor proposes its keys in the usual order.
        of: str
        to: str

    def reads(self) -> tuple[str, ...]:
        """Return the column ``of``."""
        return (self.of,)

    def takes(self) -> dict[str, tuple[ColumnType, ...]]:
        """Return the types that ``of`` may have."""
        if not self.input_types:
            return {}
        return {self.of: self.input_types}

    def adds(self) -> dict[str, ColumnType]:
        """Return the column ``to`` with its type."""
        return {self.to: self.output_type}


class DurationMinutes(Step):
    """Minutes from one time to another, in whole seconds, as a double."""

    kind: Literal["duration_minutes"]
    start: str
    end: str
    to: str

    def reads(self) -> tuple[str, ...]:
        """Return both times."""
        return (self.start, self.end)

    def takes(self) -> dict[str, tuple[ColumnType, ...]]:
        """Return that both are times."""
        return {self.start: TIMES, self.end: TIMES}

    def adds(self) -> dict[str, ColumnType]:
        """Return the column of the minutes."""
        return {self.to: "double"}


class HourOfDay(OneColumnStep):
    """Hour of a time, 0 to 23."""

    input_types = TIMES
    output_type = "int"
    kind: Literal["hour_of_day"]
    of: str
    to: str


class DayOfWeek(OneColumnStep):
    """Weekday of a timestamp or date, 0 (Monday) to 6 (Sunday)."""

    fixed_by_date = True
    input_types = TIMES
    output_type = "int"
    kind: Literal["day_of_week"]
    of: str
    to: str


class Lag(OneColumnStep):
    """The value of ``of`` from ``days`` days before, in the row that agrees in the columns ``by``.

    It is the mean of several such rows, and null without one. Only earlier dates are read, so the
    value is known before the date begins. If a date is ingested again, the date ``days`` days
    later is outdated.
    """

    input_types = NUMBERS
    output_type = "double"
    kind: Literal["lag"]
    of: str
    days: int = Field(ge=1)
    by: tuple[str, ...] = ()
    to: str

    def reads(self) -> tuple[str, ...]:
        """Return the column ``of`` and those that identify its row."""
        return (self.of, *self.by)


class Bands(OneColumnStep):
    """The band that contains a number: ``edges`` 6 and 10 make ``<6``, ``[6, 10)``, ``>=10``."""

    input_types = NUMBERS
    kind: Literal["bands"]
    of: str
    edges: tuple[float, ...] = Field(min_length=1)
    to: str

    @model_validator(mode="after")
    def _rising(self) -> Self:
        if list(self.edges) != sorted(set(self.edges)):
            edges = [f"{edge:g}" for edge in self.edges]
            raise ValueError(f"edges must rise: {', '.join(edges)}")
        return self


class Recode(OneColumnStep):
    """Another name for each value in ``values``. Others become ``other``, or null. Null stays."""

    kind: Literal["recode"]
    of: str
    values: dict[str, str] = Field(min_length=1)
    other: str | None = None
    to: str


class Lookup(OneColumnStep):
    """The column ``take`` of a table of ``lookups``, for the key ``of``. Null without the key."""

    kind: Literal["lookup"]
    table: str
    of: str
    take: str
    to: str
    type: ColumnType = "string"

    @property
    def looks_up(self) -> str | None:
        """Return the table."""
        return self.table

    def adds(self) -> dict[str, ColumnType]:
        """Return the column ``to`` with the declared type."""
        return {self.to: self.type}


Feature = Annotated[
    DurationMinutes | HourOfDay | DayOfWeek | Lag | Bands | Recode | Lookup,
    Field(discriminator="kind"),
]
