"""Send GET requests over HTTP, limited in time and size, with retries where they can help.

Addresses and headers may contain credentials, so an error shows the caller's name of the address.
"""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urljoin, urlsplit

import requests
from tenacity import (
    Retrying,
    retry_if_exception,
    retry_if_exception_type,
    stop_after_attempt,
    wait_exponential,
    wait_random_exponential,
)
from urllib3.exceptions import HTTPError, LocationValueError

from batchml.errors import BadConfig, BadData, PipelineError, Unavailable

ABSENT = (requests.codes.no_content, requests.codes.not_found, requests.codes.gone)
WRONG_ADDRESS = (
    requests.exceptions.InvalidURL,
    requests.exceptions.InvalidSchema,
    requests.exceptions.MissingSchema,
    requests.exceptions.ProxyError,
    LocationValueError,
)
PROXY = "check HTTP_PROXY, HTTPS_PROXY and NO_PROXY"
CHUNK = 1 << 16
LAST_OF_LATIN_1 = 0xFF
LONGEST_WAIT = 10  # seconds between two attempts
SECONDS_TO_DOWNLOAD = 3600  # of one file, over all attempts
BETWEEN_DOWNLOADS = wait_exponential(max=10)


@dataclass(frozen=True)
class Limits:
    """Limits of one response: seconds in all by ``clock``, bytes, and the number of attempts."""

    seconds: float
    size: int
    attempts: int
    clock: Callable[[], float]


@dataclass(frozen=True)
class Page:
    """A complete response. ``following`` is the address of the next page by its header."""

    body: bytes
    encoding: str
    following: str | None


def get(
    address: str,
    display_name: str,
    limits: Limits,
    headers: Mapping[str, str] | None = None,
) -> Page | None:
    """Return the response of ``address``, or None if the server has nothing (404, 410).

    Raise Unavailable if no attempt succeeds: no connection, a server's error (5xx), too many
    requests (429), or a response that does not end in time. Raise BadConfig for an error that a
    retry cannot change (other 4xx, redirections), and BadData for a response that is too large.
    """
    attempts = Retrying(
        retry=retry_if_exception_type(Unavailable),
        stop=stop_after_attempt(limits.attempts),
        wait=wait_random_exponential(multiplier=0.5, max=LONGEST_WAIT),
        reraise=True,
    )
    return attempts(_get, address, display_name, limits, headers or {})


def _get(
    address: str, display_name: str, limits: Limits, headers: Mapping[str, str]
) -> Page | None:
    deadline = limits.clock() + limits.seconds
    try:
        # Follow no redirection: the headers may contain a password that is for this server only.
        with _send(
            address,
            display_name,
            headers=dict(headers),
            timeout=limits.seconds,
            allow_redirects=False,
        ) as response:
            if response.status_code in ABSENT:
                return None
            raise_for_status(response, display_name)
            body = _body(response, deadline, limits, display_name)

            following = None
            link = response.links.get("next", {}).get("url")
            if link:
                following = linked_address(address, link, display_name)
            return Page(body, _encoding(response), following)
    except WRONG_ADDRESS as error:
        raise _wrong_address(error, display_name) from None
    except (requests.RequestException, HTTPError) as error:
        # Neither show nor chain the error: it quotes the address with its credentials.
        raise Unavailable(
            f"{display_name} could not be read: {type(error).__name__}",
            remedy="check that the server is up and that this machine can reach it",
        ) from None


def _send(address: str, display_name: str, **options: Any) -> requests.Response:
    try:
        return requests.get(address, stream=True, **options)
    except (requests.RequestException, LocationValueError):
        raise
    except ValueError:  # requests looks at the target of a redirection even if it does not follow
        raise BadConfig(
            f"{display_name}: the server redirects to a target that is not an address",
            remedy="set the address to the final one, without a redirection",
        ) from None


