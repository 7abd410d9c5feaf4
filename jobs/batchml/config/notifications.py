"""Who is notified of which events."""

from typing import Literal, get_args

from batchml.config.base import Closed

Event = Literal["failed", "alarm", "approval", "promoted", "rolled_back"]


class Notifications(Closed):
    """The events that are reported, and their targets. Without a target nothing is sent.

    ``email`` lists addresses: Airflow's connection ``smtp_default`` sends to them. ``apprise``
    lists Airflow connections that contain Apprise URLs. So the YAML contains no password.
    """

    email: tuple[str, ...] = ()
    apprise: tuple[str, ...] = ()
    events: tuple[Event, ...] = get_args(Event)
