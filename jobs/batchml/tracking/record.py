"""The record of a training: all that is needed to train that model again, or to evaluate it."""

import datetime as dt
from collections.abc import Mapping
from typing import Any, Self

from pydantic import ValidationError

from batchml.config import Pipeline
from batchml.config.base import Closed
from batchml.config.pipeline import RECORDED
from batchml.errors import BadData
from batchml.models.scoring import Baseline
from batchml.models.splits import SplitRule

RECORD_VERSION = 1
"""Raise it when a key changes its meaning. A new key with a default does not need it."""


class Window(Closed):
    """Event dates, both inclusive, and how many rows of them were used."""

    start: dt.date
    end: dt.date
    rows: int


class CodeRecord(Closed):
    """The commit that an estimator of kind ``git`` came from."""

    repository: str
    commit: str
    entry: str


class TrainingRecord(Closed):
    """One training, as stored in ``training.json`` of its run.

    ``config`` is the pipeline's configuration at that time. It is parsed on request only, so that
    a configuration which later rules refuse does not hide the rest of the record.
    """

    record_version: int = 0
    """0 in records that were stored before this key existed."""
    pipeline: str
    end: dt.date
    code_version: str
    table: str
    features_version: int
    fit: Window
    holdout: Window
    classes: tuple[str, ...]
    baseline: Baseline
    chosen: dict[str, Any]
    config: dict[str, Any]
    model_code: CodeRecord | None = None
    partitions: int | None = None
    """The number of partitions of the rows; None in earlier records, without a division by key."""
    split_columns: tuple[str, ...] | None = None
    """The columns of a hash split; None in earlier records, whose columns were inputs and label."""

    @classmethod
    def read(cls, stored: Mapping[str, Any]) -> Self:
        """Return the record of a JSON object, ignoring keys that later code has added.

        Raise ValidationError if a key is missing or has another type.
        """
        return cls.model_validate(stored, extra="ignore")

    def as_json(self) -> dict[str, Any]:
        """Return the form that is stored."""
        return self.model_dump(mode="json")

    def split_rule(self) -> SplitRule:
        """Return how the rows were divided.

        Raise BadData if today's rules refuse the configuration.
        """
        config = self.parse_config()
        columns = self.split_columns
        if not columns:
            columns = (*config.inputs.columns, config.label)
        return SplitRule.of(config, self.end, columns)

    def parse_config(self) -> Pipeline:
        """Return the pipeline's configuration, ignoring keys that later code has added.

        Raise BadData if today's rules refuse it.
        """
        try:
            return Pipeline.model_validate(self.config, extra="ignore", context=RECORDED)
        except ValidationError as error:
            raise BadData(
                f"{self.pipeline}: the configuration of the training up to {self.end} is refused",
                *str(error).splitlines(),
                remedy="train and promote another version",
            ) from error
