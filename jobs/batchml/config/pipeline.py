"""The typed form of a pipeline's YAML."""

import datetime as dt
import re
from collections.abc import Mapping
from itertools import pairwise
from typing import Annotated, Any, Literal, Self

from croniter import croniter
from pydantic import (
    AfterValidator,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationInfo,
    model_validator,
)

from batchml.config import patterns
from batchml.config.base import NUMBERS, Closed, ColumnType
from batchml.config.catch_up import CatchUp
from batchml.config.features import Feature
from batchml.config.learning import METRICS, Estimator, Gate, Task, Training
from batchml.config.limits import Limits
from batchml.config.maintenance import Maintenance
from batchml.config.monitoring import Monitoring
from batchml.config.notifications import Notifications
from batchml.config.sources import JdbcSource, LookupTable, Source, TextForm

ONLY_FOR: dict[str, Task] = {"linear": "regression", "logistic": "classification"}
LABELS: dict[Task, tuple[ColumnType, ...]] = {
    "regression": ("int", "long", "double"),
    "classification": ("string", "int", "long"),
}
# Delta refuses some characters in a name, Spark and MLflow others.
NAME = re.compile(r"\w[\w-]*")
# Names the pipeline gives columns of its own, in any case: Delta has one column for two spellings.
RESERVED = {
    *(
        "event_date",
        "source_file",
        "source_row",
        "undeclared",
        "malformed_line",
        "in_period",
        "fits",
    ),
    *(
        "misfits",
        "reasons",
        "warnings",
        "label_index",
        "class_weight",
        "features",
        "prediction",
        "prediction_index",
        "probability",
    ),
    *("probabilities", "model_version"),
}
# The DAGs in dags/ that are not of a pipeline: Airflow takes one DAG for each name.
STACK_DAGS = ("maintenance", "preflight")
TIMES: tuple[ColumnType, ...] = ("date", "timestamp_ntz")
OUTSIDE_PERIOD = "event_time_is_inside_the_file_period"
MALFORMED = "line_is_well_formed"
LEAST_RUN_HOURS = 12  # runs of a backfill wait for each other
ROOM_FOR_RETRIES = 2  # a job that fails is run again, up to its limit
RECORDED = {"recorded": True}
"""The context in which the configuration of an earlier training is validated."""
# Columns of ``predictions``, whose names a column of the key cannot have.
OF_PREDICTIONS = ("seen", "trained_end")
LINEAGE: dict[str, ColumnType] = {"source_file": "string", "source_row": "long"}


