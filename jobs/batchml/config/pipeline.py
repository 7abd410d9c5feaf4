"""The typed form of a pipeline's YAML."""

import datetime as dt
from typing import Annotated, Self

from pydantic import AfterValidator, BeforeValidator, Field, ValidationInfo, model_validator

from batchml.config import consistency, patterns
from batchml.config.base import Closed, ColumnType
from batchml.config.catch_up import CatchUp
from batchml.config.columns import (
    LINEAGE,
    MALFORMED,
    OUTSIDE_PERIOD,
    Check,
    Column,
    Inputs,
    declaration,
    misfit_reason,
)
from batchml.config.consistency import UnknownName
from batchml.config.features import Feature
from batchml.config.learning import Estimator, Gate, Task, Training
from batchml.config.limits import Limits
from batchml.config.maintenance import Maintenance
from batchml.config.monitoring import Monitoring
from batchml.config.notifications import Notifications
from batchml.config.schedule import cron, shortest_interval
from batchml.config.sources import LookupTable, Source

# The DAGs in dags/ that are not of a pipeline: Airflow takes one DAG for each name.
STACK_DAGS = ("freshness", "maintenance", "preflight")
LEAST_RUN_HOURS = 12  # runs of a backfill wait for each other
ROOM_FOR_RETRIES = 2  # a job that fails is run again, up to its limit
RECORDED = {"recorded": True}
"""The context in which the configuration of an earlier training is validated."""
# Columns of ``predictions``, whose names a column of the key cannot have.
OF_PREDICTIONS = ("seen", "trained_end")


def _dag_id(name: str) -> str:
    if name in STACK_DAGS:
        raise patterns.WrongValue(f"{name!r} is a DAG of the stack: give the file another name")
    return name


class Bootstrap(Closed):
    """The range of dates that `make run` processes, where START or END is not given."""

    start: dt.date
    end: dt.date


