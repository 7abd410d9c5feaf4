"""`make fetch`: official source files into the landing folder, each whole and readable or not there at all."""

import argparse
import datetime as dt
import os
import sys
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TransferSpeedColumn

from batchml.clients import http
from batchml.config import Pipeline, conf_folder, default_env, load_pipeline, load_places
from batchml.config.sources import FileSource, LookupTable, fill_date
from batchml.errors import BadConfig, BadData, PipelineError
from local import run_report
from local.samples.green_taxi import SYNTHETIC


def main(argv: list[str]) -> int:
    """0 when every month is in place, else the exit code of what was wrong."""
    parser = argparse.ArgumentParser(prog="make fetch", description=__doc__)
    parser.add_argument("--pipeline", default="taxi", help="whose source.url is used")
    parser.add_argument("--landing", help="where to (default: data/landing)")
    parser.add_argument("--url", help="instead of the pipeline's source.url, with {yyyy} and {MM}")
    parser.add_argument("months", nargs="*", metavar="YYYY-MM")
    given = parser.parse_args(argv)
    console = run_report.console()
    try:
        settings = [f"source.url={given.url}"] if given.url else []
        pipeline = load_pipeline(given.pipeline, conf_folder(), settings)
        landing = Path(given.landing or load_places(default_env(), conf_folder(), os.environ).landing)
        landing.mkdir(parents=True, exist_ok=True)
        for month in _months(given.months):
            console.print(fetch(pipeline, month, landing, console))
        for table in pipeline.lookups.values():
            if table.url is not None and given.url is None:
                console.print(fetch_lookup(table, landing, console))
    except PipelineError as error:
        console.print(str(error), style="red", markup=False)
        return error.exit_code
    return 0


def fetch(pipeline: Pipeline, month: dt.date, landing: Path, console: Console) -> str:
    """One month's file into ``landing``; gives a sentence of what was done.

    Raises Unavailable without network, BadData if the server has no such month or sends no parquet file.
    """
    source = pipeline.source
    if not isinstance(source, FileSource) or source.url is None:
        raise BadConfig(f"conf/pipelines/{pipeline.name}.yaml has no source.url to fetch from")
    url, target = source.url, landing / source.path_on(month)
    if target.is_file() and not _is_synthetic(target):
        return f"{target.name} is in place"
    partial = target.with_name(f"{target.name}.part")
    _download(fill_date(url, month), partial, console)
    try:
        rows = _read_through(partial)
    except (pa.ArrowInvalid, OSError) as error:
        partial.unlink()
        raise BadData(f"{fill_date(url, month)} is no readable parquet file", str(error)) from error
    was_synthetic = target.is_file()
    partial.replace(target)
    said = f"{target.name}: {rows:,} rows, {target.stat().st_size / 1e6:.1f} MB"
    return (
        f"{said}; it replaced a synthetic month: rm -r data/lake data/local to start afresh" if was_synthetic else said
    )


def fetch_lookup(table: LookupTable, landing: Path, console: Console) -> str:
    """A lookup table into ``landing``, unless it is there; a sentence of what was done. Raises as ``fetch`` does."""
    target = landing / table.path
    if target.is_file() and SYNTHETIC not in target.read_bytes():
        return f"{target.name} is in place"
    partial = target.with_name(f"{target.name}.part")
    _download(str(table.url), partial, console)
    if table.key not in partial.read_text().partition("\n")[0]:
        partial.unlink()
        raise BadData(f"{table.url} is no CSV file with a column {table.key}")
    partial.replace(target)
    return f"{target.name}: {target.stat().st_size / 1e3:.1f} kB"


def _read_through(path: Path) -> int:
    """Rows of a parquet file, every page of it read: the footer alone would not show a gap in the middle."""
    with pq.ParquetFile(path) as file:
        return sum(batch.num_rows for batch in file.iter_batches())


def _download(url: str, partial: Path, console: Console) -> None:
    """Into ``partial``, with a bar. Raises BadData where the server has no such file."""
    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TransferSpeedColumn())
    with Progress(*columns, console=console, transient=True) as progress:
        task = progress.add_task(partial.stem, total=None)
        there = http.download(url, partial, lambda have, total: progress.update(task, completed=have, total=total))
    if not there:
        raise BadData(f"{url}: the server has no such file", remedy="is the month published?")


def _is_synthetic(path: Path) -> bool:
    try:
        metadata = pq.read_schema(path).metadata or {}
    except (pa.ArrowInvalid, OSError):
        return False
    return SYNTHETIC in metadata


def _months(given: list[str]) -> list[dt.date]:
    if not given:
        raise BadConfig('which months? make fetch MONTHS="2021-01 2021-02"')
    months = []
    for text in given:
        try:
            months.append(dt.date.fromisoformat(f"{text}-01"))
        except ValueError as error:
            raise BadConfig(f"{text!r} is not a month of the form YYYY-MM") from error
    return months


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
