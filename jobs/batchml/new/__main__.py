"""`python -m batchml.new`: write a pipeline for a CSV or parquet file."""

import argparse
import filecmp
import os
import shutil
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
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


@dataclass(frozen=True)
class Target:
    """Where the YAML and the copy of the file go."""

    name: str
    yaml: Path
    landing: Path
    force: bool


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
    target = _target(name, force=force)
    if target.yaml.exists() and not force:
        raise BadConfig(
            f"{target.yaml} already exists", remedy="set another --name, or overwrite with --force"
        )
    with tempfile.TemporaryDirectory(prefix="batchml-new-") as folder:
        path = locate(origin, Path(folder))
        shown = file_name(origin)
        found = profile(path, label, Path(folder), shown)
        plan = make_plan(found, label, shown)
        text = as_yaml(name, found, plan, origin)
        pipeline = _load(name, text, Path(folder))
        landed = target.landing / f"{name}.{found.kind}"
        _land(found, pipeline, landed, force=force)
        _write(target.yaml, lambda partial: _write_text(partial, text))
    return _summary(target, landed, found, plan)


def _target(name: str, *, force: bool) -> Target:
    conf = config.conf_folder()
    landing = config.load_places(config.default_env(), conf, os.environ).landing
    if "://" in landing:
        raise BadConfig(
            f"the landing folder {landing} is not on this machine",
            remedy="set BATCHML_LANDING to a local folder",
        )
    return Target(name, conf / "pipelines" / f"{name}.yaml", Path(landing), force)


def _summary(target: Target, landed: Path, found: Profile, plan: Plan) -> list[str]:
    inputs = len(plan.numeric) + len(plan.categorical)
    split = "split by hash"
    if plan.dates is not None:
        days = plan.dates.holdout_days
        split = f"by date from {plan.dates.first} to {plan.dates.end}"
        split += f", evaluated on the last {days} days"
    return [
        f"{landed}: {found.rows:,} rows, {len(found.columns)} columns",
        f"{target.yaml}: {plan.task} of {plan.label.name} from {inputs} inputs, {split}",
        *(f"  changed in the copy: {change}" for change in found.changes),
        *(f"  left out: {column}, {reason}" for column, reason in plan.left_out.items()),
        "Check the YAML: its comments state what the file contains. Then run",
        f"  make run PIPELINE={target.name}",
    ]


def _load(name: str, text: str, folder: Path) -> config.Pipeline:
    """Return the pipeline of ``text``. Raise BadConfig if it does not load."""
    (folder / "pipelines").mkdir()
    _write_text(folder / "pipelines" / f"{name}.yaml", text)
    return config.load_pipeline(name, folder)


def _land(found: Profile, pipeline: config.Pipeline, target: Path, *, force: bool) -> None:
    def write(partial: Path) -> None:
        _write_copy(found, partial)
        _require_readable(found, pipeline, partial)
        is_other = target.exists() and not _is_same(partial, target)
        if is_other and not force:
            raise BadConfig(
                f"{target} already exists, and is another file",
                remedy="set another --name, or overwrite with --force",
            )

    _write(target, write)


def _write(target: Path, write: Callable[[Path], None]) -> None:
    """Write to a partial file, and rename it to ``target`` when it is complete."""
    partial = target.with_name(f"{target.name}.part")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        write(partial)
        partial.replace(target)
    except OSError as error:
        raise Unavailable(f"{target} cannot be written", str(error)) from error
    finally:
        partial.unlink(missing_ok=True)


def _write_text(path: Path, text: str) -> None:
    path.write_text(text, encoding="utf-8")


def _write_copy(found: Profile, target: Path) -> None:
    text = found.text
    if text is None and found.changes:
        _write_parquet(found.path, target)
    elif text is not None and (found.changes or text.codec == "utf-8-sig"):
        write_csv(text, [column.name for column in found.columns], target)
    else:
        shutil.copyfile(found.path, target)


def _write_parquet(path: Path, target: Path) -> None:
    table = pq.read_table(path)
    table = table.rename_columns(fitting_names(table.column_names))
    for number, field in enumerate(table.schema):
        if pa.types.is_time(field.type):
            table = table.set_column(number, field.name, table[number].cast(pa.string()))
    pq.write_table(table, target, coerce_timestamps="us", allow_truncated_timestamps=True)


def _require_readable(found: Profile, pipeline: config.Pipeline, copy: Path) -> None:
    """Raise BadData unless the pipeline's reader returns the rows of the profile from the copy."""
    source = pipeline.source
    if not isinstance(source, CsvSource):
        return
    form = form_of_file(source, pipeline.source_names)
    rows = 0
    with copy.open("rb") as stream:
        for table in CsvRecords(stream, form, copy.name).tables():
            rows += table[MALFORMED].null_count
    if rows != found.rows:
        raise BadData(
            f"{copy.name} has {rows:,} readable rows, but the file has {found.rows:,}",
            remedy="save the file again as CSV in UTF-8, without line breaks in its header",
        )


def _is_same(one: Path, other: Path) -> bool:
    return filecmp.cmp(one, other, shallow=False)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
