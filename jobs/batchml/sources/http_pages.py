"""Pages of a web API: fetched by the driver within bounds, their rows then read as any other text."""

import datetime as dt
import hashlib
import io
import json
import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit

import pyarrow as pa
from pyspark.sql import DataFrame

from batchml.clients import http
from batchml.clients.stored_files import Fingerprint
from batchml.config import expand
from batchml.config.sources import HttpSource
from batchml.errors import BadConfig, BadData, Missing, without_secrets
from batchml.rows.conform import conform, match, other_columns
from batchml.sources.csv_form import CsvForm
from batchml.sources.csv_records import CsvRecords
from batchml.sources.csv_tables import NUMBER
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

MOST_NAMES = 1000  # different names of columns: they are columns of a frame


@dataclass
class Pages:
    """What the pages of a period hold: rows as objects, or as the text of what is no object."""

    rows: list[dict[str, str | None] | str] = field(default_factory=list)
    total: int | None = None
    """The number of rows the server states."""
    bytes: int = 0
    tag: Any = field(default_factory=hashlib.sha256)


def read_http(request: Request) -> Extract:
    """Return the rows of web pages. A row's number is its index among all rows of the period, page after page.

    A row that is no object or lacks a required column is malformed: quarantined with its text. A period for which the
    server has nothing (404) is missing.
    """
    source = request.pipeline.source
    assert isinstance(source, HttpSource), "SOURCES pairs this function with HttpSource"
    delivered: dict[dt.date, Delivery] = {}
    missing: list[str] = []
    for day in requested_periods(request):
        pages = _fetch(request, source, day)
        if pages is None:
            missing.append(source.address_on(day))
        else:
            delivered[day] = _deliver(request, source, day, pages)
    if not delivered:
        raise Missing(
            f"the server has nothing yet for {request.start}..{request.end}: {', '.join(missing)}",
            remedy="if it should, look at source.address",
        )
    return combine(request, delivered, missing)


def _fetch(request: Request, source: HttpSource, day: dt.date) -> Pages | None:
    """Return the rows of the period; None where the server has nothing for it."""
    shown = source.address_on(day)
    pages = Pages()
    follow = _following_pages if source.paging is None else _counted_pages
    for number, answer in follow(request, source, shown, pages):
        if answer is None:
            if number == 1:
                return None
            raise BadData(
                f"{shown}: page {number} is not there (404), though the page before leads to it"
            )
        read = _json_rows if source.format == "json" else _csv_rows
        read(answer, request, f"{shown}, page {number}", pages)
        pages.bytes += len(answer.body)
        pages.tag.update(answer.body)
    if pages.total is not None and pages.total != len(pages.rows):
        raise BadData(
            f"{shown}: the server states {pages.total} rows (source.total), but {len(pages.rows)} were read",
            remedy="if there are more pages, declare source.next or source.paging; if rows come and go, run it again",
        )
    return pages


def _following_pages(
    request: Request, source: HttpSource, shown: str, pages: Pages
) -> Iterator[tuple[int, http.Answer | None]]:
    """Return the pages by number, as long as one leads to the next. Raise BadData when they do not come to an end."""
    first = _first_address(shown)
    seen: list[str] = []
    address: str | None = first
    while address is not None:
        number = len(seen) + 1
        if address in seen:
            raise BadData(f"{shown}: page {len(seen)} leads back to page {seen.index(address) + 1}")
        if not http.same_server(first, address):
            raise BadConfig(
                f"{shown}: page {len(seen)} leads to another server",
                f"to {http.server_of(address)}, not {http.server_of(first)}",
                remedy="set source.address to the server that the pages are on",
            )
        answer = _get(request, address, number, pages.bytes, shown)
        yield number, answer
        seen.append(address)
        following = (
            None
            if answer is None
            else _following(answer, source, address, f"{shown}, page {number}")
        )
        # Behind a proxy some servers take themselves for http, or forget their port.
        address = following and http.on_same_server(first, following)


