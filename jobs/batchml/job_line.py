"""The last line of a job: written by the jobs, read by the DAGs and by ``make run``.

A job constructs its line strictly: an unknown key is an error. A reader is tolerant. It ignores the
keys of a newer version of the code, and every key that an older version may lack has a default.
"""

import datetime as dt
import json
import math
from typing import Annotated, Any, Literal, Self, TypeVar

from pydantic import (
    BeforeValidator,
    ConfigDict,
    Field,
    SerializeAsAny,
    SerializerFunctionWrapHandler,
    ValidationError,
    ValidationInfo,
    field_validator,
    model_serializer,
)

from batchml.config.base import Closed
from batchml.config.monitoring import Level

Model = TypeVar("Model", bound=Closed)

Status = Literal["done", "nothing_to_do", "failed"]
BEGINNING = '{"job"'  # of the line, to find it in a log
ARGUMENTS = ("pipeline", "start", "end")  # printed also if null


def _null_unless_finite(value: object) -> object:
    """Return None for NaN and infinity, which JSON does not have."""
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value


Number = Annotated[int | float | None, BeforeValidator(_null_unless_finite)]
Metrics = dict[str, Number]


class Details(Closed):
    """The part of the line that only one job has."""


class IngestDetails(Details):
    """Row counts by table and by failed check, and differences between source and declaration.

    ``leftover_rows`` belong to no date of their delivery's period. They are stored under its first
    day.
    """

    rows: dict[str, int] = Field(default_factory=dict)
    leftover_rows: int = 0
    rejected: dict[str, int] = Field(default_factory=dict)
    warned: dict[str, int] = Field(default_factory=dict)
    schema_differences: tuple[str, ...] = ()
    missing_files: tuple[str, ...] = ()
    unchanged: tuple[dt.date, ...] = ()
    """Dates that were delivered again with the same rows."""


class AcceptDatesDetails(Details):
    """Dates that are accepted as never coming."""

    accepted: tuple[dt.date, ...] = ()


class BuildFeaturesDetails(Details):
    """The version of silver that was read, and the lookup tables that were missing."""

    silver_version: int | None = None
    absent_lookups: tuple[str, ...] = ()


class ScoreBatchDetails(Details):
    """The training of the version that scored the last date, and the seen rows of all versions.

    ``unseen``: no row was seen in training. ``realised``: metrics on the unseen rows whose label is
    known. ``unscored``: dates that no version could or may score. ``last_attempt_end``: the last
    date of the last training, whether or not the gate passed it. ``hold``: why no training starts
    by itself. ``misfit``: why the champion cannot score with the present configuration.
    """

    trained_end: dt.date | None = None
    unseen: bool | None = None
    seen_rows: int = 0
    versions: dict[int, int] = Field(default_factory=dict)
    """Rows by the version that scored them."""
    unscored: tuple[dt.date, ...] = ()
    champion: int | None = None
    champion_end: dt.date | None = None
    last_attempt_end: dt.date | None = None
    hold: str = ""
    misfit: str = ""
    realised: Metrics = Field(default_factory=dict)
    features_version: int | None = None


class MonitorDriftDetails(Details):
    """The worst level of the dates and all findings above ``ok``.

    ``alarm_days``: days with an alarm since the last training, of the last
    ``training.on_alarm.of``.
    """

    level: Level | None = None
    findings: tuple[str, ...] = ()
    alarm_days: int = 0


class TrainModelDetails(Details):
    """The rows that a model was fitted on, its metrics on them, and the parameters chosen."""

    features_version: int | None = None
    fit: str | None = None
    train: Metrics = Field(default_factory=dict)
    params: dict[str, Any] = Field(default_factory=dict)


class Remeasured(Closed):
    """A metric as it was logged and as it is after training again."""

    model_config = ConfigDict(
        validate_by_name=True, validate_by_alias=True, serialize_by_alias=True
    )

    was: Number = None
    now: Number = Field(default=None, alias="is")


