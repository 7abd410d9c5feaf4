"""How a pipeline is watched after training: what counts as drift, and when drift asks for a training."""

from typing import Literal, Self

from pydantic import Field, model_validator

from batchml.config.base import Closed

Level = Literal["ok", "watch", "alarm"]


class Levels(Closed):
    """Above ``watch`` a value is worth a look, above ``alarm`` it asks for an answer."""

    watch: float = Field(gt=0)
    alarm: float = Field(gt=0)

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        if self.watch > self.alarm:
            raise ValueError(f"watch ({self.watch}) is above alarm ({self.alarm})")
        return self


class Monitoring(Closed):
    """Thresholds of ``monitor_drift``; its formulas stand in ``batchml.models.drift``.

    ``psi``: population stability index; 0.1 and 0.25 are the credit industry's customary limits. ``nulls`` and
    ``unseen``: by how much a share may exceed the training's. ``error``: by which share the realised error may exceed
    the one promised at evaluation. ``ignore``: inputs that are not watched.
    """

    psi: Levels = Levels(watch=0.1, alarm=0.25)
    nulls: Levels = Levels(watch=0.02, alarm=0.1)
    unseen: Levels = Levels(watch=0.02, alarm=0.1)
    error: Levels = Levels(watch=0.15, alarm=0.3)
    ignore: tuple[str, ...] = ()


class OnAlarm(Closed):
    """Train when at least ``days`` of the last ``of`` days since the last training were alarms."""

    days: int = Field(2, ge=1)
    of: int = Field(3, ge=1)

    @model_validator(mode="after")
    def _possible(self) -> Self:
        if self.days > self.of:
            raise ValueError(f"{self.days} alarms cannot fall into {self.of} days")
        return self
