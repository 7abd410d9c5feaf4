"""How a model comes about and what it must reach: estimator, training and gate."""

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
REF = r"^[A-Za-z0-9_][A-Za-z0-9_./-]*$"  # of git; what begins with a dash would be an option


class Estimator(Closed):
    """An estimator by name, with the parameters of its Spark class (checked when it is built).

    ``kind: git`` is code of one's own: ``entry`` names a function, as ``module:function``, of ``repository`` at the
    commit that ``ref`` (a branch, a tag or a commit) stands for; it is called with ``params`` and returns an unfitted
    estimator. Only repositories that ``conf/repositories.yaml`` lists are fetched.
    """

    kind: Literal["linear", "logistic", "random_forest", "gbt", "xgboost", "git"]
    params: dict[Parameter, Any] = Field(default_factory=dict)
    grid: dict[Parameter, tuple[Any, ...]] = Field(default_factory=dict)
    repository: str | None = None
    ref: str | None = Field(None, pattern=REF)
    entry: str | None = Field(None, pattern=r"^[A-Za-z_][\w.]*:[A-Za-z_]\w*$")

    @model_validator(mode="after")
    def _whole(self) -> Self:
        given = [name for name in ("repository", "ref", "entry") if getattr(self, name) is not None]
        if self.kind == "git" and len(given) < 3:
            raise ValueError("kind git wants repository, ref and entry")
        if self.kind != "git" and given:
            raise ValueError(f"{', '.join(given)}: only of kind git")
        return self


class Training(Closed):
    """Which rows a model is fitted on and which it is evaluated on, and how often.

    ``split: time`` fits on the ``window_days`` days before the last ``holdout_days`` days up to ``--end``, and
    evaluates on those last days. ``split: hash`` takes the rows of ``--end`` alone and evaluates on
    ``holdout_fraction`` of them, chosen by a hash of what identifies a row: the pipeline's ``key``, or the columns of
    ``group``, whose rows then stay together (repeated measurements of one person, for example).

    No model passes the gate on a holdout of fewer than ``min_holdout_rows`` rows, ``min_holdout_days`` dates with rows
    (time split), or ``min_class_rows`` rows of a class.
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
    """``balanced``: every class counts the same in fitting, however rare. It bends the probabilities."""
    min_rows: int = Field(50, ge=2)
    min_holdout_rows: int = Field(20, ge=1)
    min_holdout_days: int | None = Field(None, ge=1)
    """None: two, or one if ``holdout_days`` is 1."""
    min_class_rows: int = Field(5, ge=0)
    """Of more than two classes, those with less than 1 % of the rows fitted on are not counted."""
    every_days: int | None = Field(7, ge=1)
    """None: not by the calendar. Without a champion a run trains in any case, and when it is asked to."""
    on_alarm: OnAlarm | None = OnAlarm()

    @property
    def days(self) -> int:
        """Return how many dates a training reads, the last one included."""
        return 1 if self.split == "hash" else self.window_days + self.holdout_days

    @property
    def least_holdout_days(self) -> int:
        """Return how many dates of the holdout must have rows; 1 for a hash split."""
        if self.split == "hash":
            return 1
        return self.min_holdout_days or min(2, self.holdout_days)

    @model_validator(mode="after")
    def _minimum_fits_the_holdout(self) -> Self:
        days = self.min_holdout_days
        if days is not None and self.split == "time" and days > self.holdout_days:
            raise ValueError(f"min_holdout_days is {days}, and holdout_days {self.holdout_days}")
        if self.group and self.split == "time":
            raise ValueError("group: only for split hash")
        return self


class Slice(Closed):
    """A part of the holdout that must not pay for the rest: the rows of each value of the feature ``by``.

    On a slice of at least ``min_rows`` the challenger's loss may exceed the champion's on the same rows by the share
    ``max_worse`` at most, unless that may be chance; and never ``max_loss``. The loss is what the gate's metric comes
    down to on a part of the rows, and smaller is better: of accuracy and f1 the error rate, of r2 the RMSE.
    """

    by: str
    max_worse: float = Field(0.1, ge=0)
    max_loss: float | None = None
    min_rows: int = Field(100, ge=1)


class Gate(Closed):
    """What a challenger must reach to become champion.

    ``limit`` is the worst value of ``metric`` that may ever serve; ``min_improvement`` is the share by which the
    champion must be bettered on the same rows (0 lets an equal, fresher model through). ``beyond_chance`` also asks
    that the interval of the difference, at ``confidence``, leaves no room for the champion being as good.

    ``baseline`` names a number whose value is itself a forecast, such as last week's, to be bettered instead of the
    constant (which stands in where it is null).

    ``approval: manual`` lets a person have the last word on a challenger that passed; without an answer within
    ``approval_hours`` it is ``approval_default``.
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