class ReproduceModelDetails(Details):
    """Logged and reproduced metrics, and the changes to the code in between."""

    reason: str = ""
    metrics: dict[str, Remeasured] = Field(default_factory=dict)
    changes: tuple[str, ...] = ()


class Difference(Closed):
    """The challenger's loss less the champion's, with its confidence interval."""

    value: Number = None
    low: Number = None
    high: Number = None
    confidence: Number = None


class SliceLoss(Closed):
    """The losses of both models on the rows of one value of a slice."""

    by: str
    value: str
    loss: str = ""
    rows: int = 0
    challenger: Number = None
    champion: Number = None
    surely_worse: bool = False


class EvaluateModelDetails(Details):
    """Metrics by model, the gate's verdict with its reason, and the losses by slice.

    ``needs_approval``: the challenger cannot be compared with the champion, so a person decides.
    """

    metrics: dict[str, Metrics] = Field(default_factory=dict)
    passed: bool = False
    needs_approval: bool = False
    reason: str = ""
    difference: Difference | None = None
    slices: tuple[SliceLoss, ...] = ()


class PromoteModelDetails(Details):
    """The change of the champion, the version that was replaced, and who approved.

    ``awaits_approval``: the version that was not promoted because no one has approved it.
    """

    changed: bool = False
    awaits_approval: int | None = None
    replaced: int | None = None
    reason: str = ""
    approved_by: str | None = None


class RollBackModelDetails(Details):
    """The versions withdrawn and restored, and the dates that were scored again."""

    withdrawn: int | None = None
    restored: int | None = None
    dates: tuple[dt.date, ...] = ()
    reason: str = ""


class ReportDayDetails(Details):
    """The level of the day, its row counts, and the size of the page in bytes."""

    level: Level | None = None
    rows: dict[str, int] = Field(default_factory=dict)
    rejected: dict[str, int] = Field(default_factory=dict)
    bytes: int = 0


class TableMaintenance(Closed):
    """Dates compacted in one table, files and bytes removed, and hours that replaced files stay."""

    compacted: int = 0
    files: int = 0
    bytes: int = 0
    retention_hours: int = 0


class MaintainTablesDetails(Details):
    """The versions kept and archived, and the maintenance of each table."""

    dry_run: bool = False
    kept_models: tuple[int, ...] = ()
    archived_models: tuple[int, ...] = ()
    tables: dict[str, TableMaintenance] = Field(default_factory=dict)
    reason: str = ""


class PreflightDetails(Details):
    """The finding of each check."""

    executors: str = ""
    python: str = ""
    pyspark: str = ""
    user: str = ""
    jars: str = ""
    clocks: str = ""
    disk: str = ""
    lake: str = ""
    mlflow: str = ""


# A job with several steps has the details of each.
DETAILS: dict[str, tuple[type[Details], ...]] = {
    "ingest": (IngestDetails, AcceptDatesDetails),
    "build_features": (BuildFeaturesDetails,),
    "score_batch": (ScoreBatchDetails,),
    "monitor_drift": (MonitorDriftDetails,),
    "train_model": (TrainModelDetails, ReproduceModelDetails),
    "evaluate_model": (EvaluateModelDetails,),
    "promote_model": (PromoteModelDetails, RollBackModelDetails),
    "report_day": (ReportDayDetails,),
    "maintain_tables": (MaintainTablesDetails,),
    "preflight": (PreflightDetails,),
}


def _read_details(job: str, raw: dict[str, Any]) -> Details | None:
    """Return ``raw`` as the details of ``job`` with which it shares the most keys.

    Return None for an unknown job.
    """
    forms = DETAILS.get(job)
    if forms is None:
        return None

    form = max(forms, key=lambda form: len(form.model_fields.keys() & raw.keys()))
    return form.model_validate(raw, extra="ignore")


class Rows(Closed):
    """Rows read and written."""

    model_config = ConfigDict(
        validate_by_name=True, validate_by_alias=True, serialize_by_alias=True
    )

    read: int = Field(default=0, alias="in")
    written: int = Field(default=0, alias="out")


