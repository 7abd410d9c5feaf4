"""Who is told of what."""

from typing import Literal, get_args

from batchml.config.base import Closed

Event = Literal["failed", "alarm", "approval", "promoted", "rolled_back"]


class Notifications(Closed):
    """Nobody is told of anything until a target is named: addresses for ``email`` (sent by Airflow's connection
    ``smtp_default``), or Airflow connections that hold Apprise URLs. No password stands in the YAML."""

    email: tuple[str, ...] = ()
    apprise: tuple[str, ...] = ()
    events: tuple[Event, ...] = get_args(Event)
