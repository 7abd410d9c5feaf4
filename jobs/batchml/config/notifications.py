"""The messages that a pipeline sends, and their targets."""

from typing import Literal, get_args

from pydantic import Field

from batchml.config.base import Closed

Event = Literal["failed", "alarm", "approval", "promoted", "rolled_back", "late", "volume"]


class Notifications(Closed):
    """The events that are reported, and their targets. Without a target no event is sent.

    ``email`` lists addresses: Airflow's connection ``smtp_default`` sends to them. ``apprise``
    lists Airflow connections that contain Apprise URLs. So the YAML contains no password.

    ``ping`` is an Airflow connection of type HTTP. Its address is requested after each daily run in
    which no task failed. A service such as healthchecks.io sends an alarm if the request does not
    arrive, also if this machine is down.
    """

    email: tuple[str, ...] = ()
    apprise: tuple[str, ...] = ()
    events: tuple[Event, ...] = get_args(Event)
    ping: str | None = Field(None, min_length=1)
