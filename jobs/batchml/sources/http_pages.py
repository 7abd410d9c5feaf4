"""Pages of a web API: fetched by the driver within bounds, their rows then read as any other text."""

import csv
import datetime as dt
import io
import json
import os
from collections.abc import Iterable, Iterator
from functools import reduce
from operator import or_
from typing import Any
from urllib.parse import urljoin

import pyarrow as pa
from pyspark.sql import DataFrame
from pyspark.sql import functions as F
from pyspark.sql import types as T

from batchml.clients import http
from batchml.config import expand
from batchml.config.sources import HttpSource
from batchml.errors import BadConfig, BadData, NothingToDo
from batchml.rows import schemas
from batchml.sources.declared import MALFORMED, OTHERS, ROW, meant, placed
from batchml.sources.extract import Extract, Request
from batchml.sources.periods import Delivery, asked, gather

TEXT, VALUES = "the row as text", "the row as values"  # names that no column of a row has


def read_http(request: Request) -> Extract:
    """Rows of web pages; a row's place is its index among all rows of the period, page after page.

    A row that is no object, lacks a declared column, or holds a value that is not of the column's type, is malformed:
    kept, with its text. A period for which the server has nothing (404) is missing.
    """
    source = request.pipeline.source
    assert isinstance(source, HttpSource), "SOURCES pairs this function with HttpSource"
    delivered, missing = {}, []
    for day in asked(request):
        rows = _fetch(request, source, day)
        if rows is None:
            missing.append(source.address_on(day))
        else:
            delivered[day] = Delivery(_frame(request, source, day, rows))
    if not delivered:
        raise NothingToDo(
            f"the server has nothing yet for {request.start}..{request.end}: {', '.join(missing)}",
            remedy="if it should, look at source.address",
        )
    return gather(request, delivered, missing)


def _fetch(request: Request, source: HttpSource, day: dt.date) -> list[str] | None:
    """Each row of the period as JSON; None where the server has nothing for it."""
    shown = source.address_on(day)
    rows: list[str] = []
    for page, answer in _pages(request, source, shown):
        if answer is None:
            if page == 1:
                return None
            raise BadData(f"{shown}: page {page} is not there (404), though the page before leads to it")
        read = _json_rows if source.format == "json" else _csv_rows
        rows += read(answer, request, f"{shown}, page {page}")
    return rows


def _pages(request: Request, source: HttpSource, shown: str) -> Iterator[tuple[int, http.Answer | None]]:
    """The pages by number, as long as one leads to the next. Raises BadData when they do not come to an end."""
    first = expand(shown, os.environ, "source.address")
    headers = {name: expand(text, os.environ, f"source.headers.{name}") for name, text in source.headers.items()}
    size = int(source.max_megabytes * 1e6)
    seen: list[str] = []
    address: str | None = first
    while address is not None:
        number = len(seen) + 1
        if address in seen:
            raise BadData(f"{shown}: page {len(seen)} leads back to page {seen.index(address) + 1}")
        if number > source.max_pages:
            raise BadData(f"{shown}: there are more than {source.max_pages} pages", remedy="raise source.max_pages")
        if not http.same_server(first, address):
            raise BadConfig(f"{shown}: page {len(seen)} leads to another server", remedy="name that one's address")
        limits = http.Limits(source.seconds, size, source.attempts)
        answer = http.get(address, f"{shown}, page {number}", limits, request.clock, headers)
        yield number, answer
        seen.append(address)
        size -= len(answer.body) if answer else 0
        address = None if answer is None else _following(answer, source, address, f"{shown}, page {number}")


def _following(answer: http.Answer, source: HttpSource, address: str, shown: str) -> str | None:
    """The address of the next page, or None. What is there and no address is an error: the rest would be lost."""
    if source.next is None or source.format == "csv":
        return answer.following
    found = _at(json.loads(answer.body), source.next)
    if not found:  # null, "" or false
        return answer.following
    if not isinstance(found, str):
        remedy = "let source.next lead to the address itself; null, false, or nothing there, ends the pages"
        raise BadData(f"{shown}: there is no address at source.next ({source.next})", _form(found), remedy=remedy)
    return urljoin(address, found)


def _json_rows(answer: http.Answer, request: Request, shown: str) -> list[str]:
    source = request.pipeline.source
    assert isinstance(source, HttpSource)
    try:
        page = json.loads(answer.body)
    except ValueError as error:
        raise BadData(f"{shown}: the answer is not JSON", str(error), remedy="look at source.address") from error
    found = page if source.rows is None else _at(page, source.rows)
    if not isinstance(found, list):
        raise BadData(f"{shown}: there is no list at source.rows ({source.rows})", _form(page))
    return [json.dumps(row) for row in found]


def _csv_rows(answer: http.Answer, request: Request, shown: str) -> list[str]:
    source = request.pipeline.source
    assert isinstance(source, HttpSource)
    try:
        text = io.StringIO(answer.body.decode(answer.encoding), newline="")
        names, *lines = [line for line in csv.reader(text, delimiter=source.delimiter) if line] or [[]]
    except (LookupError, UnicodeDecodeError, csv.Error) as error:
        raise BadData(f"{shown}: the answer is no CSV in {answer.encoding}", str(error)) from error
    required = {name for name, column in request.pipeline.columns.items() if not column.optional}
    if lacking := sorted(required - set(names)):
        raise BadData(f"{shown}: there is no column {', '.join(lacking)}", f"its first line has: {', '.join(names)}")
    # A line with more or fewer fields stays a list, and so is no row of the declared form.
    return [json.dumps(_by_name(names, line) if len(line) == len(names) else line) for line in lines]


def _by_name(names: list[str], line: list[str]) -> dict[str, str | None]:
    return {name: field or None for name, field in zip(names, line, strict=True)}  # an empty field is no value


def _at(page: Any, dotted: str) -> Any:
    """What a dotted path leads to, or None."""
    for key in dotted.split("."):
        page = page.get(key) if isinstance(page, dict) else None
    return page


def _form(value: Any) -> str:
    """What a value is, without what it holds: that may be a secret."""
    return f"its keys are: {', '.join(value)}" if isinstance(value, dict) else f"it is a {type(value).__name__}"


def _frame(request: Request, source: HttpSource, day: dt.date, rows: Iterable[str]) -> DataFrame:
    """The columns of an Extract, of each row's text."""
    texts = pa.array(rows, pa.string())
    table = pa.table({ROW: pa.array(range(len(texts)), pa.int64()), TEXT: texts})
    declared = request.pipeline.columns
    values = F.col(f"`{VALUES}`")
    raw = (
        request.spark.createDataFrame(table)
        .withColumn(VALUES, F.from_json(f"`{TEXT}`", "map<string,string>"))
        .select("*", *(meant(values[name], name, source).alias(name) for name in declared))
    )
    conformed = schemas.conform(
        T.StructType([T.StructField(name, T.StringType()) for name in declared]), declared, "", is_text=True
    )
    lacks = [~F.map_contains_key(values, name) for name, column in declared.items() if not column.optional]
    misfit = reduce(or_, [values.isNull(), *lacks, *conformed.lossy.values()])
    others = F.map_filter(values, lambda name, _: ~name.isin(*declared))
    told = {
        MALFORMED: F.when(misfit, F.col(f"`{TEXT}`")),
        OTHERS: F.when(F.size(others) > 0, F.to_json(others)),
    }
    return placed(raw.withColumns(told), conformed, request, day, source.address_on(day))