def download(
    url: str,
    partial: Path,
    advance: Callable[[int, int | None], None] = lambda have, total: None,
    *,
    seconds: float = SECONDS_TO_DOWNLOAD,
    clock: Callable[[], float] = time.monotonic,
) -> bool:
    """Download a file of any size to ``partial``, continuing where an earlier attempt broke off.

    ``advance`` receives the number of bytes received, and the total if it is known. Return False,
    and write no file, if the server has none: 404, or 403, with which object stores respond to
    strangers. Raise as ``get`` does, and Unavailable after ``seconds`` in all: a very slow
    connection would otherwise block a job forever.
    """
    deadline = clock() + seconds

    def within_the_deadline(have: int, total: int | None) -> None:
        if clock() > deadline:
            raise TooSlowError(url, seconds)
        advance(have, total)

    attempts = Retrying(
        retry=retry_if_exception(
            lambda error: isinstance(error, Unavailable) and not isinstance(error, TooSlowError)
        ),
        stop=stop_after_attempt(3),
        wait=BETWEEN_DOWNLOADS,
        reraise=True,
    )
    return attempts(_download, url, partial, within_the_deadline)


class TooSlowError(Unavailable):
    """A download that did not end in time. An immediate retry would not either."""

    def __init__(self, url: str, seconds: float) -> None:
        super().__init__(
            f"{url}: the download has not ended after {seconds:g} s",
            remedy="check the server, or put the file into the landing folder manually",
        )


def _download(url: str, partial: Path, advance: Callable[[int, int | None], None]) -> bool:
    have = 0
    if partial.is_file():
        have = partial.stat().st_size
    tag = partial.with_name(f"{partial.name}.etag")
    headers = _range_headers(have, tag)
    try:
        with _send(url, url, headers=headers, timeout=(10, 60)) as response:
            status = response.status_code
            if status == requests.codes.requested_range_not_satisfiable:
                partial.unlink()
                raise Unavailable(f"{url}: the file has changed since the last attempt")
            if status in ABSENT or status == requests.codes.forbidden:
                return False
            raise_for_status(response, url)
            tag.write_text(response.headers.get("ETag", ""))
            if status != requests.codes.partial_content:
                have = 0
            _write(response, partial, have, advance)
        tag.unlink()
    except WRONG_ADDRESS as error:
        raise _wrong_address(error, url) from None
    except (requests.RequestException, HTTPError) as error:
        raise Unavailable(
            f"{url} could not be fetched",
            str(error),
            remedy="check the network connection and rerun",
        ) from error
    return True


def _range_headers(have: int, tag: Path) -> dict[str, str]:
    """Return the headers of a request for the bytes from ``have`` on."""
    # Sizes and positions of a compressed transfer would not be those of the file.
    headers = {"Accept-Encoding": "identity"}
    if not have:
        return headers
    headers["Range"] = f"bytes={have}-"
    if tag.is_file() and tag.read_text():
        # With it the server sends a file completely if it has changed meanwhile.
        headers["If-Range"] = tag.read_text()
    return headers


def _write(
    response: requests.Response,
    partial: Path,
    have: int,
    advance: Callable[[int, int | None], None],
) -> None:
    """Write the body of a response after the first ``have`` bytes of the file."""
    length = response.headers.get("Content-Length", "")
    # Some servers compress anyway, and the length is then that of the compressed bytes.
    is_plain = response.headers.get("Content-Encoding", "identity") == "identity"
    total = None
    if length.isdecimal() and is_plain:
        total = have + int(length)
    mode = "ab" if have else "wb"
    try:
        with partial.open(mode) as handle:
            # Read pieces as they arrive: a full chunk of a slow stream could exceed every deadline.
            while chunk := response.raw.read1(CHUNK, decode_content=True):
                handle.write(chunk)
                advance(handle.tell(), total)
            size = handle.tell()
    except HTTPError:
        if not is_plain:
            partial.unlink()  # a download resumes at a position of the compressed file
        raise
    if total is not None and size != total:
        raise Unavailable(f"{response.url}: the connection ended after {size} of {total} bytes")


def _encoding(response: requests.Response) -> str:
    """Return the encoding that the header states, else UTF-8.

    requests follows an older rule, by which a text without one is Latin-1.
    """
    if "charset" not in response.headers.get("Content-Type", "").lower():
        return "utf-8"
    return response.encoding or "utf-8"


