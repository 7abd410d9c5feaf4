"""CSV files of the samples."""

import csv
from collections.abc import Iterable
from pathlib import Path


def write_csv(path: Path, rows: Iterable[Iterable[object]]) -> None:
    """Write ``rows`` to ``path``, as a whole or not at all."""
    partial = path.with_suffix(".part")
    with partial.open("w", newline="") as handle:
        csv.writer(handle, lineterminator="\n").writerows(rows)
    partial.replace(path)
