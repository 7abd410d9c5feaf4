"""Parse the rows of web pages, in JSON or CSV."""

import hashlib
import io
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa

from batchml.clients import http
from batchml.config.columns import Column as Declared
from batchml.config.sources import HttpSource
from batchml.errors import BadData
from batchml.rows.matching import match
from batchml.sources.csv_form import CsvForm
from batchml.sources.csv_records import CsvRecords
from batchml.sources.csv_tables import NUMBER

Row = dict[str, str | None] | str
"""An object, or the text of a row that is malformed."""


@dataclass
class PageRows:
    """The rows of the pages of a period, and a hash of the pages."""

    rows: list[Row] = field(default_factory=list)
    total: int | None = None
    """The number of rows that the server states."""
    bytes: int = 0
    tag: Any = field(default_factory=hashlib.sha256)

    @property
    def has_all(self) -> bool:
        """Return True if there are as many rows as the server states."""
        return self.total is not None and len(self.rows) >= self.total

    def add(
        self, page: http.Page, source: HttpSource, columns: Mapping[str, Declared], where: str
    ) -> None:
        """Add the rows of ``page``, which is called ``where`` in errors.

        Raise BadData if it has another form, or lacks required columns.
        """
        if source.format == "json":
            self._add_json(page, source, where)
        else:
            self._add_csv(page, source, columns, where)
        self.bytes += len(page.body)
        self.tag.update(page.body)

    def _add_json(self, page: http.Page, source: HttpSource, where: str) -> None:
        content = _parse_json(page, where)
        rows = _list_of_rows(content, source, where)
        if source.total is not None:
            self._set_total(_at(content, source.total), source.total, where)
        for row in rows:
            self.rows.append(_to_row(row))

    def _set_total(self, total: Any, path: str, where: str) -> None:
        # Some servers state it on the first page only.
        is_missing = total is None
        if is_missing and self.rows:
            return
        self.total = _to_number(total, path, where)

    def _add_csv(
        self, page: http.Page, source: HttpSource, columns: Mapping[str, Declared], where: str
    ) -> None:
        if self.rows and not page.body.strip():
            return  # some servers send an empty page after the last one
        text = _decode(page, where)
        form = CsvForm(delimiter=source.delimiter, max_characters=len(text) + 1)
        encoded = text.encode("utf-8", "replace")
        records = CsvRecords(io.BytesIO(encoded), form, where)
        names = records.names or ()
        _require_columns(names, columns, where)
        for table in records.tables():
            self._add_records(names, table)

    def _add_records(self, names: tuple[str, ...], table: pa.Table) -> None:
        ordered = table.sort_by(NUMBER)
        columns = [column.to_pylist() for column in ordered.columns]
        for *values, _, malformed in zip(*columns, strict=True):
            if malformed is None:
                self.rows.append(dict(zip(names, values, strict=True)))
            else:
                self.rows.append(malformed)


def next_address(page: http.Page, source: HttpSource, address: str, where: str) -> str | None:
    """Return the address of the page after ``page``, or None.

    Raise BadData if ``source.next`` leads to something else than an address: rows would be lost.
    """
    if source.next is None or source.format == "csv":
        return page.following
    link = _at(_parse_json(page, where), source.next)
    if not link:  # null, "" or false
        return page.following
    if not isinstance(link, str):
        raise BadData(
            f"{where}: there is no address at source.next ({source.next})",
            _form(link),
            remedy="let source.next lead to the address itself; null, false or a missing key ends "
            "the pages",
        )
    return http.linked_address(address, link, where)


def _parse_json(page: http.Page, where: str) -> Any:
    try:
        return json.loads(_json_text(page))
    except (LookupError, ValueError, RecursionError) as error:
        raise BadData(
            f"{where}: the response is not JSON",
            str(error),
            remedy="check source.address, or set source.format",
        ) from error


def _json_text(page: http.Page) -> str:
    """Return the text of a page in JSON.

    It is in one of Unicode's encodings, else in the one that the header names.
    """
    encoding = json.detect_encoding(page.body)
    try:
        return page.body.decode(encoding)
    except UnicodeDecodeError:
        return page.body.decode(page.encoding)


def _list_of_rows(content: Any, source: HttpSource, where: str) -> list[Any]:
    rows = content
    problem = "the page is not a list"
    if source.rows is not None:
        rows = _at(content, source.rows)
        problem = f"there is no list at source.rows ({source.rows})"
    if not isinstance(rows, list):
        raise BadData(
            f"{where}: {problem}",
            _form(content),
            remedy="compare source.rows with the response of the server",
        )
    return rows


def _to_number(value: Any, path: str, where: str) -> int:
    text = str(value).removesuffix(".0")
    if not text.isdecimal():
        raise BadData(f"{where}: there is no number at source.total ({path})", _form(value))
    return int(text)


def _to_row(row: Any) -> Row:
    if not isinstance(row, dict):
        return json.dumps(row)
    values = {}
    for name, value in row.items():
        values[_clean(name)] = _to_text(value)
    return values


def _to_text(value: Any) -> str | None:
    if value is None:
        return None
    if isinstance(value, str):
        return _clean(value)
    return _clean(json.dumps(value, ensure_ascii=False))


def _clean(text: str) -> str:
    """Return ``text`` without lone surrogates, which are legal in JSON, but cannot be encoded."""
    return text.encode("utf-8", "replace").decode("utf-8")


def _decode(page: http.Page, where: str) -> str:
    try:
        return page.body.decode(page.encoding)
    except (LookupError, UnicodeDecodeError) as error:
        raise BadData(f"{where}: the response is not CSV in {page.encoding}", str(error)) from error


def _require_columns(names: tuple[str, ...], columns: Mapping[str, Declared], where: str) -> None:
    problems = match(names, columns, where).problems
    if not problems:
        return
    missing = [problem.split("'")[1] for problem in problems]
    raise BadData(
        f"{where}: there is no column {', '.join(missing)}",
        f"its first line has: {', '.join(names)}",
        *problems,
        remedy="correct the names under 'columns' (from: NAME for another name in the source)",
    )


def _at(content: Any, path: str) -> Any:
    """Return the value at a dotted path, or None."""
    for key in path.split("."):
        if not isinstance(content, dict):
            return None
        content = content.get(key)
    return content


def _form(value: Any) -> str:
    """Return the form of a value without its content, which may be a secret."""
    if isinstance(value, dict):
        return f"its keys are: {', '.join(value)}"
    return f"it is a {type(value).__name__}"
