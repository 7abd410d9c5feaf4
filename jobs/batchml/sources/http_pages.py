"""Read the pages of a web API: the driver fetches them within limits, and rows are text."""

import datetime as dt
import json
import os
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field
from urllib.parse import parse_qsl, urlencode, urlsplit

import pyarrow as pa
from pyspark.sql import DataFrame

from batchml.clients import http
from batchml.clients.stored_files import Fingerprint
from batchml.config import expand
from batchml.config.sources import HttpSource, Paging
from batchml.errors import BadConfig, BadData, Missing, without_secrets
from batchml.rows.conform import conform
from batchml.rows.matching import Matched, match, other_columns
from batchml.sources.delivery import (
    MALFORMED,
    ROW,
    Delivery,
    Extract,
    Request,
    combine,
    form_of,
    requested_periods,
    to_extract_columns,
)
from batchml.sources.page_rows import PageRows, Row, next_address

MOST_NAMES = 1000  # different names of columns: they are columns of a frame
NumberedPage = tuple[int, http.Page | None]
"""A page and its number, from 1. None is a page that the server does not have."""


def read_http(request: Request) -> Extract:
    """Return the rows of web pages.

    A row's number is its index among all rows of the period, page after page. A row that is not an
    object or lacks a required column is malformed: quarantined with its text. A period for which
    the server has nothing (404) is missing.
    """
    source = request.pipeline.source
    assert isinstance(source, HttpSource), "SOURCES pairs this function with HttpSource"
    delivered: dict[dt.date, Delivery] = {}
    missing: list[str] = []
    for day in requested_periods(request):
        pages = Pages(request, source, source.address_on(day)).fetch()
        if pages is None:
            missing.append(source.address_on(day))
        else:
            delivered[day] = _deliver(request, source, day, pages)
    if not delivered:
        raise Missing(
            f"the server has nothing yet for {request.start}..{request.end}: {', '.join(missing)}",
            remedy="if it should, check source.address",
        )
    return combine(request, delivered, missing)


@dataclass(frozen=True)
class Pages:
    """The pages of one period.

    ``address`` is that of the first one, with the names of variables in it. Errors show it like
    this, because the variables may contain secrets.
    """

    request: Request
    source: HttpSource
    address: str
    content: PageRows = field(default_factory=PageRows)

    def fetch(self) -> PageRows | None:
        """Return the rows of the period; None if the server has nothing for it."""
        for number, page in self._pages():
            if page is None and number == 1:
                return None
            if page is None:
                raise BadData(
                    f"{self._where(number)} is missing (204, 404 or 410), although the page before "
                    "links to it",
                    remedy="run it again; if the page stays missing, report the link to the owner "
                    "of the server",
                )
            columns = self.request.pipeline.columns
            self.content.add(page, self.source, columns, self._where(number))
        self._require_total()
        return self.content

    def _pages(self) -> Iterator[NumberedPage]:
        """Yield the pages. Each must be added to ``content`` before the next is requested."""
        if self.source.paging is None:
            return self._linked_pages()
        return self._counted_pages()

    def _linked_pages(self) -> Iterator[NumberedPage]:
        """Yield the pages as long as one links to the next.

        Raise BadData if they do not come to an end.
        """
        first = self._first_address()
        seen: list[str] = []
        address: str | None = first
        while address is not None:
            self._require_new(first, address, seen)
            number = len(seen) + 1
            page = self._get(address, number)
            yield number, page
            if page is None:
                return
            seen.append(address)
            following = next_address(page, self.source, address, self._where(number))
            # Behind a proxy some servers take themselves for http, or forget their port.
            address = following and http.on_same_server(first, following)

    def _require_new(self, first: str, address: str, seen: Sequence[str]) -> None:
        """Raise an error if the last page of ``seen`` must not link to ``address``."""
        last = self._where(len(seen))
        if address in seen:
            raise BadData(
                f"{last} links back to page {seen.index(address) + 1}",
                remedy="check source.next, or report the link to the owner of the server",
            )
        if not http.same_server(first, address):
            raise BadConfig(
                f"{last} links to another server",
                f"to {http.server_of(address)}, not {http.server_of(first)}",
                remedy="set source.address to the server that the pages are on",
            )

    def _counted_pages(self) -> Iterator[NumberedPage]:
        """Yield the pages until one is without rows, or the stated total is reached."""
        paging = self.source.paging
        assert paging is not None
        first = self._first_address()
        number = 1
        previous: list[Row] = []
        while True:
            known = len(self.content.rows)
            address = _counted_address(first, paging, number, known)
            page = self._get(address, number)
            if page is None and number > 1:
                return
            yield number, page

            rows = self.content.rows[known:]
            if rows and rows == previous:
                raise BadData(
                    f"{self._where(number)} is the same as the page before",
                    remedy=f"check that the server takes the parameter {paging.parameter!r} "
                    "(source.paging); if it repeats its last page, declare source.total",
                )
            if page is None or not rows or self.content.has_all:
                return
            number += 1
            previous = rows

    def _first_address(self) -> str:
        """Return the address of the first page.

        Raise BadConfig if it is not an address with the values of its variables.
        """
        address = expand(self.address, os.environ, "source.address")
        if not http.is_address(address):
            raise BadConfig(
                f"source.address ({self.address}) is not a web address",
                remedy="it begins with http:// or https://: correct it, or the environment "
                "variables in it",
            )
        return address

    def _get(self, address: str, number: int) -> http.Page | None:
        """Return page ``number``, or None if the server does not have it."""
        source = self.source
        if number > source.max_pages:
            raise BadData(
                f"{self.address}: there are more than {source.max_pages} pages",
                remedy="raise source.max_pages",
            )
        headers = self._headers()
        size = int(source.max_megabytes * 1e6) - self.content.bytes
        limits = http.Limits(source.seconds, size, source.attempts, self.request.clock)
        return http.get(address, self._where(number), limits, headers)

    def _headers(self) -> dict[str, str]:
        headers = {}
        for name, text in self.source.headers.items():
            headers[name] = expand(text, os.environ, f"source.headers.{name}")
        for name, value in headers.items():
            http.require_header(name, value, f"source.headers.{name}")
        return headers

    def _require_total(self) -> None:
        """Raise BadData if the server states another number of rows than were read."""
        total = self.content.total
        rows = len(self.content.rows)
        if total is None or total == rows:
            return
        raise BadData(
            f"{self.address}: the server states {total} rows (source.total), but {rows} were read",
            remedy="if there are more pages, declare source.next or source.paging; if rows come "
            "and go, run it again",
        )

    def _where(self, number: int) -> str:
        return f"{self.address}, page {number}"


