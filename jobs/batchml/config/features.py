"""The feature steps a YAML can name. Each says which columns it reads and which it adds, so that names are
checked when the file is loaded and not minutes later in Spark."""

from typing import Annotated, ClassVar, Literal, Self

from pydantic import Field, model_validator

from batchml.config.base import NUMBERS, Closed, ColumnType

TIMES: tuple[ColumnType, ...] = ("timestamp_ntz", "date")


class Step(Closed):
    """What all feature steps have."""

    fixed_by_date: ClassVar[bool] = False
    """Whether all rows of a date have the same value."""

    def takes(self) -> dict[str, tuple[ColumnType, ...]]:
        """Return the types that a column may have, for the columns that cannot be of any type."""
        return {}

    @property
    def looks_up(self) -> str | None:
        """Return the table of ``lookups`` that the step needs in addition to the rows, or None."""
        return None


class DurationMinutes(Step):
    """Minutes from one timestamp to another, as a double."""

    kind: Literal["duration_minutes"]
    start: str
    end: str
    to: str

    def reads(self) -> tuple[str, ...]:
        return (self.start, self.end)

    def takes(self) -> dict[str, tuple[ColumnType, ...]]:
        return {self.start: TIMES, self.end: TIMES}

    def adds(self) -> dict[str, ColumnType]:
        return {self.to: "double"}


class HourOfDay(Step):
    """Hour of a timestamp, 0 to 23."""

    kind: Literal["hour_of_day"]
    of: str
    to: str

    def reads(self) -> tuple[str, ...]:
        return (self.of,)

    def takes(self) -> dict[str, tuple[ColumnType, ...]]:
        return {self.of: TIMES}

    def adds(self) -> dict[str, ColumnType]:
        return {self.to: "int"}


class DayOfWeek(Step):
    """Weekday of a timestamp or date, 0 (Monday) to 6 (Sunday)."""

    fixed_by_date = True
    kind: Literal["day_of_week"]
    of: str
    to: str

    def reads(self) -> tuple[str, ...]:
        return (self.of,)

    def takes(self) -> dict[str, tuple[ColumnType, ...]]:
        return {self.of: TIMES}

    def adds(self) -> dict[str, ColumnType]:
        return {self.to: "int"}


class Lag(Step):
    """What ``of`` was ``days`` days before, in the row that agrees in the columns ``by``; the mean where several do.

    Null where there was none. Only earlier dates are looked at, so it is known before the date begins; dates that
    are ingested again change it for ``days`` days later only once ``build_features`` is run for those.
    """

    kind: Literal["lag"]
    of: str
    days: int = Field(ge=1)
    by: tuple[str, ...] = ()
    to: str

    def reads(self) -> tuple[str, ...]:
        return (self.of, *self.by)

    def takes(self) -> dict[str, tuple[ColumnType, ...]]:
        return {self.of: NUMBERS}

    def adds(self) -> dict[str, ColumnType]:
        return {self.to: "double"}


class Bands(Step):
    """The band a number lies in, by the bands' edges: of 6 and 10 they are ``<6``, ``[6, 10)`` and ``>=10``."""

    kind: Literal["bands"]
    of: str
    edges: tuple[float, ...] = Field(min_length=1)
    to: str

    @model_validator(mode="after")
    def _rising(self) -> Self:
        if list(self.edges) != sorted(set(self.edges)):
            raise ValueError(f"edges must rise: {', '.join(f'{edge:g}' for edge in self.edges)}")
        return self

    def reads(self) -> tuple[str, ...]:
        return (self.of,)

    def takes(self) -> dict[str, tuple[ColumnType, ...]]:
        return {self.of: NUMBERS}

    def adds(self) -> dict[str, ColumnType]:
        return {self.to: "string"}


class Recode(Step):
    """Another name for each value: those that ``values`` lists get the one beside them, others ``other`` or none."""

    kind: Literal["recode"]
    of: str
    values: dict[str, str] = Field(min_length=1)
    other: str | None = None
    to: str

    def reads(self) -> tuple[str, ...]:
        return (self.of,)

    def adds(self) -> dict[str, ColumnType]:
        return {self.to: "string"}


class Lookup(Step):
    """The value that stands beside a key in a table of ``lookups``; null where the table does not have the key."""

    kind: Literal["lookup"]
    table: str
    of: str
    take: str
    to: str
    type: ColumnType = "string"

    @property
    def looks_up(self) -> str | None:
        return self.table

    def reads(self) -> tuple[str, ...]:
        return (self.of,)

    def adds(self) -> dict[str, ColumnType]:
        return {self.to: self.type}


Feature = Annotated[
    DurationMinutes | HourOfDay | DayOfWeek | Lag | Bands | Recode | Lookup,
    Field(discriminator="kind"),
]