def _counted_pages(
    request: Request, source: HttpSource, shown: str, pages: Pages
) -> Iterator[tuple[int, http.Answer | None]]:
    """Return the pages by number, until one is without rows or the stated total is reached."""
    assert source.paging is not None
    paging = source.paging
    first = _first_address(shown)
    number = 1
    before: list[dict[str, str | None] | str] = []
    while True:
        known = len(pages.rows)
        step = number - 1 if paging.kind == "page" else known
        address = _with_parameter(first, paging.parameter, str(paging.first_value + step))
        answer = _get(request, address, number, pages.bytes, shown)
        if answer is None and number > 1:
            return
        yield number, answer

        rows = pages.rows[known:]
        reached = pages.total is not None and len(pages.rows) >= pages.total
        if rows and rows == before:
            raise BadData(
                f"{shown}: page {number} is the same as the page before",
                remedy=f"check that the server takes the parameter {paging.parameter!r} (source.paging); if it "
                "repeats its last page, declare source.total",
            )
        if answer is None or not rows or reached:
            return
        number, before = number + 1, rows


def _first_address(shown: str) -> str:
    """Return the address of the first page. Raise BadConfig if its variables do not make it one."""
    address = expand(shown, os.environ, "source.address")
    if not http.is_address(address):
        raise BadConfig(
            f"source.address ({shown}) is not an address of the web",
            remedy="it begins with http:// or https://: correct it, or the environment variables in it",
        )
    return address


def _get(request: Request, address: str, number: int, taken: int, shown: str) -> http.Answer | None:
    """Return a page; ``taken`` is what the pages before it took of the period's size."""
    source = request.pipeline.source
    assert isinstance(source, HttpSource)
    if number > source.max_pages:
        raise BadData(
            f"{shown}: there are more than {source.max_pages} pages",
            remedy="raise source.max_pages",
        )
    headers = {
        name: expand(text, os.environ, f"source.headers.{name}")
        for name, text in source.headers.items()
    }
    for name, value in headers.items():
        http.require_header(name, value, f"source.headers.{name}")
    limits = http.Limits(source.seconds, int(source.max_megabytes * 1e6) - taken, source.attempts)
    return http.get(address, f"{shown}, page {number}", limits, request.clock, headers)


def _with_parameter(address: str, name: str, value: str) -> str:
    parts = urlsplit(address)
    others = [
        (key, text) for key, text in parse_qsl(parts.query, keep_blank_values=True) if key != name
    ]
    return parts._replace(query=urlencode([*others, (name, value)])).geturl()


def _following(answer: http.Answer, source: HttpSource, address: str, shown: str) -> str | None:
    """Return the address of the next page, or None. What is there and no address is an error: rows would be lost."""
    if source.next is None or source.format == "csv":
        return answer.following
    found = _at(_json(answer, shown), source.next)
    if not found:  # null, "" or false
        return answer.following
    if not isinstance(found, str):
        remedy = "let source.next lead to the address itself; null, false, or nothing there, ends the pages"
        raise BadData(
            f"{shown}: there is no address at source.next ({source.next})",
            _form(found),
            remedy=remedy,
        )
    return http.linked_address(address, found, shown)


def _json(answer: http.Answer, shown: str) -> Any:
    try:
        return json.loads(_json_text(answer))
    except (LookupError, ValueError, RecursionError) as error:
        raise BadData(
            f"{shown}: the answer is not JSON", str(error), remedy="look at source.address"
        ) from error


def _json_text(answer: http.Answer) -> str:
    """Return the text of a page in JSON: in one of Unicode's encodings, else in the one that the header names."""
    encoding = json.detect_encoding(answer.body)
    try:
        return answer.body.decode(encoding)
    except UnicodeDecodeError:
        return answer.body.decode(answer.encoding)


def _json_rows(answer: http.Answer, request: Request, shown: str, pages: Pages) -> None:
    source = request.pipeline.source
    assert isinstance(source, HttpSource)
    page = _json(answer, shown)
    found = page if source.rows is None else _at(page, source.rows)
    if not isinstance(found, list):
        where = (
            "the page is not a list"
            if source.rows is None
            else f"there is no list at source.rows ({source.rows})"
        )
        raise BadData(
            f"{shown}: {where}",
            _form(page),
            remedy="look at source.rows, and at what the server answers",
        )
    if source.total is not None:
        total = _at(page, source.total)
        # Some servers state it on the first page only.
        pages.total = (
            pages.total if total is None and pages.rows else _total(total, source.total, shown)
        )
    for row in found:
        values = (
            {_clean(name): _text(value) for name, value in row.items()}
            if isinstance(row, dict)
            else None
        )
        pages.rows.append(json.dumps(row) if values is None else values)


def _total(found: Any, path: str, shown: str) -> int:
    text = str(found).removesuffix(".0")
    if not text.isdecimal():
        raise BadData(f"{shown}: there is no number at source.total ({path})", _form(found))
    return int(text)


