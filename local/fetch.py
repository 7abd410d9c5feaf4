"""`make fetch`: download official source files into the landing folder, each whole and readable."""

import argparse
import datetime as dt
import os
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TransferSpeedColumn

from batchml.clients import http
from batchml.config import Pipeline, conf_folder, default_env, load_pipeline, load_places
from batchml.config.sources import FileSource, LookupTable, fill_date
from batchml.errors import BadConfig, BadData
from local.samples.green_taxi import SYNTHETIC


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command."""
    parser.add_argument("--pipeline", default="taxi", help="the pipeline whose source.url is used")
    parser.add_argument("--landing", help="the target folder (default: data/landing)")
    parser.add_argument(
        "--url", help="a replacement of the pipeline's source.url, with {yyyy} and {MM}"
    )
    parser.add_argument("months", nargs="*", metavar="YYYY-MM")


def main(arguments: argparse.Namespace, console: Console) -> int:
    """Fetch the months and the lookup tables of a pipeline, and return 0."""
    settings = []
    if arguments.url:
        settings.append(f"source.url={arguments.url}")
    pipeline = load_pipeline(arguments.pipeline, conf_folder(), settings)
    places = load_places(default_env(), conf_folder(), os.environ)
    landing = Path(arguments.landing or places.landing)
    landing.mkdir(parents=True, exist_ok=True)

    for month in _months(arguments.months):
        console.print(fetch(pipeline, month, landing, console))
    for table in pipeline.lookups.values():
        if table.url is not None and arguments.url is None:
            console.print(fetch_lookup(table, landing, console))
    return 0


def fetch(pipeline: Pipeline, month: dt.date, landing: Path, console: Console) -> str:
    """Fetch the file of a month into ``landing``, and return a sentence about it.

    Raises:
        Unavailable: without network.
        BadData: if the server lacks the month, or sends a file that is not parquet.
    """
    source = pipeline.source
    if not isinstance(source, FileSource) or source.url is None:
        raise BadConfig(f"conf/pipelines/{pipeline.name}.yaml has no source.url to fetch from")

    url = source.url
    target = landing / source.path_on(month)
    if target.is_file() and not _is_synthetic(target):
        return f"{target.name} is in place"

    partial = target.with_name(f"{target.name}.part")
    _download(fill_date(url, month), partial, console)
    try:
        rows = _read_through(partial)
    except (pa.ArrowInvalid, OSError) as error:
        partial.unlink()
        raise BadData(
            f"{fill_date(url, month)} is not a readable parquet file", str(error)
        ) from error

    was_synthetic = target.is_file()
    partial.replace(target)
    summary = f"{target.name}: {rows:,} rows, {target.stat().st_size / 1e6:.1f} MB"
    if was_synthetic:
        summary += (
            "; it replaced a synthetic month: run `rm -r data/lake data/local` to start again"
        )
    return summary


def fetch_lookup(table: LookupTable, landing: Path, console: Console) -> str:
    """Fetch a lookup table into ``landing`` unless it exists, and return a sentence about it.

    Raises the same errors as ``fetch``.
    """
    target = landing / table.path
    if target.is_file() and SYNTHETIC not in target.read_bytes():
        return f"{target.name} is in place"
    partial = target.with_name(f"{target.name}.part")
    _download(str(table.url), partial, console)
    if table.key not in partial.read_text().partition("\n")[0]:
        partial.unlink()
        raise BadData(f"{table.url} is not a CSV file with a column {table.key}")
    partial.replace(target)
    return f"{target.name}: {target.stat().st_size / 1e3:.1f} kB"


def _read_through(path: Path) -> int:
    """Return the row count of a parquet file after reading all of it.

    The footer alone would not show a gap in the middle.
    """
    with pq.ParquetFile(path) as file:
        return sum(batch.num_rows for batch in file.iter_batches())


def _download(url: str, partial: Path, console: Console) -> None:
    """Download ``url`` to ``partial`` with a progress bar. Raise BadData if it does not exist."""
    with Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        DownloadColumn(),
        TransferSpeedColumn(),
        console=console,
        transient=True,
    ) as progress:
        task = progress.add_task(partial.stem, total=None)

        def show(done: int, total: int | None) -> None:
            progress.update(task, completed=done, total=total)

        exists = http.download(url, partial, show)
    if not exists:
        raise BadData(
            f"{url}: the server has no such file",
            remedy="check if the month has been published, then run it again",
        )


def _is_synthetic(path: Path) -> bool:
    """Return True for a parquet file that this project generated."""
    try:
        metadata = pq.read_schema(path).metadata or {}
    except (pa.ArrowInvalid, OSError):
        return False
    return SYNTHETIC in metadata


def _months(texts: list[str]) -> list[dt.date]:
    """Return the first days of the months in ``texts``."""
    if not texts:
        raise BadConfig('name the months: make fetch MONTHS="2021-01 2021-02"')
    months = []
    for text in texts:
        try:
            months.append(dt.date.fromisoformat(f"{text}-01"))
        except ValueError as error:
            raise BadConfig(f"{text!r} is not a month of the form YYYY-MM") from error
    return months
