"""Describe one column of a file: its declared type and statistics of its values."""

from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from batchml.config.base import ColumnType


@dataclass(frozen=True)
class Column:
    """A column with the type to declare.

    ``given`` is its name in the file. ``values`` is an Arrow array, null where there is no value.
    ``pattern`` is Spark's, for dates that are not ISO 8601.
    """

    name: str
    given: str
    type: ColumnType
    values: Any
    pattern: str | None = None
    notes: tuple[str, ...] = ()

    @cached_property
    def missing(self) -> int:
        """Number of rows without a value."""
        return int(self.values.null_count)

    @cached_property
    def distinct(self) -> int:
        """Number of different values."""
        return int(pc.count_distinct(self.values, mode="only_valid").as_py())

    @cached_property
    def range(self) -> tuple[Any, Any]:
        """Smallest and largest value, None without any."""
        bounds = pc.min_max(self.values).as_py()
        return bounds["min"], bounds["max"]

    @cached_property
    def numbers(self) -> npt.NDArray[np.float64]:
        """Values of a number column, NaN where there is none."""
        doubles = pc.cast(self.values, pa.float64(), safe=False)
        return np.asarray(doubles.to_numpy(zero_copy_only=False), dtype=float)

    @cached_property
    def counts(self) -> dict[Any, int]:
        """Number of rows per value, the most common first."""
        known = self.values.drop_null()
        pairs = [(pair["values"], pair["counts"]) for pair in pc.value_counts(known).to_pylist()]
        return dict(sorted(pairs, key=lambda pair: (-pair[1], str(pair[0]))))

    @property
    def rows(self) -> int:
        """Number of rows."""
        return len(self.values)

    @property
    def is_number(self) -> bool:
        """True for a numeric type."""
        return self.type in ("long", "double")

    @property
    def is_dated(self) -> bool:
        """True for dates and times."""
        return self.type in ("date", "timestamp_ntz")

    @property
    def is_unique(self) -> bool:
        """True if every row has a value, and no two have the same."""
        return not self.missing and self.distinct == self.rows

    @property
    def is_whole(self) -> bool:
        """True if all numbers are whole."""
        known = self.numbers[np.isfinite(self.numbers)]
        return bool(known.size) and bool(np.all(known == np.round(known)))

    def as_text(self) -> "Column":
        """Return the same column declared as text."""
        return replace(self, type="string", values=pc.cast(self.values, pa.string()))
