"""Screenshots by headless Chromium, logged in to Airflow."""

import shutil
import subprocess
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

FLAGS = [
    *(
        "--headless",
        "--no-sandbox",
        "--disable-gpu",
        "--disable-quic",
        "--no-first-run",
        "--hide-scrollbars",
    ),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
    *("--window-size=1500,950", "--virtual-time-budget=20000"),
]


def find_browser() -> str | None:
    """Chromium, or what goes by another of its names."""
    return next(
        filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None
    )


def screenshot(browser: str, url: str, picture: Path, token: str = "") -> None:
    """Return a picture of the page at ``url``. Airflow's pages require a ``token``."""
    with (
        tempfile.TemporaryDirectory(prefix="browser-") as profile,
        logged_in(token, url) as address,
    ):
        command = [
            browser,
            *FLAGS,
            f"--user-data-dir={profile}",
            f"--screenshot={picture}",
            address,
        ]
        subprocess.run(command, capture_output=True, check=True, timeout=120)


@contextmanager
def logged_in(token: str, url: str) -> Iterator[str]:
    """Yield an address that sets the log-in's cookie in the browser and redirects it to ``url``.

    A cookie belongs to a host and not to a port: all servers on 127.0.0.1 share it.
    """
    if not token:
        yield url
        return

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(302)
            self.send_header("Set-Cookie", f"_token={token}; Path=/")
            self.send_header("Location", url)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Says nothing."""

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/"
        server.shutdown()