class Column(Closed):
    """A declared column; an optional one may be missing from a file (it is then null).

    ``from`` is the column's name in the source where it is another one. ``epoch`` says that times are whole numbers of
    seconds, milliseconds, microseconds or nanoseconds since 1970 in UTC.
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
    """A fact that must hold for every row, as a Spark SQL condition. Null counts as not holding."""

    name: str = Field(pattern=r"^[a-z][a-z0-9_]*$")
    expect: Annotated[str, AfterValidator(patterns.row_condition)]
    on_fail: Literal["reject", "warn"] = "reject"


class Inputs(Closed):
    """The columns a model sees, by how they are to be understood."""

    numeric: tuple[str, ...] = ()
    categorical: tuple[str, ...] = ()

    @property
    def columns(self) -> tuple[str, ...]:
        return self.numeric + self.categorical


def _dag_id(name: str) -> str:
    if name in STACK_DAGS:
        raise patterns.WrongValue(f"{name!r} is a DAG of the stack: give the file another name")
    return name


def _cron(value: str) -> str:
    if len(value.split()) != 5 or not croniter.is_valid(value):
        raise ValueError("Input should be five cron fields, as in '0 3 * * *'")
    return value


def _shortest_interval(schedule: str) -> float:
    """Return the hours between two runs, the least of the first hundred."""
    times = croniter(schedule, dt.datetime(2021, 1, 1, tzinfo=dt.UTC))
    runs = [times.get_next(dt.datetime) for _ in range(100)]
    return min((after - before).total_seconds() for before, after in pairwise(runs)) / 3600


def _column(value: Any) -> Any:
    return {"type": value} if isinstance(value, str) else value


class Bootstrap(Closed):
    """The range of dates `make run` starts with when it is given none."""

    start: dt.date
    end: dt.date


class Pipeline(Closed):
    """One pipeline, whole."""

    name: Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]*$"), AfterValidator(_dag_id)]
    description: str
    schedule: Annotated[str, AfterValidator(_cron)] | None = None
    """Five cron fields, in UTC; a pipeline without has no DAG."""
    start_date: dt.date = dt.date(2021, 1, 1)
    bootstrap: Bootstrap | None = None
    sample: str | None = None
    source: Source
    columns: dict[str, Annotated[Column, BeforeValidator(_column)]]
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
        return {MALFORMED, *misfits}

    @property
    def _reasons(self) -> set[str]:
        """Return the generated reasons, in addition to the names of the checks."""
        return {OUTSIDE_PERIOD, *self.damage_reasons}

    @property
    def watched(self) -> Inputs:
        """Return the inputs that drift is measured on.

        An input that the date fixes is left out: a day of it is never distributed like a month.
        """
        left = set(self.inputs.columns) - set(self.monitoring.ignore)
        for feature in self.features:
            if feature.fixed_by_date:
                left -= set(feature.adds())
        return Inputs(
            numeric=tuple(name for name in self.inputs.numeric if name in left),
            categorical=tuple(name for name in self.inputs.categorical if name in left),
        )

    @property
    def slices(self) -> tuple[str, ...]:
        """Return the columns of the gate's slices."""
        return tuple(slice_.by for slice_ in self.gate.slices)

    @property
    def feature_columns(self) -> tuple[str, ...]:
        """Return the columns of the table features: key, inputs, label, and those of split and gate."""
        judged_by = (*self.slices, *filter(None, [self.gate.baseline]))
        needed = (*self.key, *self.inputs.columns, self.label, *self.training.group, *judged_by)
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
            return tuple(name for name in self.key if name != "source_file") or self.key
        return self.key

    @property
    def reach_days(self) -> int:
        """Return how many days before a date its features read. Nested lags add up."""
        reach: dict[str, int] = {}
        for feature in self.features:
            days = max((reach.get(name, 0) for name in feature.reads()), default=0)
            if feature.kind == "lag":
                days += feature.days
            reach |= dict.fromkeys(feature.adds(), days)
        return max(reach.values(), default=0)

    @property
    def source_names(self) -> list[str]:
        """Return the names that the declared columns have in the source, in their order."""
        return [column.name_in_source(name) for name, column in self.columns.items()]

    @property
    def column_types(self) -> dict[str, ColumnType]:
        """Return every column of a feature row: lineage, declared, and added by a feature."""
        types = LINEAGE | {name: column.type for name, column in self.columns.items()}
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
        if self.source.event_time is not None:
            _require("source.event_time", self.source.event_time, set(self.columns))
            if (found := self.columns[self.source.event_time].type) not in TIMES:
                raise UnknownName(
                    "source.event_time",
                    self.source.event_time,
                    (),
                    f"is a {found}, not a date or time",
                )
        if isinstance(self.source, JdbcSource) and self.source.partition_column is not None:
            name = self.source.partition_column
            _require("source.partition_column", name, set(self.columns))
            if (found := self.columns[name].type) not in ("int", "long"):
                raise UnknownName(
                    "source.partition_column", name, (), f"is a {found}, not int or long"
                )
        for name in self.source.formats if isinstance(self.source, TextForm) else ():
            _require("source.formats", name, set(self.columns))
            if (found := self.columns[name].type) not in TIMES:
                raise UnknownName(
                    "source.formats", name, (), f"is a {found}, not a date or timestamp_ntz"
                )
        types = LINEAGE | {name: column.type for name, column in self.columns.items()}
        for index, feature in enumerate(self.features):
            for name in feature.reads():
                _require(f"features.{index}", name, set(types))
            _require_types(f"features.{index}", feature, types)
            if feature.looks_up is not None:
                _require(f"features.{index}.table", feature.looks_up, set(self.lookups))
            types |= feature.adds()
        known = set(types)
        _require("label", self.label, known)
        self._require_usable_names()
        for place, names in (
            ("key", self.key),
            ("training.group", self.training.group),
            ("inputs.numeric", self.inputs.numeric),
            ("inputs.categorical", self.inputs.categorical),
            ("monitoring.ignore", self.monitoring.ignore),
            ("gate.slices", self.slices),
        ):
            for name in names:
                _require(place, name, known)
        return self

    def _require_usable_names(self) -> None:
        places = dict.fromkeys(self.columns, "columns")
        for index, feature in enumerate(self.features):
            places |= dict.fromkeys(feature.adds(), f"features.{index}")
        spellings: dict[str, str] = {}
        for name, place in places.items():
            if not NAME.fullmatch(name):
                raise UnknownName(place, name, (), _unusable(name))
            if name.lower() in RESERVED:
                raise UnknownName(
                    place, name, (), "is a name the pipeline itself uses: give the column another"
                )
            if (other := spellings.setdefault(name.lower(), name)) != name:
                raise UnknownName(
                    place,
                    name,
                    (),
                    f"and {other!r} differ in case only: give one of them another name",
                )
        received = self.source_names
        if twice := sorted({name for name in received if received.count(name) > 1}):
            raise UnknownName("columns", twice[0], (), "is the source of two columns")

    @model_validator(mode="after")
    def _parts_agree(self) -> Self:
        if self.label in self.inputs.columns:
            raise UnknownName("inputs", self.label, (), "is the label: a model must not see it")
        if not self.inputs.columns:
            raise UnknownName("inputs", "", (), "names no column: give numeric or categorical ones")
        for place, names, fitting in (
            ("inputs.numeric", self.inputs.numeric, NUMBERS),
            ("inputs.categorical", self.inputs.categorical, (*NUMBERS, "string")),
        ):
            for name in names:
                if (found := self.column_types[name]) not in fitting:
                    raise UnknownName(place, name, (), f"is a {found}, not {' or '.join(fitting)}")
        training = self.training
        if (
            self.estimator.grid
            and training.split == "time"
            and training.validation_days >= training.window_days
        ):
            problem = f"leaves nothing of training.window_days ({training.window_days}) to try the grid on"
            raise UnknownName(
                "training.validation_days", str(training.validation_days), (), problem
            )
        checks = [check.name for check in self.checks]
        if twice := sorted({name for name in checks if checks.count(name) > 1}):
            raise UnknownName("checks", twice[0], (), "is the name of two checks")
        if reserved := sorted({*checks} & self._reasons):
            raise UnknownName(
                "checks", reserved[0], (), "is a reason the pipeline itself gives: rename the check"
            )
        return self

    @model_validator(mode="after")
    def _runs_do_not_overlap(self, info: ValidationInfo) -> Self:
        if self.schedule is None or info.context == RECORDED:
            return self
        waits, interval = self.source.wait_hours, _shortest_interval(self.schedule)
        if waits >= interval:
            problem = f"is not below the schedule's interval of {interval:g} hours: the next run would wait, too"
            raise UnknownName("source.wait_hours", f"{waits:g}", (), problem)
        return self

    @property
    def least_run_hours(self) -> float:
        """Return the hours that a run may need: waiting, approval, and the limits of all its jobs."""
        approval = self.gate.approval_hours if self.gate.approval == "manual" else 0
        return self.source.wait_hours + approval + self.limits.total_hours

    @property
    def run_hours(self) -> float:
        """Return after how many hours Airflow ends a run."""
        if self.limits.run_hours is not None:
            return self.limits.run_hours
        maintenance = self.limits.minutes_of("maintain_tables") / 60
        return max(self.least_run_hours, maintenance, LEAST_RUN_HOURS) * ROOM_FOR_RETRIES

    @model_validator(mode="after")
    def _run_has_time_for_its_jobs(self, info: ValidationInfo) -> Self:
        hours = self.limits.run_hours
        if info.context == RECORDED:
            return self
        if hours is not None and hours <= self.least_run_hours:
            problem = (
                f"is not above the {self.least_run_hours:g} hours of waiting, approval and all jobs"
            )
            raise UnknownName("limits.run_hours", f"{hours:g}", (), problem)
        return self

    @model_validator(mode="after")
    def _rows_are_identified_without_the_label(self, info: ValidationInfo) -> Self:
        if info.context == RECORDED:  # a rule of today must not hide a model of an earlier release
            return self
        for place, names in (("training.group", self.training.group), ("key", self.key)):
            if self.label in names and self.training.split == "hash":
                problem = "is the label: which rows are held out must not depend on it"
                raise UnknownName(place, self.label, (), problem)
        if taken := [name for name in self.key if name.lower() in OF_PREDICTIONS]:
            problem = "is a column of the table predictions: give the column another name"
            raise UnknownName("key", taken[0], (), problem)
        return self

    @model_validator(mode="after")
    def _all_suits_the_task(self) -> Self:
        if (found := self.column_types[self.label]) not in LABELS[self.task]:
            problem = f"is a {found}; a label of {self.task} is {' or '.join(LABELS[self.task])}"
            raise UnknownName("label", self.label, (), problem)
        if (baseline := self.gate.baseline) is not None:
            _require("gate.baseline", baseline, set(self.column_types))
            if self.task != "regression" or self.column_types[baseline] not in NUMBERS:
                raise UnknownName(
                    "gate.baseline", baseline, (), "must be a number, and the task regression"
                )
        if self.training.class_weight is not None and self.task != "classification":
            raise UnknownName(
                "training.class_weight",
                self.training.class_weight,
                (),
                "is for classification only",
            )
        if ONLY_FOR.get(self.estimator.kind, self.task) != self.task:
            raise UnknownName(
                "estimator.kind", self.estimator.kind, (), f"cannot be used for task {self.task!r}"
            )
        if self.gate.metric not in METRICS[self.task]:
            raise UnknownName("gate.metric", self.gate.metric, METRICS[self.task])
        return self