def _text(value: Any) -> str | None:
    if value is None:
        return None
    return _clean(value if isinstance(value, str) else json.dumps(value, ensure_ascii=False))


def _clean(text: str) -> str:
    """Return ``text`` without lone surrogates, which are legal in JSON, but no text."""
    return text.encode("utf-8", "replace").decode("utf-8")


def _csv_rows(answer: http.Answer, request: Request, shown: str, pages: Pages) -> None:
    source = request.pipeline.source
    assert isinstance(source, HttpSource)
    if pages.rows and not answer.body.strip():
        return  # what some servers send behind the last page
    try:
        text = answer.body.decode(answer.encoding)
    except (LookupError, UnicodeDecodeError) as error:
        raise BadData(f"{shown}: the answer is no CSV in {answer.encoding}", str(error)) from error
    form = CsvForm(delimiter=source.delimiter, max_characters=len(text) + 1)
    records = CsvRecords(io.BytesIO(text.encode("utf-8", "replace")), form, shown)
    names = records.names or ()
    if problems := match(names, request.pipeline.columns, shown).problems:
        lacking = [problem.split("'")[1] for problem in problems]
        raise BadData(
            f"{shown}: there is no column {', '.join(lacking)}",
            f"its first line has: {', '.join(names)}",
            *problems,
            remedy="correct the names under 'columns' (from: NAME for another name in the source)",
        )
    for table in records.tables():
        columns = [column.to_pylist() for column in table.sort_by(NUMBER).columns]
        for *values, _, malformed in zip(*columns, strict=True):
            pages.rows.append(
                dict(zip(names, values, strict=True)) if malformed is None else malformed
            )


def _at(page: Any, dotted: str) -> Any:
    """Return the value at a dotted path, or None."""
    for key in dotted.split("."):
        page = page.get(key) if isinstance(page, dict) else None
    return page


def _form(value: Any) -> str:
    """Return the form of a value without its content, which may be a secret."""
    if isinstance(value, dict):
        return f"its keys are: {', '.join(value)}"
    return f"it is a {type(value).__name__}"


def _deliver(request: Request, source: HttpSource, day: dt.date, pages: Pages) -> Delivery:
    """Return the rows of a period in the declared columns, found by name among the names of all rows."""
    shown = source.address_on(day)
    declared = request.pipeline.columns
    objects = [row for row in pages.rows if isinstance(row, dict)]
    names = list(dict.fromkeys(name for row in objects for name in row))
    if len(names) > MOST_NAMES:
        raise BadData(f"{shown}: the rows have more than {MOST_NAMES} different names")
    matched = match(names, declared, shown)
    if objects and matched.problems:
        raise other_columns(shown, matched.problems)
    names = names if objects else request.pipeline.source_names
    required = [matched.columns[name] for name, column in declared.items() if not column.optional]
    raw = _frame(request, pages.rows, names, [name for name in required if name is not None])
    conformed = conform(
        raw.drop(ROW, MALFORMED).schema, declared, shown, form_of(request.pipeline), is_text=True
    )
    # An address may hold a password, and the name is stored with every row.
    name = without_secrets(shown)
    frame = to_extract_columns(raw, conformed, source, day, name)
    fingerprint = Fingerprint(pages.bytes, tag=pages.tag.hexdigest())
    # Objects leave out what they have no value for: only another spelling is worth a word.
    spelled = tuple(difference for difference in matched.differences if "is spelled" in difference)
    return Delivery(name, frame, len(pages.rows), fingerprint, spelled)


def _frame(
    request: Request, rows: list[dict[str, str | None] | str], names: list[str], required: list[str]
) -> DataFrame:
    """Return rows as columns of text; one that lacks a required name as the text it is."""
    malformed: list[str | None] = []
    for row in rows:
        if isinstance(row, str):
            malformed.append(row)
        else:
            lacks = any(name not in row for name in required)
            malformed.append(json.dumps(row, ensure_ascii=False) if lacks else None)
    columns = {
        name: pa.array(
            [row.get(name) if isinstance(row, dict) else None for row in rows], pa.string()
        )
        for name in names
    }
    own = {ROW: pa.array(range(len(rows)), pa.int64()), MALFORMED: pa.array(malformed, pa.string())}
    return request.spark.createDataFrame(pa.table(columns | own))
