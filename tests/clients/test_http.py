"""Addresses of web pages that lead to each other."""

import gzip
import time
from pathlib import Path

import pytest

from batchml.clients import http
from batchml.clients.http import (
    Limits,
    download,
    get,
    linked_address,
    on_same_server,
    require_header,
    same_server,
)
from batchml.errors import BadConfig, BadData, PipelineError, Unavailable, without_secrets
from tests.support.servers import answering, body


@pytest.mark.parametrize(
    ("first", "following", "followed"),
    [
        ("https://api.org/rides", "http://api.org/rides?page=2", "https://api.org/rides?page=2"),
        (
            "https://api.org:8443/rides",
            "http://api.org/rides?page=2",
            "https://api.org:8443/rides?page=2",
        ),
        ("https://api.org/rides", "http://api.org:80/rides?page=2", "https://api.org/rides?page=2"),
        ("http://api.org:8099/r", "http://api.org/r?page=2", "http://api.org:8099/r?page=2"),
        ("https://me:pw@api.org/r", "http://api.org/r?page=2", "https://me:pw@api.org/r?page=2"),
    ],
)
def test_same_host_link_keeps_the_server(first: str, following: str, followed: str):
    assert on_same_server(first, following) == followed
    assert same_server(first, followed)


@pytest.mark.parametrize(
    ("first", "following"),
    [
        ("https://api.org/r", "https://evil.org/r"),
        ("https://api.org/r", "http://api.org:8080/r"),
        ("http://api.org:8099/r", "https://api.org/r"),
        ("https://api.org/r", "https://api.org.evil.org/r"),
    ],
)
def test_link_to_another_server_is_detected(first: str, following: str):
    assert not same_server(first, on_same_server(first, following))


def test_errors_hide_passwords_of_addresses():
    error = BadData(
        "MLflow at http://me:secret@127.0.0.1:9 failed",
        "GET https://token@host/x?api_key=secret&day=1 and s3://a:secret@b",
        remedy="open postgresql://me:secret@db/x",
    )
    assert "secret" not in str(error)
    assert "http://127.0.0.1:9 failed" in str(error)
    assert "day=1" in str(error)
    assert without_secrets("mail me@example.org about a://b") == "mail me@example.org about a://b"


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("http://me:p@ss-secret@host/x", "http://host/x"),
        ("postgresql://me:a/secret@db/x", "postgresql://db/x"),
        ("mysql+pymysql://me:se#secret?@db:3306/x", "mysql+pymysql://db:3306/x"),
        ("http://host/x?access_token=secret&day=1", "http://host/x?access_token=***&day=1"),
        ("jdbc:sqlserver://h;password=secret;x=1", "jdbc:sqlserver://h;password=***;x=1"),
        (
            "https://b/x?X-Amz-Signature=secret&sig=secret",
            "https://b/x?X-Amz-Signature=***&sig=***",
        ),
        ("http://host:8080/x?mail=me@example.org", "http://host:8080/x?mail=me@example.org"),
        ("http://host/x?author=me&design=1", "http://host/x?author=me&design=1"),
    ],
)
def test_secrets_of_addresses_are_hidden(text: str, shown: str):
    assert without_secrets(text) == shown


LIMITS = Limits(seconds=2, size=1000, attempts=1, clock=time.monotonic)


def slowly_packed(handler, number: int) -> None:
    """Stream a compressed response: its first packets contain no text."""
    packed = gzip.compress(b"x" * 500)
    handler.send_response(200)
    handler.send_header("Content-Encoding", "gzip")
    handler.send_header("Content-Length", str(len(packed)))
    handler.end_headers()
    for part in (packed[:10], packed[10:12], packed[12:]):
        handler.wfile.write(part)
        handler.wfile.flush()
        time.sleep(0.05)


def test_compressed_response_is_read_completely():
    with answering({"/x": slowly_packed}) as (address, _):
        answer = get(f"{address}/x", "x", LIMITS)
    assert answer is not None
    assert answer.body == b"x" * 500


def test_empty_response_is_none():
    with answering({"/x": body("", 204)}) as (address, _):
        assert get(f"{address}/x", "x", LIMITS) is None


ODD_ADDRESSES = [
    *("", "host/x", "ftp://host/x", "http://"),
    *("http://[bad/", "http://a..b/", "http://h:abc/", "http://h h/"),
]


@pytest.mark.parametrize("address", ODD_ADDRESSES)
def test_invalid_address_is_bad_configuration(address: str, tmp_path: Path):
    for call in (
        lambda: get(address, "x", LIMITS),
        lambda: download(address, tmp_path / "x"),
    ):
        with pytest.raises(BadConfig, match="is not a web address"):
            call()


@pytest.mark.parametrize(
    "link", ["http://[bad/", "http://h:abc/x", "http://h:99999/x", "mailto:a@b.org"]
)
def test_invalid_link_is_bad_data(link: str):
    with pytest.raises(BadData, match="the link to the next page is not a web address"):
        linked_address("http://h/x", link, "page 1")


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        (body("", 302, Location="http://[bad"), BadConfig),
        (body("", 302, Location="http://me:secret@h:abc/secret"), BadConfig),
        (body("x", Link='<http://[bad>; rel="next"'), BadData),
    ],
)
def test_invalid_response_headers_are_reported(answer, error: type[PipelineError]):
    with answering({"/x": answer}) as (address, _), pytest.raises(error) as caught:
        get(f"{address}/x", "x", LIMITS)
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize("value", ["secret\n", " secret", "secret\u20ac", "sec\rret"])
def test_invalid_request_header_hides_its_value(value: str):
    with pytest.raises(BadConfig, match="Token: the value has") as caught:
        require_header("Token", value, "source.headers.Token")
    assert "sec" not in str(caught.value).replace("source", "")


@pytest.mark.parametrize(
    ("proxy", "error"),
    [("http://me:secret@127.0.0.1:9", Unavailable), ("no:proxy:::/", BadConfig)],
)
def test_proxy_error_hides_the_password(
    proxy: str, error, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    for name in ("http_proxy", "HTTP_PROXY"):
        monkeypatch.setenv(name, proxy)
    for name in ("no_proxy", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(http, "BETWEEN_DOWNLOADS", lambda _: 0)
    address = "http://example.org/x"
    for call in (
        lambda: get(address, "x", LIMITS),
        lambda: download(address, tmp_path / "x"),
    ):
        with pytest.raises(error, match="prox") as caught:
            call()
        assert "secret" not in str(caught.value)
        assert caught.value.remedy == http.PROXY
