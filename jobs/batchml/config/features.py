"""The feature steps a YAML can name. Each says which columns it reads and which it adds, so that names are
checked when the file is loaded and not minutes later in Spark."""

from typing import Annotated, ClassVar, Literal

from pydantic import Field

from batchml.config.closed import Closed, ColumnType


class Step(Closed):
    """What all feature steps have."""

    fixed_by_date: ClassVar[bool] = False
    """Whether all rows of a date have the same value."""


class DurationMinutes(Step):
    """Minutes from one timestamp to another, as a double."""

    kind: Literal["duration_minutes"]
    start: str
    end: str
    to: str

    def reads(self) -> tuple[str, ...]:
        return (self.start, self.end)

    def adds(self) -> dict[str, ColumnType]:
        return {self.to: "double"}


class HourOfDay(Step):
    """Hour of a timestamp, 0 to 23."""

    kind: Literal["hour_of_day"]
    of: str
    to: str

    def reads(self) -> tuple[str, ...]:
        return (self.of,)

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

    def adds(self) -> dict[str, ColumnType]:
        return {self.to: "int"}


Feature = Annotated[DurationMinutes | HourOfDay | DayOfWeek, Field(discriminator="kind")]