def _counted_address(first: str, paging: Paging, number: int, known: int) -> str:
    """Return the address of page ``number``, before which ``known`` rows are known."""
    step = known
    if paging.kind == "page":
        step = number - 1
    value = paging.first_value + step
    return _with_parameter(first, paging.parameter, str(value))


def _with_parameter(address: str, name: str, value: str) -> str:
    parts = urlsplit(address)
    parameters = []
    for key, text in parse_qsl(parts.query, keep_blank_values=True):
        if key != name:
            parameters.append((key, text))
    parameters.append((name, value))
    return parts._replace(query=urlencode(parameters)).geturl()


def _deliver(request: Request, source: HttpSource, day: dt.date, pages: PageRows) -> Delivery:
    """Return the rows of a period in the declared columns."""
    address = source.address_on(day)
    raw, matched = _to_frame(request, pages.rows, address)
    received = raw.drop(ROW, MALFORMED).schema
    form = form_of(request.pipeline)
    conformed = conform(received, request.pipeline.columns, address, form)
    # An address may contain a password, and the name is stored with every row.
    name = without_secrets(address)
    frame = to_extract_columns(raw, conformed, source, day, name)
    fingerprint = Fingerprint(pages.bytes, tag=pages.tag.hexdigest())
    # Objects leave out what they have no value for, so only another spelling is reported.
    differences = [difference for difference in matched.differences if "is spelled" in difference]
    return Delivery(name, frame, len(pages.rows), fingerprint, tuple(differences))


def _to_frame(request: Request, rows: Sequence[Row], address: str) -> tuple[DataFrame, Matched]:
    """Return rows as columns of text, and how they match the declared columns.

    The names of all objects are columns. Without objects they are those of the configuration.
    """
    names = _names(rows)
    if len(names) > MOST_NAMES:
        raise BadData(
            f"{address}: the rows have more than {MOST_NAMES} different names",
            remedy="check source.rows: it is the path to a list of objects with the same names",
        )
    declared = request.pipeline.columns
    matched = match(names, declared, address)
    has_objects = any(isinstance(row, dict) for row in rows)
    if has_objects and matched.problems:
        raise other_columns(address, matched.problems)
    if not has_objects:
        names = request.pipeline.source_names

    required = []
    for name, column in declared.items():
        spelling = matched.columns[name]
        if spelling is not None and not column.optional:
            required.append(spelling)
    return _create_frame(request, rows, names, required), matched


def _names(rows: Sequence[Row]) -> list[str]:
    """Return the names of all objects, in order of their first occurrence."""
    names: dict[str, None] = {}
    for row in rows:
        if isinstance(row, dict):
            names |= dict.fromkeys(row)
    return list(names)


def _create_frame(
    request: Request, rows: Sequence[Row], names: Sequence[str], required: Collection[str]
) -> DataFrame:
    """Return rows as columns of text; one that lacks a required name is malformed."""
    columns = {}
    for name in names:
        texts = [row.get(name) if isinstance(row, dict) else None for row in rows]
        columns[name] = pa.array(texts, pa.string())
    malformed = [_malformed_text(row, required) for row in rows]
    columns[ROW] = pa.array(range(len(rows)), pa.int64())
    columns[MALFORMED] = pa.array(malformed, pa.string())
    return request.spark.createDataFrame(pa.table(columns))


def _malformed_text(row: Row, required: Collection[str]) -> str | None:
    if isinstance(row, str):
        return row
    if all(name in row for name in required):
        return None
    return json.dumps(row, ensure_ascii=False)