def misfit_reason(name: str, type_: ColumnType) -> str:
    """Return the reason by which a row is quarantined whose cell in column ``name`` does not fit its type."""
    return f"{name}_fits_{type_}"


def _require_types(place: str, feature: Feature, types: Mapping[str, ColumnType]) -> None:
    """Raise UnknownName if a column that ``feature`` reads is not of a type it takes."""
    for name, allowed in feature.takes().items():
        if types[name] not in allowed:
            wrong = f"is a {types[name]}; {feature.kind} takes {' or '.join(allowed)}"
            raise UnknownName(place, name, (), wrong)


def _unusable(name: str) -> str:
    odd = next((character for character in name if not NAME.fullmatch(f"x{character}")), name[:1])
    shown = {" ": "a space", "\t": "a tab", ".": "a dot"}.get(odd, repr(odd))
    plain = re.sub(r"\W+", "_", name).strip("_") or "column"
    return f"has {shown} in it: name the column {plain} and map it, as in {plain}: {{type: …, from: {name!r}}}"


class UnknownName(ValueError):
    """A value that does not fit the rest of the file, with the values that would."""

    def __init__(
        self, place: str, value: str, expected: tuple[str, ...], problem: str = ""
    ) -> None:
        super().__init__(place, value)
        self.place = place
        self.value = value
        self.expected = expected
        self.problem = problem


def _require(place: str, name: str, known: set[str]) -> None:
    if name not in known:
        raise UnknownName(place, name, tuple(sorted(known)))
