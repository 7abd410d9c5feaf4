"""GET over HTTP: bounded in time and size, tried again where that can help, with errors that hold no secret.

Addresses and headers may hold credentials, so an error names what was asked by the name its caller gives it.
"""

import time
from collections.abc import Callable, Iterator, Mapping
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
NO_ADDRESS = (
    requests.exceptions.InvalidURL,
    requests.exceptions.InvalidSchema,
    requests.exceptions.MissingSchema,
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
    """What one answer may take: seconds in all, and bytes; and how often it is asked for before giving up."""

    seconds: float
    size: int
    attempts: int


@dataclass(frozen=True)
class Answer:
    """A whole answer. ``following`` is where its header says the next page is."""

    body: bytes
    encoding: str
    following: str | None


def get(
    address: str,
    shown: str,
    limits: Limits,
    clock: Callable[[], float],
    headers: Mapping[str, str] | None = None,
) -> Answer | None:
    """The answer of ``address``, or None where the server has nothing (404, 410).

    Raises Unavailable when no attempt succeeded: no connection, a server's error (5xx), too many requests (429), or an
    answer that did not end in time. BadConfig for what asking again cannot change (other 4xx, redirections), BadData
    for an answer that is too large.
    """
    attempts = Retrying(
        retry=retry_if_exception_type(Unavailable),
        stop=stop_after_attempt(limits.attempts),
        wait=wait_random_exponential(multiplier=0.5, max=LONGEST_WAIT),
        reraise=True,
    )
    return attempts(_get, address, shown, limits, clock, headers or {})


def _get(
    address: str, shown: str, limits: Limits, clock: Callable[[], float], headers: Mapping[str, str]
) -> Answer | None:
    deadline = clock() + limits.seconds
    try:
        # Redirections are not followed: the headers may hold a password that is meant for this server only.
        with _send(
            address, shown, headers=dict(headers), timeout=limits.seconds, allow_redirects=False
        ) as answer:
            if answer.status_code in ABSENT:
                return None
            require_well(answer, shown)
            body = bytearray()
            for chunk in _in_time(answer, deadline, clock, shown, limits):
                body += chunk
                if len(body) > limits.size:
                    raise BadData(
                        f"{shown}: the answer is larger than {limits.size / 1e6:g} MB",
                        remedy="is it the right address? a larger answer is allowed by source.max_megabytes",
                    )
            link = answer.links.get("next", {}).get("url")
            following = linked_address(address, link, shown) if link else None
            return Answer(bytes(body), _encoding(answer), following)
    except (*NO_ADDRESS, requests.exceptions.ProxyError) as error:
        raise _wrong_address(error, shown) from None
    except (requests.RequestException, HTTPError) as error:
        # Not its text, and not as the cause: both quote the address as it was asked for.
        raise Unavailable(
            f"{shown} could not be read: {type(error).__name__}",
            remedy="is the server up, and can this machine reach it?",
        ) from None


def _send(address: str, shown: str, **options: Any) -> requests.Response:
    try:
        return requests.get(address, stream=True, **options)
    except (requests.RequestException, LocationValueError):
        raise
    except ValueError:  # requests looks at the target of a redirection even if it does not follow
        raise BadConfig(
            f"{shown}: the server redirects to what is not an address",
            remedy="name the address that answers itself",
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

    ``advance`` receives the bytes that have arrived, and how many there will be if that is known.
    Returns False, and writes no file, where the server has none: 404, or 403, by which object stores
    answer strangers. Raises as ``get`` does, and Unavailable when it takes more than ``seconds`` in
    all: a connection that trickles would otherwise keep a job for ever.
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
    """A download that did not end in time; another attempt at once would not either."""

    def __init__(self, url: str, seconds: float) -> None:
        super().__init__(
            f"{url}: the download has not ended after {seconds:g} s",
            remedy="check the server, or put the file into the landing folder manually",
        )


def _download(url: str, partial: Path, advance: Callable[[int, int | None], None]) -> bool:
    have = partial.stat().st_size if partial.is_file() else 0
    tag = partial.with_name(f"{partial.name}.etag")
    # Uncompressed: sizes and positions of a compressed transfer would not be those of the file.
    headers = {"Accept-Encoding": "identity"} | ({"Range": f"bytes={have}-"} if have else {})
    if have and tag.is_file() and tag.read_text():
        headers["If-Range"] = (
            tag.read_text()
        )  # a file that was published anew meanwhile is sent whole
    try:
        with _send(url, url, headers=headers, timeout=(10, 60)) as answer:
            if answer.status_code == requests.codes.requested_range_not_satisfiable:
                partial.unlink()
                raise Unavailable(f"{url}: what was fetched before does not fit the file any more")
            if answer.status_code in (*ABSENT, requests.codes.forbidden):
                return False
            require_well(answer, url)
            tag.write_text(answer.headers.get("ETag", ""))
            _write(
                answer,
                partial,
                have if answer.status_code == requests.codes.partial_content else 0,
                advance,
            )
        tag.unlink()
    except (*NO_ADDRESS, requests.exceptions.ProxyError) as error:
        raise _wrong_address(error, url) from None
    except (requests.RequestException, HTTPError) as error:
        raise Unavailable(
            f"{url} could not be fetched",
            str(error),
            remedy="check the network connection and rerun",
        ) from error
    return True


def _write(
    answer: requests.Response, partial: Path, have: int, advance: Callable[[int, int | None], None]
) -> None:
    length = answer.headers.get("Content-Length", "")
    # Some servers compress although they were told not to: the length is then that of other bytes.
    is_plain = answer.headers.get("Content-Encoding", "identity") == "identity"
    total = have + int(length) if length.isdecimal() and is_plain else None
    try:
        with partial.open("ab" if have else "wb") as handle:
            # Pieces as they arrive: a full chunk of a trickle would be waited for past every deadline.
            while chunk := answer.raw.read1(CHUNK, decode_content=True):
                handle.write(chunk)
                advance(handle.tell(), total)
            size = handle.tell()
    except HTTPError:
        if not is_plain:
            partial.unlink()  # a download resumes at a position of the compressed file
        raise
    if total is not None and size != total:
        raise Unavailable(f"{answer.url}: the connection ended after {size} of {total} bytes")


def _encoding(answer: requests.Response) -> str:
    """As the header says; without a word UTF-8, where requests goes by an older rule and takes text for Latin-1."""
    says = "charset" in answer.headers.get("Content-Type", "").lower()
    return (answer.encoding if says else None) or "utf-8"


def _wrong_address(error: Exception, shown: str) -> PipelineError:
    """Return the error for an address, or a proxy's, that no request can be sent to."""
    if isinstance(error, requests.exceptions.InvalidProxyURL):
        return BadConfig("the environment names a proxy that is not an address", remedy=PROXY)
    if isinstance(error, requests.exceptions.ProxyError):
        return Unavailable(f"{shown} could not be read: the proxy does not respond", remedy=PROXY)
    return BadConfig(
        f"{shown} is no address of the web", remedy="it begins with http:// or https://"
    )


def is_address(text: str) -> bool:
    """Return True if ``text`` is a whole address of the web."""
    try:
        parts = urlsplit(text)
        return parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:  # of brackets that do not close, and of a port that is none
        return False


def linked_address(address: str, link: str, shown: str) -> str:
    """Return the address that ``link``, on the page at ``address``, leads to.

    Raise BadData if it is none.
    """
    try:
        target = urljoin(address, link)
    except ValueError:
        target = ""
    if not is_address(target):
        raise BadData(
            f"{shown}: the link to the next page is not an address of the web",
            remedy="report it to the publisher, or count the pages with source.paging",
        )
    return target


def require_header(name: str, value: str, where: str) -> None:
    """Raise BadConfig for a header that cannot be sent. Its value may be a secret and is not shown."""
    is_sendable = name.isascii() and value.isprintable() and value.strip() == value
    if not is_sendable or any(ord(character) > LAST_OF_LATIN_1 for character in value):
        raise BadConfig(
            f"{where}: the value has a line break, a space at an end, or a character outside of Latin-1",
            remedy="correct the value, or the environment variables in it",
        )


def same_server(one: str, other: str) -> bool:
    """Whether two addresses have scheme, host and port in common."""
    first, second = urlsplit(one), urlsplit(other)
    return (first.scheme, first.netloc) == (second.scheme, second.netloc)


def server_of(address: str) -> str:
    """Return scheme, host and port of an address, without user and password."""
    parts = urlsplit(address)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}"


def on_same_server(first: str, following: str) -> str:
    """Return ``following`` with scheme and port of ``first`` if it only has a weaker scheme or leaves the port out."""
    one, other = urlsplit(first), urlsplit(following)
    is_weaker = other.scheme in (one.scheme, "http")
    default = {"http": 80, "https": 443}.get(other.scheme)
    is_port = other.port in (None, one.port, default)
    if one.hostname == other.hostname and is_weaker and is_port:
        return other._replace(scheme=one.scheme, netloc=one.netloc).geturl()
    return following


def require_well(answer: requests.Response, shown: str) -> None:
    """Raises Unavailable for a status that may be another one next time, BadConfig for one that will not."""
    status = answer.status_code
    if status == requests.codes.too_many_requests or status >= requests.codes.server_error:
        raise Unavailable(
            f"{shown}: the server answers {status} {answer.reason}",
            remedy="is it well? try again later",
        )
    if status >= requests.codes.bad_request:
        raise BadConfig(
            f"{shown}: the server answers {status} {answer.reason}",
            remedy="look at the address, and at the variables it takes credentials from",
        )
    if status >= requests.codes.multiple_choices:
        # Not the path: it may hold what the address has from a variable.
        target = urljoin(answer.url, answer.headers.get("Location", ""))
        elsewhere = "" if same_server(answer.url, target) else f" to {server_of(target)}"
        raise BadConfig(
            f"{shown}: the server redirects{elsewhere}",
            remedy="name the address that answers itself",
        )


def _in_time(
    answer: requests.Response,
    deadline: float,
    clock: Callable[[], float],
    shown: str,
    limits: Limits,
) -> Iterator[bytes]:
    """The body's pieces as they come. The time-out of requests is between two packets: a trickle never reaches it."""
    while chunk := answer.raw.read1(CHUNK, decode_content=True):
        yield chunk
        if clock() > deadline:
            raise Unavailable(
                f"{shown}: the answer has not ended after {limits.seconds:g} s",
                remedy="try again later",
            )
