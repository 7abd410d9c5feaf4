"""`python -m batchml.new`: write a pipeline for a CSV or parquet file."""

import argparse
import filecmp
import os
import shutil
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
from rich.console import Console

from batchml import config
from batchml.config.sources import CsvSource
from batchml.errors import BadConfig, BadData, PipelineError, Unavailable
from batchml.new.csv_text import fitting_names, write_csv
from batchml.new.locate import file_name, locate, name_from, require_name
from batchml.new.plan import Plan, make_plan
from batchml.new.profile import Profile, profile
from batchml.new.yaml_writer import as_yaml
from batchml.sources.csv_form import form_of_file
from batchml.sources.csv_records import CsvRecords
from batchml.sources.csv_tables import MALFORMED


def main(argv: Sequence[str]) -> int:
    """Return 0 if the YAML and the file are in place, else an exit code; then nothing changed."""
    parser = argparse.ArgumentParser(prog="python -m batchml.new", description=__doc__)
    parser.add_argument(
        "--from", required=True, dest="origin", metavar="FILE_OR_URL", help="a CSV or parquet file"
    )
    parser.add_argument("--label", required=True, metavar="COLUMN", help="the column to predict")
    parser.add_argument("--name", metavar="NAME", help="of the pipeline (default: the file's)")
    parser.add_argument(
        "--force", action="store_true", help="overwrite an existing YAML and landed file"
    )
    options = parser.parse_args(argv)
    console = Console(highlight=False, soft_wrap=True)
    try:
        name = options.name or name_from(options.origin)
        require_name(name)
        for line in make(options.origin, options.label, name, force=options.force):
            console.print(line, markup=False)
    except PipelineError as error:
        console.print(str(error), style="red", markup=False)
        return error.exit_code
    return 0


def make(origin: str, label: str, name: str, *, force: bool) -> list[str]:
    """Write the landed copy and the YAML. Return what was done, as lines of text."""
    yaml = config.conf_folder() / "pipelines" / f"{name}.yaml"
    landing = _landing_folder()
    if yaml.exists() and not force:
        raise BadConfig(
            f"{yaml} already exists", remedy="set another --name, or overwrite with --force"
        )
    with tempfile.TemporaryDirectory(prefix="batchml-new-") as temporary:
        folder = Path(temporary)
        path = locate(origin, folder)
        shown = file_name(origin)
        content = profile(path, label, folder, shown)
        plan = make_plan(content, label, shown)
        text = as_yaml(name, content, plan, origin)
        pipeline = _load(name, text, folder)
        landed = landing / f"{name}.{content.kind}"
        with _replacement(landed) as copy:
            _write_copy(content, copy)
            _require_readable(content, pipeline, copy)
            _require_same(copy, landed, force=force)
        with _replacement(yaml) as partial:
            partial.write_text(text, encoding="utf-8")

    summary = [
        f"{landed}: {content.rows:,} rows, {len(content.columns)} columns",
        f"{yaml}: {_describe(plan)}",
    ]
    summary += [f"  changed in the copy: {change}" for change in content.changes]
    summary += [f"  left out: {column}, {reason}" for column, reason in plan.left_out.items()]
    summary += [
        "Check the YAML: its comments state what the file contains. Then run",
        f"  make run PIPELINE={name}",
    ]
    return summary


def _landing_folder() -> Path:
    conf = config.conf_folder()
    landing = config.load_places(config.default_env(), conf, os.environ).landing
    if "://" in landing:
        raise BadConfig(
            f"the landing folder {landing} is not on this machine",
            remedy="set BATCHML_LANDING to a local folder",
        )
    return Path(landing)


def _describe(plan: Plan) -> str:
    inputs = len(plan.numeric) + len(plan.categorical)
    split = "split by hash"
    if plan.dates is not None:
        days = plan.dates.holdout_days
        split = f"by date from {plan.dates.first} to {plan.dates.end}"
        split += f", evaluated on the last {days} days"
    return f"{plan.task} of {plan.label.name} from {inputs} inputs, {split}"


def _load(name: str, text: str, folder: Path) -> config.Pipeline:
    """Return the pipeline of ``text``. Raise BadConfig if it does not load."""
    yaml = folder / "pipelines" / f"{name}.yaml"
    yaml.parent.mkdir()
    yaml.write_text(text, encoding="utf-8")
    return config.load_pipeline(name, folder)


@contextmanager
def _replacement(target: Path) -> Iterator[Path]:
    """Yield the path of a partial file, which replaces ``target`` when it is complete."""
    partial = target.with_name(f"{target.name}.part")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        yield partial
        partial.replace(target)
    except OSError as error:
        raise Unavailable(f"{target} cannot be written", str(error)) from error
    finally:
        partial.unlink(missing_ok=True)


def _write_copy(content: Profile, target: Path) -> None:
    text = content.text
    if text is None and content.changes:
        _write_parquet(content.path, target)
    elif text is not None and (content.changes or text.codec == "utf-8-sig"):
        write_csv(text, [column.name for column in content.columns], target)
    else:
        shutil.copyfile(content.path, target)


def _write_parquet(path: Path, target: Path) -> None:
    table = pq.read_table(path)
    table = table.rename_columns(fitting_names(table.column_names))
    for number, field in enumerate(table.schema):
        if pa.types.is_time(field.type):
            table = table.set_column(number, field.name, table[number].cast(pa.string()))
    pq.write_table(table, target, coerce_timestamps="us", allow_truncated_timestamps=True)


def _require_readable(content: Profile, pipeline: config.Pipeline, copy: Path) -> None:
    """Raise BadData unless the pipeline's reader returns the rows of the profile from the copy."""
    source = pipeline.source
    if not isinstance(source, CsvSource):
        return
    form = form_of_file(source, pipeline.source_names)
    rows = 0
    with copy.open("rb") as stream:
        for table in CsvRecords(stream, form, copy.name).tables():
            rows += table[MALFORMED].null_count
    if rows != content.rows:
        raise BadData(
            f"{copy.name} has {rows:,} readable rows, but the file has {content.rows:,}",
            remedy="save the file again as CSV in UTF-8, without line breaks in its header",
        )


def _require_same(copy: Path, landed: Path, *, force: bool) -> None:
    """Raise BadConfig if another file exists, unless ``force`` allows to overwrite it."""
    if force or not landed.exists():
        return
    if not filecmp.cmp(copy, landed, shallow=False):
        raise BadConfig(
            f"{landed} already exists, and is another file",
            remedy="set another --name, or overwrite with --force",
        )


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
