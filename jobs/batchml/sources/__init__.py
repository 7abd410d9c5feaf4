"""Sources by the kind a YAML names them with."""

from collections.abc import Callable

from batchml.sources.csv_files import read_csv
from batchml.sources.delivery import Extract, Request
from batchml.sources.http_pages import read_http
from batchml.sources.jdbc import read_jdbc
from batchml.sources.lookups import read_lookups
from batchml.sources.parquet import read_parquet
from batchml.sources.spark_errors import reading

SOURCES: dict[str, Callable[[Request], Extract]] = {
    "parquet": read_parquet,
    "csv": read_csv,
    "http": read_http,
    "jdbc": read_jdbc,
}

__all__ = ["SOURCES", "Extract", "Request", "read_lookups", "reading"]
