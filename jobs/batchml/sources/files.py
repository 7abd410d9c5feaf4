"""Files in the landing folder, one per period, each read with its own schema and cast to the declared one."""

from collections.abc import Callable

from pyspark.sql import DataFrame
from pyspark.sql import functions as F
from pyspark.sql import types as T

from batchml.clients import storage
from batchml.config.sources import CsvSource, FileSource
from batchml.errors import NothingToDo, Unavailable
from batchml.sources.declared import MALFORMED, ROW, as_declared, meant
from batchml.sources.extract import Extract, Request, reading
from batchml.sources.fetching import fetch
from batchml.sources.periods import asked, gather

Load = Callable[[str], DataFrame]


def read_parquet(request: Request) -> Extract:
    """Rows of parquet files; a row's place is its index in the file."""

    def load(path: str) -> DataFrame:
        frame = request.spark.read.parquet(path)
        well_formed = F.lit(None).cast("string").alias(MALFORMED)
        return frame.select("*", F.col("_metadata.row_index").alias(ROW), well_formed)

    return _read_files(request, load)


def read_csv(request: Request) -> Extract:
    """Rows of CSV files, their fields in the declared order.

    A row's place is unique and stable, and is its index as long as the file is read in one piece (up to 128 MiB). A
    line that has more or fewer fields is kept, with its text.
    """
    source = request.pipeline.source
    assert isinstance(source, CsvSource), "SOURCES pairs this function with CsvSource"
    texts = [T.StructField(name, T.StringType()) for name in request.pipeline.columns]
    schema = T.StructType([*texts, T.StructField(MALFORMED, T.StringType())])
    options: dict[str, str | bool] = {
        "sep": source.delimiter,
        "escape": '"',  # a quote inside quotes is doubled (RFC 4180); of itself Spark takes a backslash for it
        "header": source.header,
        "encoding": source.encoding,
        "enforceSchema": False,
        "mode": "PERMISSIVE",
        "columnNameOfCorruptRecord": MALFORMED,
        "columnPruning": False,  # a reader that skips fields does not see that there are too many
    }

    def load(path: str) -> DataFrame:
        frame = request.spark.read.schema(schema).options(**options).csv(path)
        texts = {name: meant(F.col(f"`{name}`"), name, source) for name in request.pipeline.columns}
        return frame.withColumns({**texts, ROW: F.monotonically_increasing_id()})

    return _read_files(request, load)


def _read_files(request: Request, load: Load) -> Extract:
    source = request.pipeline.source
    assert isinstance(source, FileSource), "SOURCES pairs these functions with files"
    if not storage.exists(request.spark, request.landing):
        raise Unavailable(
            f"the landing folder {request.landing} is not there",
            remedy="make or mount it, or set BATCHML_LANDING to the folder that holds the source files",
        )
    paths = {day: storage.join(request.landing, source.path_on(day)) for day in asked(request)}
    present = {
        day: path
        for day, path in paths.items()
        if storage.exists(request.spark, path) or fetch(request.spark, source, day, path)
    }
    missing = [path for day, path in paths.items() if day not in present]
    if not present:
        raise NothingToDo(
            f"no file yet for {request.start}..{request.end}: {', '.join(missing)}",
            remedy="put it there, or set BATCHML_LANDING to the folder that holds it; `make fetch` downloads months",
        )
    delivered = {}
    for day, path in present.items():
        with reading(path):
            raw = load(path)
        delivered[day] = as_declared(raw, request, day, path)
    return gather(request, delivered, missing)
