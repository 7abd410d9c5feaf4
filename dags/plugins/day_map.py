"""Airflow plugin: the page `Map of days` in Airflow's menu."""

from importlib import import_module
from typing import Any, ClassVar

from airflow.plugins_manager import AirflowPlugin


class LazyApp:
    """ASGI application that is created for the first request.

    Every process of Airflow loads the plugins, and only the API server needs the page.
    """

    def __init__(self) -> None:
        self._app: Any = None

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Handle a request."""
        if self._app is None:
            self._app = import_module("pages.day_map").create_app()
        await self._app(scope, receive, send)


class DayMapPlugin(AirflowPlugin):
    """The page and its entry in the menu."""

    name = "batchml"
    fastapi_apps: ClassVar[list[Any]] = [
        {"app": LazyApp(), "url_prefix": "/batchml", "name": "Map of days"}
    ]
    # Without a url_route, so that it opens in a tab: links in a frame of Airflow would be blocked.
    external_views: ClassVar[list[Any]] = [
        {
            "name": "Day map",  # a longer name is cut off
            "href": "/batchml/days",
            "destination": "nav",
            "nav_top_level": True,
        }
    ]
