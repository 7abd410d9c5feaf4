"""How a pipeline is monitored: what counts as drift, and when drift requires a training."""

from typing import Literal, Self

from pydantic import Field, model_validator

from batchml.config.base import Closed

Level = Literal["ok", "watch", "alarm"]


class Levels(Closed):
    """Two limits of a value: above ``watch`` it needs attention, above ``alarm`` a reaction."""

    watch: float = Field(gt=0)
    alarm: float = Field(gt=0)

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        if self.watch > self.alarm:
            raise ValueError(f"watch ({self.watch}) is above alarm ({self.alarm})")
        return self


class Monitoring(Closed):
    """The limits of ``monitor_drift``, and of the alarms ``late`` and ``volume``.

    The formulas of drift are in ``batchml.models.drift``, that of the volume in
    ``batchml.models.volume``.

    ``psi`` limits the population stability index: 0.1 and 0.25 are customary in the credit
    industry. ``nulls`` and ``unseen`` limit by how much a share exceeds that of the training.
    ``error`` limits the share by which the realised error exceeds that of the evaluation.
    A value must also exceed what chance explains. ``ignore`` lists inputs that are not watched,
    in addition to those of ``day_of_week``.

    A date is late if it was not made ``late_after_hours`` after the first scheduled run that
    follows it, or, for a missing file of a month or year, its period.
    ``volume`` limits the share by which the rows of a date differ from those of the same weekday
    in earlier weeks. Null turns these two off.
    """

    psi: Levels = Levels(watch=0.1, alarm=0.25)
    nulls: Levels = Levels(watch=0.02, alarm=0.1)
    unseen: Levels = Levels(watch=0.02, alarm=0.1)
    error: Levels = Levels(watch=0.15, alarm=0.3)
    ignore: tuple[str, ...] = ()
    late_after_hours: float | None = Field(48, gt=0)
    volume: Levels | None = Levels(watch=0.3, alarm=0.5)


class OnAlarm(Closed):
    """The alarms that require a training: ``days`` of the last ``of`` dates after the last one."""

    days: int = Field(2, ge=1)
    of: int = Field(3, ge=1)

    @model_validator(mode="after")
    def _possible(self) -> Self:
        if self.days > self.of:
            raise ValueError(f"{self.days} alarms cannot fall into {self.of} days")
        return self