class MlflowIds(Closed):
    """The MLflow objects that a step worked on. Unknown ids are not printed."""

    run_id: str | None = None
    model: str | None = None
    version: int | None = None
    experiment_id: str | None = None
    artifact: str | None = None

    @model_serializer(mode="wrap")
    def _known(self, serialize: SerializerFunctionWrapHandler) -> dict[str, Any]:
        return {name: value for name, value in serialize(self).items() if value is not None}


class CaughtUp(Closed):
    """An owed date that the job worked on in addition to the requested ones.

    ``outcome`` is its state in the ledger, or why it is still owed.
    """

    date: dt.date
    reason: str = ""
    outcome: str = ""


class JobError(Closed):
    """An error of ``batchml.errors``, or an unexpected one."""

    kind: str = ""
    message: str = ""
    remedy: str = ""

    def __str__(self) -> str:
        return "\n  ".join(part for part in (self.message, self.remedy) if part)


class JobLine(Closed):
    """The last line of a job. A failed job has no rows, tables, MLflow ids and details.

    A job with nothing to do may have details.
    """

    job: str
    pipeline: str | None = None
    start: str | None = None
    end: str | None = None
    seconds: dict[str, float] = Field(default_factory=dict)
    """By phase, and in ``total``."""
    spark_application_id: str | None = None
    rows: Rows | None = None
    tables: dict[str, int] | None = None
    """The Delta version written, by table."""
    caught_up: tuple[CaughtUp, ...] | None = None
    """Owed dates that were worked on; None unless the job was started with ``--catch-up``."""
    still_owed: int | None = None
    """How many more dates are owed than one run works on."""
    mlflow: MlflowIds | None = None
    details: SerializeAsAny[Details] | None = None
    status: Status
    error: JobError | None = None

    @classmethod
    def parse(cls, text: str) -> Self | None:
        """Return the line printed as ``text``, or None for any other line."""
        if not text.startswith(BEGINNING):
            return None
        try:
            return cls.read(json.loads(text))
        except (json.JSONDecodeError, ValidationError):
            return None

    @classmethod
    def read(cls, value: object) -> Self | None:
        """Return the line from its JSON object, as stored by Airflow, or None for anything else."""
        return _read(cls, value)

    def to_value(self) -> dict[str, Any]:
        """Return the line as a JSON object."""
        value: dict[str, Any] = json.loads(self.model_dump_json())
        return value

    def to_text(self) -> str:
        """Return the line as it is printed."""
        return json.dumps(self.to_value())

    @property
    def is_done(self) -> bool:
        """Return True if the job has done its work."""
        return self.status == "done"

    @property
    def model_version(self) -> int | None:
        """Return the version of the model that the job made or used."""
        if self.mlflow is None:
            return None
        return self.mlflow.version

    @field_validator("details", mode="before")
    @classmethod
    def _of_this_job(cls, value: object, info: ValidationInfo) -> object:
        if isinstance(value, dict):
            return _read_details(info.data.get("job", ""), value)
        return value

    @model_serializer(mode="wrap")
    def _known(self, serialize: SerializerFunctionWrapHandler) -> dict[str, Any]:
        record = serialize(self)
        return {
            key: value for key, value in record.items() if value is not None or key in ARGUMENTS
        }


class TrainingDecision(Closed):
    """The value of the DAG's task ``training_due``: the decision to train, and its reason.

    ``end`` is the last date of the training.
    """

    due: bool
    reason: str
    end: dt.date | None = None

    @classmethod
    def read(cls, value: object) -> Self | None:
        """Return the decision from its JSON object; None if ``value`` is anything else."""
        return _read(cls, value)


def _read(model: type[Model], value: object) -> Model | None:
    """Return ``value`` as a ``model``, without keys of a newer version; None if it is invalid."""
    try:
        return model.model_validate(value, extra="ignore")
    except ValidationError:
        return None
