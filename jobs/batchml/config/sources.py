"""The sources a YAML can name."""

import datetime as dt
from typing import Annotated, Literal, Self

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    WithJsonSchema,
    field_validator,
    model_validator,
)

from batchml.config import patterns
from batchml.config.base import Closed

Period = Literal["day", "month", "year", "snapshot"]
# Databases whose SQL the source writes, by the second part of their JDBC address.
DATABASES = ("postgresql",)
SATURDAY = 5  # as ``date.weekday`` counts
NOT_CSV = {".xlsx": "an Excel workbook", ".xls": "an Excel workbook", ".xlsm": "an Excel workbook"}


def _texts(value: object) -> object:
    if isinstance(value, str):
        return (value,)
    return value


TextList = Annotated[
    tuple[str, ...],
    BeforeValidator(_texts),
    WithJsonSchema({"anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "string"}}]}),
]


class DatedSource(Closed):
    """A source that delivers one period after the other.

    Its pattern may contain ``{yyyy}``, ``{MM}`` and ``{dd}``: the finest of them is the period. A
    pattern without any is one snapshot. ``event_time`` names the column that dates a row. Without
    it a delivery belongs to the period's first day, and a snapshot to the date it is read for.

    Instants (an offset in a text, a parquet time in UTC, a ``timestamptz``) become wall-clock time
    of ``time_zone``.

    A file that changes is read again for the last ``lookback_days`` dates (an API or a database
    with ``recheck``). ``wait_hours`` is how long a scheduled run waits for a missing delivery.
    ``days`` are the days with a delivery, except the
    ``holidays``.
    """

    event_time: str | None = None
    time_zone: Annotated[str, AfterValidator(patterns.time_zone)] = "UTC"
    lookback_days: int = Field(35, ge=0)
    wait_hours: float = Field(0, ge=0)
    days: Literal["all", "weekdays"] = "all"
    holidays: tuple[dt.date, ...] = ()

    @property
    def pattern(self) -> str:
        """Return the pattern that names the delivery of a period."""
        return ""

    @property
    def period(self) -> Period:
        """Return the period of a delivery."""
        if "{dd}" in self.pattern:
            return "day"
        if "{MM}" in self.pattern:
            return "month"
        if "{yyyy}" in self.pattern:
            return "year"
        return "snapshot"

    def first_day(self, date: dt.date) -> dt.date:
        """Return the first day of the period of ``date``; for a snapshot, the date itself."""
        match self.period:
            case "month":
                return date.replace(day=1)
            case "year":
                return date.replace(month=1, day=1)
            case "day" | "snapshot":
                return date

    def last_day(self, date: dt.date) -> dt.date:
        """Return the last day of the period of ``date``; for a snapshot, the date itself."""
        match self.period:
            case "month":
                next_month = date.replace(day=1) + dt.timedelta(days=31)
                return next_month.replace(day=1) - dt.timedelta(days=1)
            case "year":
                return date.replace(month=12, day=31)
            case "day" | "snapshot":
                return date

    def has_delivery(self, date: dt.date) -> bool:
        """Return True if the calendar of the source expects rows for ``date``."""
        is_workday = self.days == "all" or date.weekday() < SATURDAY
        return is_workday and date not in self.holidays


class FileSource(DatedSource):
    """Files under the landing folder, one per period.

    ``url`` is where the official file of a period is published. `make fetch` downloads monthly
    parquet files. With ``fetch: true``, ``ingest`` downloads a missing file, and fails without a
    network, as it cannot find out whether the file is published.

    A file that is still being copied is not read: it must not change for ``settle_seconds``. If
    ``done_marker`` is set, the file of that name must also exist.
    """

    path: Annotated[str, AfterValidator(patterns.dated_path)]
    url: Annotated[str, AfterValidator(patterns.file_address)] | None = None
    fetch: bool = False
    settle_seconds: float = Field(5, ge=0, le=600)
    done_marker: Annotated[str, AfterValidator(patterns.dated_path)] | None = None

    @property
    def pattern(self) -> str:
        """Return the pattern of the path."""
        return self.path

    def path_on(self, date: dt.date) -> str:
        """Return the path of the file of ``date``, relative to the landing folder."""
        return fill_date(self.path, date)

    def marker_on(self, date: dt.date) -> str | None:
        """Return the path of the file's marker of ``date``, relative to the landing folder."""
        if self.done_marker is None:
            return None
        return fill_date(self.done_marker, date)


def days_between(start: dt.date, end: dt.date) -> list[dt.date]:
    """Return every date from ``start`` to ``end``, both inclusive."""
    return [start + dt.timedelta(days=offset) for offset in range((end - start).days + 1)]


def fill_date(pattern: str, date: dt.date) -> str:
    """Replace ``{yyyy}``, ``{MM}`` and ``{dd}`` in ``pattern`` by the parts of ``date``."""
    parts = {"{yyyy}": f"{date:%Y}", "{MM}": f"{date:%m}", "{dd}": f"{date:%d}"}
    for placeholder, part in parts.items():
        pattern = pattern.replace(placeholder, part)
    return pattern


class ParquetSource(FileSource):
    """Parquet files: each is read with its own schema and cast to the declared one."""

    kind: Literal["parquet"]


class TextForm(Closed):
    """The form of values in a source of texts.

    ``nulls`` are texts that mean no value, in addition to an empty field (in JSON an empty text is
    a value of a string column). ``formats`` has the patterns of date and time columns in Spark's
    notation (``M/d/yy``), in addition to ISO 8601.
    """

    nulls: tuple[str, ...] = ()
    formats: dict[str, Annotated[str, AfterValidator(patterns.date_pattern)]] = Field(
        default_factory=dict
    )


class CsvSource(FileSource, TextForm):
    """CSV files (RFC 4180), also packed with gzip, bzip2, xz, zstd, or alone in a zip archive.

    With a ``header`` columns are matched by name, without one by their order. The first
    ``skip_rows`` lines are skipped, as are records that begin with a text of ``comment``.
    ``encoding`` is any text encoding that Python knows.
    """

    kind: Literal["csv"]
    header: bool = True
    delimiter: str = Field(",", min_length=1)
    encoding: Annotated[str, AfterValidator(patterns.text_encoding)] = "UTF-8"
    skip_rows: int = Field(0, ge=0)
    comment: TextList = ()
    max_record_megabytes: float = Field(1, gt=0)
    """The limit of one record: after a quote that never closes, the rest of the file is one."""

    @field_validator("path")
    @classmethod
    def _csv(cls, path: str) -> str:
        for ending, form in NOT_CSV.items():
            if path.lower().endswith(ending):
                raise patterns.WrongValue(f"{path!r} is {form}: save it as CSV")
        return path

    @field_validator("delimiter")
    @classmethod
    def _no_quote(cls, delimiter: str) -> str:
        if set(delimiter) & set('"\r\n'):
            raise patterns.WrongValue("a delimiter has no quote and no line break")
        return delimiter


class Paging(Closed):
    """The numbering of pages, in the ``parameter`` of the address.

    It is the page's number (``page``), or the number of rows before it (``offset``). The pages end
    with the first that has no rows or does not exist, or when ``source.total`` is reached.
    ``first`` is the value for the first page: by default 1 for a page, 0 for an offset.
    """

    kind: Literal["page", "offset"]
    parameter: str
    first: int | None = Field(None, ge=0)

    @property
    def first_value(self) -> int:
        """Return the parameter's value for the first page."""
        if self.first is not None:
            return self.first
        if self.kind == "page":
            return 1
        return 0


class HttpSource(DatedSource, TextForm):
    """Pages of a web API, requested by GET. ``address`` may contain ``{yyyy}``, ``{MM}``, ``{dd}``.

    In ``address`` and in the values of ``headers``, ``${NAME}`` is the environment variable of that
    name and ``${NAME:-this}`` has a default.

    In a page in JSON, ``rows`` is the dotted path to the list of objects: without it the page is
    the list. ``next`` is the dotted path to the next page's address; a ``Link`` header is followed
    too. Pages with numbers are declared by ``paging``, and then nothing else is followed. ``total``
    is the dotted path to the number of rows that the server states, and so many must be read. In a
    page in CSV the first line names the columns.
    """

    kind: Literal["http"]
    address: Annotated[str, AfterValidator(patterns.dated)]
    headers: dict[str, str] = Field(default_factory=dict)
    format: Literal["json", "csv"] = "json"
    rows: str | None = None
    next: str | None = None
    paging: Paging | None = None
    total: str | None = None
    delimiter: str = Field(",", min_length=1, max_length=1)
    max_pages: int = Field(100, ge=1)
    max_megabytes: float = Field(64, gt=0)
    """The limit of all pages of a period, which are in the driver's memory."""
    seconds: float = Field(60, gt=0)
    """The time limit of one page, from the request to its last byte."""
    attempts: int = Field(4, ge=1)
    """How often a page is requested if the server is too slow, not reached, or returns 429, 5xx."""
    recheck: bool = False
    """Request the last ``lookback_days`` dates again in each run that catches up."""

    @model_validator(mode="after")
    def _one_way_on(self) -> Self:
        if self.paging is not None and self.next is not None:
            raise patterns.WrongValue(
                "pages either lead to the next one (next) or are counted (paging)"
            )
        if self.total is not None and self.format == "csv":
            raise patterns.WrongValue("total is a path in JSON, and the format is csv")
        return self

    @property
    def pattern(self) -> str:
        """Return the pattern of the address."""
        return self.address

    def address_on(self, date: dt.date) -> str:
        """Return the address of the first page of ``date``, with its variables by name."""
        return fill_date(self.address, date)


class JdbcSource(DatedSource):
    """A table of a database, or a query.

    With ``event_time``, a date or timestamp column, the database selects the rows of a date.

    ``url`` and ``user`` may contain environment variables, as ``${NAME}`` and ``${NAME:-default}``.
    ``password`` must be one, as ``${NAME}``. ``partition_column`` is an integer column by
    which the rows are read in ``partitions`` parts at once. It should be unique, as it becomes the
    row's place. ``nulls`` are texts that mean no value.
    """

    kind: Literal["jdbc"]
    url: str = Field(pattern=r"^jdbc:\w+:")
    user: str
    password: str = Field(pattern=r"^\$\{[A-Za-z_][A-Za-z0-9_]*\}$")
    table: str | None = Field(None, pattern=r"^\w+(\.\w+)*$")
    query: str | None = None
    partition_column: str | None = None
    partitions: int = Field(2, ge=1)
    fetch_size: int = Field(10_000, ge=1)
    seconds: int = Field(600, ge=1)
    """The time limit of one query."""
    nulls: tuple[str, ...] = ()
    recheck: bool = False
    """Query the last ``lookback_days`` dates again in each run that catches up."""

    @field_validator("url")
    @classmethod
    def _known_database(cls, url: str) -> str:
        database = url.split(":")[1]
        if database not in DATABASES:
            supported = f"{', '.join(DATABASES)} (jdbc:postgresql://host/database)"
            raise patterns.WrongValue(f"{database} is not supported; supported: {supported}")
        return url

    @model_validator(mode="after")
    def _whole(self) -> Self:
        if (self.table is None) == (self.query is None):
            raise patterns.WrongValue("kind jdbc requires either a table or a query")
        has_account = "@" in self.url.partition("?")[0]
        if has_account or "password" in self.url.lower():
            raise patterns.WrongValue(
                "the password has a separate key: from the url it could reach a log"
            )
        return self


class LookupTable(Closed):
    """A small CSV file with a header under the landing folder, for the feature ``lookup``.

    ``key`` is a column without duplicates. If the file is missing, the features are null if the
    table is ``optional``, and fail otherwise. `make fetch` also downloads the file from ``url``.
    """

    path: Annotated[str, AfterValidator(patterns.single_path)]
    key: str
    optional: bool = False
    url: Annotated[str, AfterValidator(patterns.file_address)] | None = None


Source = Annotated[ParquetSource | CsvSource | HttpSource | JdbcSource, Field(discriminator="kind")]