class Pipeline(Closed):
    """A pipeline: its source, its checks and features, and how its model is trained."""

    name: Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]*$"), AfterValidator(_dag_id)]
    description: str
    schedule: Annotated[str, AfterValidator(cron)] | None = None
    """Five cron fields, in UTC. A pipeline without a schedule has no DAG."""
    start_date: dt.date = dt.date(2021, 1, 1)
    bootstrap: Bootstrap | None = None
    sample: str | None = None
    source: Source
    columns: dict[str, Annotated[Column, BeforeValidator(declaration)]]
    key: tuple[str, ...] = ("source_file", "source_row")
    checks: tuple[Check, ...] = ()
    max_rejected_share: float = Field(0.2, ge=0, le=1)
    lookups: dict[str, LookupTable] = Field(default_factory=dict)
    features: tuple[Feature, ...] = ()
    task: Task
    label: str
    inputs: Inputs
    estimator: Estimator
    training: Training = Training()
    monitoring: Monitoring = Monitoring()
    maintenance: Maintenance = Maintenance()
    catch_up: CatchUp = CatchUp()
    limits: Limits = Limits()
    notifications: Notifications = Notifications()
    gate: Gate

    @property
    def damage_reasons(self) -> set[str]:
        """Return the reasons of malformed rows and of cells that do not fit their column."""
        misfits = {misfit_reason(name, column.type) for name, column in self.columns.items()}
        return misfits | {MALFORMED}

    @property
    def _generated_reasons(self) -> set[str]:
        """Return the generated reasons, in addition to the names of the checks."""
        return self.damage_reasons | {OUTSIDE_PERIOD}

    @property
    def watched(self) -> Inputs:
        """Return the inputs that drift is measured on.

        An input that the date fixes is left out: a day of it is never distributed like a month.
        """
        unwatched = set(self.monitoring.ignore)
        for feature in self.features:
            if feature.fixed_by_date:
                unwatched |= feature.adds().keys()
        numeric = [name for name in self.inputs.numeric if name not in unwatched]
        categorical = [name for name in self.inputs.categorical if name not in unwatched]
        return Inputs(numeric=tuple(numeric), categorical=tuple(categorical))

    @property
    def slices(self) -> tuple[str, ...]:
        """Return the columns of the gate's slices."""
        return tuple(slice_.by for slice_ in self.gate.slices)

    @property
    def feature_columns(self) -> tuple[str, ...]:
        """Return the columns of the table features.

        These are the key, the inputs, the label, and the columns of split and gate.
        """
        needed = self.key + self.inputs.columns + (self.label,)
        needed += self.training.group + self.slices
        if self.gate.baseline is not None:
            needed += (self.gate.baseline,)
        return tuple(dict.fromkeys(needed))

    @property
    def is_undated(self) -> bool:
        """Return True if no column dates a row, so that several dates may have the same row."""
        return self.source.event_time is None

    @property
    def is_snapshot(self) -> bool:
        """Return True if every date has the whole of the source, and so the same rows."""
        return self.is_undated and self.source.period == "snapshot"

    @property
    def split_columns(self) -> tuple[str, ...]:
        """Return the columns by whose hash rows are divided into those to fit on and the holdout.

        Without dates ``source_file`` is left out of the key: a file of the same rows may have
        another name each day.
        """
        if self.training.group:
            return self.training.group
        if self.is_undated:
            without_file = tuple(name for name in self.key if name != "source_file")
            return without_file or self.key
        return self.key

    @property
    def reach_days(self) -> int:
        """Return how many days before a date its features read. Nested lags add up."""
        reach: dict[str, int] = {}
        for feature in self.features:
            days = max([reach.get(name, 0) for name in feature.reads()], default=0)
            if feature.kind == "lag":
                days += feature.days
            reach |= dict.fromkeys(feature.adds(), days)
        return max(reach.values(), default=0)

    @property
    def source_names(self) -> list[str]:
        """Return the names that the declared columns have in the source, in their order."""
        return [column.name_in_source(name) for name, column in self.columns.items()]

    @property
    def declared_types(self) -> dict[str, ColumnType]:
        """Return the types of the declared columns."""
        return {name: column.type for name, column in self.columns.items()}

    @property
    def column_types(self) -> dict[str, ColumnType]:
        """Return every column of a feature row: lineage, declared, and added by a feature."""
        types = LINEAGE | self.declared_types
        for feature in self.features:
            types |= feature.adds()
        return types

    @property
    def prediction_type(self) -> ColumnType:
        """Return the type of a stored prediction: the label's for a class, double for a number."""
        if self.task == "classification":
            return self.column_types[self.label]
        return "double"

    @model_validator(mode="after")
    def _names_exist(self) -> Self:
        declared = self.declared_types
        consistency.require_source_columns(self.source, declared)
        consistency.require_feature_columns(self.features, LINEAGE | declared, self.lookups)
        known = self.column_types
        consistency.require_known("label", self.label, known)
        consistency.require_usable_names(self.columns, self.features)
        named_at = {
            "key": self.key,
            "training.group": self.training.group,
            "inputs.numeric": self.inputs.numeric,
            "inputs.categorical": self.inputs.categorical,
            "monitoring.ignore": self.monitoring.ignore,
            "gate.slices": self.slices,
        }
        for place, names in named_at.items():
            for name in names:
                consistency.require_known(place, name, known)
        return self

    @model_validator(mode="after")
    def _parts_agree(self) -> Self:
        consistency.require_inputs(self.inputs, self.label, self.column_types)
        consistency.require_days_for_grid(self.estimator, self.training)
        names = [check.name for check in self.checks]
        consistency.require_check_names(names, self._generated_reasons)
        return self

    @model_validator(mode="after")
    def _runs_do_not_overlap(self, info: ValidationInfo) -> Self:
        if self.schedule is None or info.context == RECORDED:
            return self
        waits = self.source.wait_hours
        interval = shortest_interval(self.schedule)
        if waits >= interval:
            problem = (
                f"is not below the schedule's interval of {interval:g} hours: "
                "the next run would wait, too"
            )
            raise UnknownName("source.wait_hours", f"{waits:g}", problem)
        return self

    @property
    def least_run_hours(self) -> float:
        """Return the hours that a run may need: waiting, approval, and the limits of its jobs."""
        hours = self.source.wait_hours
        if self.gate.approval == "manual":
            hours += self.gate.approval_hours
        return hours + self.limits.total_hours

    @property
    def run_hours(self) -> float:
        """Return after how many hours Airflow ends a run."""
        if self.limits.run_hours is not None:
            return self.limits.run_hours
        maintenance = self.limits.minutes_of("maintain_tables") / 60
        return max(self.least_run_hours, maintenance, LEAST_RUN_HOURS) * ROOM_FOR_RETRIES

    @model_validator(mode="after")
    def _run_has_time_for_its_jobs(self, info: ValidationInfo) -> Self:
        hours, least = self.limits.run_hours, self.least_run_hours
        if hours is None or info.context == RECORDED:
            return self
        if hours <= least:
            problem = f"is not above the {least:g} hours of waiting, approval and all jobs"
            raise UnknownName("limits.run_hours", f"{hours:g}", problem)
        return self

    @model_validator(mode="after")
    def _rows_are_identified_without_the_label(self, info: ValidationInfo) -> Self:
        # A later rule must not make a model of an earlier release unreadable.
        if info.context == RECORDED:
            return self
        for place, names in (("training.group", self.training.group), ("key", self.key)):
            if self.label in names and self.training.split == "hash":
                problem = "is the label: which rows are held out must not depend on it"
                raise UnknownName(place, self.label, problem)
        for name in self.key:
            if name.lower() in OF_PREDICTIONS:
                problem = "is a column of the table predictions: give the column another name"
                raise UnknownName("key", name, problem)
        return self

    @model_validator(mode="after")
    def _all_suits_the_task(self) -> Self:
        types = self.column_types
        consistency.require_label_type(self.label, self.task, types)
        if self.gate.baseline is not None:
            consistency.require_baseline(self.gate.baseline, self.task, types)
        consistency.require_suitable_learning(self.task, self.training, self.estimator, self.gate)
        return self
