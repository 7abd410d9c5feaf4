"""How a model is trained and what it must reach: estimator, training and gate."""

from typing import Annotated, Any, Literal, Self

from pydantic import Field, model_validator

from batchml.config.base import Closed
from batchml.config.monitoring import OnAlarm

Task = Literal["regression", "classification"]
Metric = Literal["rmse", "mae", "r2", "accuracy", "f1", "log_loss", "auc"]
METRICS: dict[Task, tuple[Metric, ...]] = {
    "regression": ("rmse", "mae", "r2"),
    "classification": ("accuracy", "f1", "log_loss", "auc"),
}
# Names of arguments: MLflow refuses some other ones.
Parameter = Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$")]
REF = r"^[A-Za-z0-9_][A-Za-z0-9_./-]*$"  # of git, which takes a leading dash for an option


class Estimator(Closed):
    """An estimator by name, with the parameters of its Spark class, which are checked later.

    ``kind: git`` is the user's own code. ``entry`` names a function of ``repository``, as
    ``module:function``, at ``ref``: a branch, a tag or a commit. The function is called with
    ``params`` and the values of ``grid``, and returns an unfitted estimator of pyspark.ml or
    xgboost.spark. Only repositories that
    ``conf/repositories.yaml`` lists are fetched.
    """

    kind: Literal["linear", "logistic", "random_forest", "gbt", "xgboost", "git"]
    params: dict[Parameter, Any] = Field(default_factory=dict)
    grid: dict[Parameter, tuple[Any, ...]] = Field(default_factory=dict)
    repository: str | None = None
    ref: str | None = Field(None, pattern=REF)
    entry: str | None = Field(None, pattern=r"^[A-Za-z_][\w.]*:[A-Za-z_]\w*$")

    @model_validator(mode="after")
    def _whole(self) -> Self:
        of_git = {"repository": self.repository, "ref": self.ref, "entry": self.entry}
        present = [name for name, value in of_git.items() if value is not None]
        if self.kind == "git" and len(present) < len(of_git):
            raise ValueError("kind git requires repository, ref and entry")
        if self.kind != "git" and present:
            raise ValueError(f"{', '.join(present)}: only of kind git")
        return self


class Training(Closed):
    """The rows that a model is fitted on and evaluated on, and how often it is trained.

    ``split: time`` fits on the ``window_days`` days before the last ``holdout_days`` days up to
    ``--end``, and evaluates on those last days. ``split: hash`` takes the rows of ``--end`` alone
    and evaluates on ``holdout_fraction`` of them. These are chosen by a hash of the pipeline's
    ``key``, or of the columns of ``group``: rows with the same values stay together, such as
    repeated measurements of one person.

    No model passes the gate on a holdout of fewer than ``min_holdout_rows`` rows,
    ``min_holdout_days`` dates with rows (time split), or ``min_class_rows`` rows of a class.
    """

    split: Literal["time", "hash"] = "time"
    window_days: int = Field(28, ge=1)
    holdout_days: int = Field(7, ge=1)
    validation_days: int = Field(7, ge=1)
    holdout_fraction: float = Field(0.3, gt=0, lt=1)
    validation_fraction: float = Field(0.25, gt=0, lt=1)
    group: tuple[str, ...] = ()
    seed: int = 42
    class_weight: Literal["balanced"] | None = None
    """``balanced``: every class has the same weight in fitting, which distorts probabilities."""
    min_rows: int = Field(50, ge=2)
    min_holdout_rows: int = Field(20, ge=1)
    min_holdout_days: int | None = Field(None, ge=1)
    """None: two, or one if ``holdout_days`` is 1."""
    min_class_rows: int = Field(5, ge=0)
    """If there are more than two, classes with less than 1 % of the fitted rows do not count."""
    every_days: int | None = Field(7, ge=1)
    """None: not by the calendar. The other conditions for a training stay."""
    on_alarm: OnAlarm | None = OnAlarm()

    @property
    def days(self) -> int:
        """Return how many dates a training reads, the last one included."""
        if self.split == "hash":
            return 1
        return self.window_days + self.holdout_days

    @property
    def least_holdout_days(self) -> int:
        """Return how many dates of the holdout must have rows; 1 for a hash split."""
        if self.split == "hash":
            return 1
        return self.min_holdout_days or min(2, self.holdout_days)

    @model_validator(mode="after")
    def _minimum_fits_the_holdout(self) -> Self:
        if self.split != "time":
            return self
        days = self.min_holdout_days
        if days is not None and days > self.holdout_days:
            raise ValueError(f"min_holdout_days is {days}, and holdout_days {self.holdout_days}")
        if self.group:
            raise ValueError("group: only for split hash")
        return self


class Slice(Closed):
    """A rule for the parts of the holdout: the rows of each value of the feature ``by``.

    A challenger is rejected if, on a slice of at least ``min_rows`` rows, its loss is more than
    ``max_worse`` (a share) above the champion's and the difference is significant, or if its loss
    exceeds ``max_loss``. The loss is the per-row loss of the gate's metric: for accuracy and f1
    the error rate, for r2 the RMSE, for auc the log loss.
    """

    by: str
    max_worse: float = Field(0.1, ge=0)
    max_loss: float | None = None
    min_rows: int = Field(100, ge=1)


class Gate(Closed):
    """The conditions under which a challenger becomes champion.

    ``limit`` is the worst value of ``metric`` with which a challenger passes. ``min_improvement``
    is the share by which the challenger must improve on the champion on the same rows: with 0 an
    equal, fresher model passes. ``beyond_chance`` also requires a significant difference of the
    loss per row, by its interval at ``confidence``.

    ``baseline`` names a number column that is itself a forecast, such as last week's value. The
    challenger must improve on it instead of on the constant, which replaces it where it is null.

    ``approval: manual`` requires a user's approval of a challenger that passed. Without one within
    ``approval_hours``, Airflow applies ``approval_default``. A challenger that cannot be compared
    with the champion, or is nearly a withdrawn version, always needs a user's approval.
    """

    metric: Metric
    limit: float
    min_improvement: float = 0.0
    confidence: float = Field(0.95, gt=0.5, lt=1)
    beyond_chance: bool = False
    slices: tuple[Slice, ...] = ()
    baseline: str | None = None
    approval: Literal["automatic", "manual"] = "automatic"
    approval_hours: float = Field(12, gt=0)
    approval_default: Literal["approve", "reject"] = "reject"
