"""Real servers on loopback for tests of sources: one that a test defines, and the samples API."""

import http.server
import importlib.util
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import ModuleType

import uvicorn

Answering = Callable[[http.server.BaseHTTPRequestHandler, int], None]


def body(text: str | bytes, status: int = 200, **headers: str) -> Answering:
    """Return an ordinary response."""
    sent = text.encode() if isinstance(text, str) else text

    def answer(handler: http.server.BaseHTTPRequestHandler, number: int) -> None:
        handler.send_response(status)
        for name, value in ({"Content-Length": str(len(sent))} | headers).items():
            handler.send_header(name.replace("_", "-"), value)
        handler.end_headers()
        handler.wfile.write(sent)

    return answer


def in_turn(*answers: Answering) -> Answering:
    """Return the responses in their order, and then the last one for all further requests."""
    return lambda handler, number: answers[min(number, len(answers) - 1)](handler, number)


def trickle(handler: http.server.BaseHTTPRequestHandler, number: int) -> None:
    """Send a byte every twentieth of a second, without end."""
    handler.send_response(200)
    handler.end_headers()
    while True:
        handler.wfile.write(b" ")
        time.sleep(0.05)


@contextmanager
def answering(paths: dict[str, Answering]) -> Iterator[tuple[str, list[str]]]:
    """Serve ``paths``, and 404 for others. Yield the address, and the requests so far."""
    asked: list[str] = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            answer = paths.get(self.path, body("", 404))
            with suppress(BrokenPipeError, ConnectionResetError):  # who asked has heard enough
                answer(self, asked.count(self.path) - 1)

        def log_message(self, *_: object) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}", asked
        server.shutdown()


def load_samples_api() -> ModuleType:
    """Return the module of ``data/samples_api.py``, which is on no path."""
    path = Path(__file__).resolve().parents[2] / "data" / "samples_api.py"
    spec = importlib.util.spec_from_file_location("samples_api", path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@contextmanager
def samples_api() -> Iterator[str]:
    """Run the samples API and yield its address."""
    server = uvicorn.Server(
        uvicorn.Config(load_samples_api().app, host="127.0.0.1", port=0, log_level="warning")
    )
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    while not server.started:
        assert thread.is_alive(), "it did not start"
        time.sleep(0.05)
    yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    server.should_exit = True
    thread.join()
