"""The base of all parts of the configuration, and the types of columns."""

from typing import Literal

from pydantic import BaseModel, ConfigDict

ColumnType = Literal["string", "int", "long", "double", "boolean", "date", "timestamp_ntz"]
NUMBERS: tuple[ColumnType, ...] = ("int", "long", "double")


class Closed(BaseModel):
    """A frozen mapping with a fixed set of keys."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)
