"""`make fetch` against a real HTTP server on loopback."""

import gzip
import http.server
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from rich.console import Console

from batchml.clients.http import download
from batchml.config.sources import LookupTable
from batchml.errors import BadData, Unavailable
from local.__main__ import main
from local.fetch import fetch_lookup
from local.samples.green_taxi import SYNTHETIC
from tests.support.servers import answering, body, trickle

NAME = "green_tripdata_2021-01.parquet"


class Server(http.server.ThreadingHTTPServer):
    """A server of ``files``, packed for a client that accepts it, which remembers the requests.

    The first response to a path in ``cut`` ends half-way.
    """

    files: dict[str, bytes]
    cut: set[str]
    ranges: list[str | None]

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/green_tripdata_{{yyyy}}-{{MM}}.parquet"


class Handler(http.server.BaseHTTPRequestHandler):
    server: Server

    def do_GET(self) -> None:
        name = self.path.strip("/")
        self.server.ranges.append(self.headers["Range"])
        if name not in self.server.files:
            self.send_error(404)
            return
        packs = "gzip" in self.headers["Accept-Encoding"]
        body = gzip.compress(self.server.files[name]) if packs else self.server.files[name]
        first = (
            int(self.headers["Range"].removeprefix("bytes=").rstrip("-"))
            if self.headers["Range"]
            else 0
        )
        self.send_response(206 if first else 200)
        self.send_header("Content-Length", str(len(body) - first))
        if packs:
            self.send_header("Content-Encoding", "gzip")
        self.end_headers()
        if name in self.server.cut:
            self.server.cut.remove(name)
            self.wfile.write(body[first : first + (len(body) - first) // 2])
        else:
            self.wfile.write(body[first:])

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def server() -> Iterator[Server]:
    with Server(("127.0.0.1", 0), Handler) as running:
        running.files, running.cut, running.ranges = {}, set(), []
        threading.Thread(target=running.serve_forever, daemon=True).start()
        yield running
        running.shutdown()


def parquet(rows: int, metadata: dict[bytes, bytes] | None = None) -> bytes:
    sink = pa.BufferOutputStream()
    pq.write_table(pa.table({"n": range(rows)}).replace_schema_metadata(metadata), sink)
    return sink.getvalue().to_pybytes()


def fetch(server: Server, landing: Path, *months: str) -> int:
    return main(["fetch", "--landing", str(landing), "--url", server.url, *months])


def test_fetched_month_lands_complete(server: Server, tmp_path: Path, capsys):
    server.files[NAME] = parquet(1000)
    assert fetch(server, tmp_path, "2021-01") == 0
    assert [path.name for path in tmp_path.iterdir()] == [NAME]
    assert (tmp_path / NAME).read_bytes() == server.files[NAME]
    assert "1,000 rows" in capsys.readouterr().out


def test_existing_month_is_not_fetched_again(server: Server, tmp_path: Path):
    (tmp_path / NAME).write_bytes(parquet(3))
    assert fetch(server, tmp_path, "2021-01") == 0
    assert server.ranges == []


def test_synthetic_month_is_replaced(server: Server, tmp_path: Path):
    (tmp_path / NAME).write_bytes(parquet(3, {SYNTHETIC: b"seed 1"}))
    server.files[NAME] = parquet(5)
    assert fetch(server, tmp_path, "2021-01") == 0
    assert pq.read_metadata(tmp_path / NAME).num_rows == 5


def test_broken_download_is_resumed(server: Server, tmp_path: Path):
    server.files[NAME] = parquet(50_000)
    server.cut.add(NAME)
    assert fetch(server, tmp_path, "2021-01") == 0
    assert (tmp_path / NAME).read_bytes() == server.files[NAME]
    arrived = len(server.files[NAME]) // 2
    assert server.ranges == [None, f"bytes={arrived}-"]


def test_slow_download_ends_at_its_deadline(tmp_path: Path):
    with answering({"/a": trickle}) as (url, asked), pytest.raises(Unavailable) as caught:
        download(f"{url}/a", tmp_path / "a", seconds=0.3)
    assert caught.value.message.endswith("/a: the download has not ended after 0.3 s")
    assert caught.value.remedy
    assert asked == ["/a"], "another attempt would trickle, too"


def test_unrequested_compression_is_unpacked(tmp_path: Path):
    packed = gzip.compress(b"a" * 1000)
    with answering({"/a": body(packed, Content_Encoding="gzip")}) as (url, _):
        assert download(f"{url}/a", tmp_path / "a")
    assert (tmp_path / "a").read_bytes() == b"a" * 1000


def test_invalid_content_length_is_ignored(tmp_path: Path):
    with answering({"/a": body("whole", Content_Length="abc")}) as (url, _):
        assert download(f"{url}/a", tmp_path / "a")
    assert (tmp_path / "a").read_text() == "whole"


def test_missing_month_leaves_no_file(server: Server, tmp_path: Path, capsys):
    assert fetch(server, tmp_path, "2021-01") == 3
    assert "the server has no such file" in capsys.readouterr().out
    assert list(tmp_path.iterdir()) == []


def test_invalid_parquet_leaves_no_file(server: Server, tmp_path: Path, capsys):
    server.files[NAME] = b"<html>maintenance</html>"
    assert fetch(server, tmp_path, "2021-01") == 3
    assert "is not a readable parquet file" in capsys.readouterr().out
    assert list(tmp_path.iterdir()) == []


def test_missing_network_is_reported(tmp_path: Path, capsys):
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    assert (
        main(
            [
                "fetch",
                "--landing",
                str(tmp_path),
                "--url",
                f"http://127.0.0.1:{port}/a_{{yyyy}}",
                "2021-01",
            ]
        )
        == 5
    )
    assert "check the network connection and rerun" in capsys.readouterr().out


@pytest.mark.parametrize("months", [[], ["2021-13"], ["January"]])
def test_invalid_month_is_refused(tmp_path: Path, months: list[str]):
    assert main(["fetch", "--landing", str(tmp_path), *months]) == 4


def test_lookup_table_lands_once(server: Server, tmp_path: Path):
    table = LookupTable(
        path="zones.csv",
        key="LocationID",
        url=server.url.replace("green_tripdata_{yyyy}-{MM}.parquet", "z"),
    )
    quiet = Console(quiet=True)
    with pytest.raises(BadData, match="the server has no such file"):
        fetch_lookup(table, tmp_path, quiet)
    (tmp_path / "zones.csv").write_bytes(b"LocationID,Borough\n1," + SYNTHETIC)
    server.files["z"] = b"LocationID,Borough\n1,Queens\n"
    assert fetch_lookup(table, tmp_path, quiet).startswith("zones.csv: 0.0 kB")
    assert (tmp_path / "zones.csv").read_bytes() == server.files["z"]
    assert fetch_lookup(table, tmp_path, quiet) == "zones.csv is in place"
    with pytest.raises(BadData, match="is not a CSV file with a column Zone"):
        fetch_lookup(table.model_copy(update={"key": "Zone", "path": "other.csv"}), tmp_path, quiet)