def _wrong_address(error: Exception, display_name: str) -> PipelineError:
    """Return the error for an address, or the address of a proxy, that cannot be used."""
    if isinstance(error, requests.exceptions.InvalidProxyURL):
        return BadConfig("the environment names a proxy that is not an address", remedy=PROXY)
    if isinstance(error, requests.exceptions.ProxyError):
        return Unavailable(
            f"{display_name} could not be read: the proxy does not respond", remedy=PROXY
        )
    return BadConfig(
        f"{display_name} is not a web address", remedy="start it with http:// or https://"
    )


def is_address(text: str) -> bool:
    """Return True if ``text`` is a whole web address."""
    try:
        parts = urlsplit(text)
        return parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:  # brackets that do not close, or a port that is not a number
        return False


def linked_address(address: str, link: str, display_name: str) -> str:
    """Return the target of ``link``, which is on the page at ``address``.

    Raise BadData if it is not a web address.
    """
    try:
        target = urljoin(address, link)
    except ValueError:
        target = ""
    if not is_address(target):
        raise BadData(
            f"{display_name}: the link to the next page is not a web address",
            remedy="report it to the publisher, or count the pages with source.paging",
        )
    return target


def require_header(name: str, value: str, where: str) -> None:
    """Raise BadConfig for a header that cannot be sent, without its possibly secret value."""
    is_sendable = name.isascii() and value.isprintable() and value.strip() == value
    if not is_sendable or any(ord(character) > LAST_OF_LATIN_1 for character in value):
        raise BadConfig(
            f"{where}: the value has a line break, a space at an end, or a character outside of "
            "Latin-1",
            remedy="correct the value, or the environment variables in it",
        )


def same_server(one: str, other: str) -> bool:
    """Return True if two addresses have the same scheme, host and port."""
    first = urlsplit(one)
    second = urlsplit(other)
    return (first.scheme, first.netloc) == (second.scheme, second.netloc)


def server_of(address: str) -> str:
    """Return scheme, host and port of an address, without user and password."""
    parts = urlsplit(address)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}"


def on_same_server(first: str, following: str) -> str:
    """Return ``following`` with scheme and port of ``first``.

    It is unchanged if it names another host, another port, or a scheme that is not weaker.
    """
    one = urlsplit(first)
    other = urlsplit(following)
    is_weaker = other.scheme in (one.scheme, "http")
    default = {"http": 80, "https": 443}.get(other.scheme)
    is_port = other.port in (None, one.port, default)
    if one.hostname == other.hostname and is_weaker and is_port:
        return other._replace(scheme=one.scheme, netloc=one.netloc).geturl()
    return following


def raise_for_status(response: requests.Response, display_name: str) -> None:
    """Raise Unavailable for a status that a retry may change, BadConfig for one that it cannot."""
    status = response.status_code
    if status == requests.codes.too_many_requests or status >= requests.codes.server_error:
        raise Unavailable(
            f"{display_name}: the server responds with {status} {response.reason}",
            remedy="check the server's status, then retry",
        )
    if status >= requests.codes.bad_request:
        raise BadConfig(
            f"{display_name}: the server responds with {status} {response.reason}",
            remedy="check the address, and the variables that its credentials come from",
        )
    if status >= requests.codes.multiple_choices:
        # Show only scheme and host: the path may contain a secret from an environment variable.
        target = urljoin(response.url, response.headers.get("Location", ""))
        problem = f"{display_name}: the server redirects"
        if not same_server(response.url, target):
            problem += f" to {server_of(target)}"
        raise BadConfig(
            problem,
            remedy="set the address to the final one, without a redirection",
        )


def _body(response: requests.Response, deadline: float, limits: Limits, display_name: str) -> bytes:
    """Return the whole body. Raise BadData if it is too large, Unavailable if it is too slow.

    The time-out of requests is between two packets, so a slow stream never reaches it.
    """
    body = bytearray()
    while chunk := response.raw.read1(CHUNK, decode_content=True):
        body += chunk
        if len(body) > limits.size:
            raise BadData(
                f"{display_name}: the response is larger than {limits.size / 1e6:g} MB",
                remedy="check the address, or raise source.max_megabytes",
            )
        if limits.clock() > deadline:
            raise Unavailable(
                f"{display_name}: the response has not ended after {limits.seconds:g} s",
                remedy="retry later, or raise source.seconds",
            )
    return bytes(body)
