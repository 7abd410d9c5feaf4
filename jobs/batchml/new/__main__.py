"""`python -m batchml.new`: a pipeline from a CSV or parquet file, its YAML written by what the file holds."""

import argparse
import os
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console

from batchml import config
from batchml.errors import BadConfig, PipelineError, Unavailable
from batchml.new.choose import Plan, choose
from batchml.new.land import is_same, write_copy
from batchml.new.obtain import file_name, name_from, obtain, require_name
from batchml.new.read import Delivered, read
from batchml.new.write import as_yaml


def main(argv: Sequence[str]) -> int:
    """0 when the YAML and the file are in place; else the exit code of what was wrong, and nothing has changed."""
    parser = argparse.ArgumentParser(prog="python -m batchml.new", description=__doc__)
    parser.add_argument(
        "--from", required=True, dest="origin", metavar="FILE_OR_URL", help="a CSV or parquet file"
    )
    parser.add_argument("--label", required=True, metavar="COLUMN", help="the column to predict")
    parser.add_argument("--name", metavar="NAME", help="of the pipeline (default: the file's)")
    parser.add_argument(
        "--force", action="store_true", help="over a YAML and a landed file that are there"
    )
    given = parser.parse_args(argv)
    console = Console(highlight=False, soft_wrap=True)
    try:
        name = given.name or name_from(given.origin)
        require_name(name)
        for line in make(given.origin, given.label, name, force=given.force):
            console.print(line, markup=False)
    except PipelineError as error:
        console.print(str(error), style="red", markup=False)
        return error.exit_code
    return 0


def make(origin: str, label: str, name: str, *, force: bool) -> list[str]:
    """Puts the file into the landing folder and the YAML into ``conf/pipelines``; gives sentences of what was done."""
    conf = config.conf_folder()
    landing = _landing(config.load_places(config.default_env(), conf, os.environ).landing)
    target = conf / "pipelines" / f"{name}.yaml"
    if target.exists() and not force:
        raise BadConfig(
            f"{target} is there already", remedy="give another --name, or --force to write over it"
        )
    with tempfile.TemporaryDirectory(prefix="batchml-new-") as folder:
        path = obtain(origin, Path(folder))
        found = read(path, label, file_name(origin))
        plan = choose(found, label, file_name(origin))
        text = as_yaml(name, found, plan, origin)
        _require_loads(name, text, Path(folder))
        landed = _land(found, landing / f"{name}.{found.kind}", force=force)
        _write(text, target)
    return [
        f"{landed}: {found.rows:,} rows, {len(found.columns)} columns",
        f"{target}: {plan.task} of {plan.label.name} from {len(plan.numeric) + len(plan.categorical)} inputs, "
        f"{_split(plan)}",
        *(f"  changed in the copy: {change}" for change in found.changes),
        *(f"  left out: {column}, {reason}" for column, reason in plan.left_out.items()),
        "Look through the YAML: beside each line stands what was found. Then",
        f"  make run PIPELINE={name}",
    ]


def _landing(place: str) -> Path:
    if "://" in place:
        raise BadConfig(
            f"the landing folder {place} is not on this machine",
            remedy="set BATCHML_LANDING to one that is",
        )
    return Path(place)


def _require_loads(name: str, text: str, folder: Path) -> None:
    """Raises BadConfig unless the pipeline loads from ``text``."""
    (folder / "pipelines").mkdir()
    (folder / "pipelines" / f"{name}.yaml").write_text(text, encoding="utf-8")
    config.load_pipeline(name, folder)


def _land(found: Delivered, target: Path, *, force: bool) -> Path:
    partial = target.with_name(f"{target.name}.part")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        write_copy(found, partial)
        if target.exists() and not force and not is_same(partial, target):
            raise BadConfig(
                f"{target} is there already, and is another file",
                remedy="give another --name, or --force to put this file in its place",
            )
        partial.replace(target)
    except OSError as error:
        raise Unavailable(f"{target} cannot be written", str(error)) from error
    finally:
        partial.unlink(missing_ok=True)
    return target


def _write(text: str, target: Path) -> None:
    partial = target.with_name(f"{target.name}.part")
    try:
        partial.write_text(text, encoding="utf-8")
        partial.replace(target)
    except OSError as error:
        raise Unavailable(f"{target} cannot be written", str(error)) from error


def _split(plan: Plan) -> str:
    if plan.dates is None:
        return "split by hash"
    days = plan.dates.holdout_days
    return f"by date from {plan.dates.first} to {plan.dates.end}, judged on the last {days} days"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
