"""The file a pipeline is made from: as it lies on this machine, or downloaded."""

import os
import re
import time
from pathlib import Path
from urllib.parse import unquote, urlsplit

from batchml.clients import http
from batchml.errors import BadConfig, BadData, Unavailable

MOST_BYTES = 200_000_000  # all of a file is looked at, in ten times as much memory
MOST_SECONDS = 600.0
NAME = re.compile(r"[a-z][a-z0-9_]*")
# What a file that is neither CSV nor parquet begins with, what it then is, and what to do.
OTHERS = {
    b"PK\x03\x04": ("a zip archive or an Excel sheet", "unpack it, or save the sheet as CSV"),
    b"\xd0\xcf\x11\xe0": ("an Excel sheet", "save the sheet as CSV"),
    b"\x1f\x8b": ("compressed by gzip", "unpack it: gunzip FILE"),
    b"BZh": ("compressed by bzip2", "unpack it: bunzip2 FILE"),
    b"\xfd7zXZ": ("compressed by xz", "unpack it: unxz FILE"),
    b"(\xb5/\xfd": ("compressed by zstd", "unpack it: unzstd FILE"),
    b"<": ("a web page or XML", "is it the address of the file itself?"),
    b"{": ("JSON", "write it as CSV or parquet"),
    b"[": ("JSON", "write it as CSV or parquet"),
}


def obtain(given: str, folder: Path) -> Path:
    """The file ``given``, a path or an http(s) address; what is downloaded lies in ``folder``.

    Raises BadConfig where there is no such file, Unavailable without network, BadData for what is too large.
    """
    if is_address(given):
        return _downloaded(given, folder)
    if "://" in given:
        raise BadConfig(
            f"--from {given}: only files and addresses that begin with http:// or https:// can be read"
        )
    path = Path(given).expanduser()
    if not path.is_file():
        raise BadConfig(
            f"--from {given}: there is no such file", remedy=f"relative paths start at {Path.cwd()}"
        )
    if not os.access(path, os.R_OK):
        raise BadConfig(
            f"--from {given}: the file may not be read",
            remedy="give yourself the right to: chmod u+r FILE",
        )
    if path.stat().st_size > MOST_BYTES:
        raise _too_large(given)
    return path


def is_address(given: str) -> bool:
    """Whether ``given`` is to be downloaded."""
    return given.lower().startswith(("http://", "https://"))


def file_name(given: str) -> str:
    """The last part of a path or an address."""
    return Path(unquote(urlsplit(given).path) if is_address(given) else given).name


def name_from(given: str) -> str:
    """A pipeline's name from that of the file: ``Sales 2021.csv`` gives ``sales_2021``.

    Raises BadConfig where nothing of the file's name can serve.
    """
    stem = file_name(given).split(".")[0]
    name = re.sub(r"[^a-z0-9]+", "_", stem.lower()).strip("_")
    name = f"file_{name}" if name[:1].isdigit() else name
    if not name:
        raise BadConfig(
            f"--from {given}: the file's name makes no name for a pipeline",
            remedy="give one with --name",
        )
    return name


def require_name(name: str) -> None:
    """Raises BadConfig for a name no pipeline can have."""
    if not NAME.fullmatch(name):
        raise BadConfig(
            f"--name {name!r}: a pipeline's name begins with a letter and has only a-z, 0-9 and _"
        )
    if name in ("preflight", "maintenance"):
        raise BadConfig(
            f"--name {name}: a DAG of that name looks after all pipelines",
            remedy="give another one",
        )


def kind_of(path: Path, shown: str) -> str:
    """``csv`` or ``parquet``, by what the file holds. Raises BadData for an empty file and other kinds."""
    with path.open("rb") as handle:
        head = handle.read(4096)
    if not head.strip():
        raise BadData(f"{shown} is empty")
    if head.startswith(b"PAR1"):
        return "parquet"
    for magic, (kind, remedy) in OTHERS.items():
        if head.lstrip().startswith(magic):
            raise BadData(f"{shown} is {kind}, neither CSV nor parquet", remedy=remedy)
    is_wide_text = head.startswith((b"\xff\xfe", b"\xfe\xff"))
    if b"\0" in head and not is_wide_text:
        raise BadData(f"{shown} is a binary file, neither CSV nor parquet")
    return "csv"


def _downloaded(address: str, folder: Path) -> Path:
    target = folder / "downloaded"
    deadline = time.monotonic() + MOST_SECONDS

    def within_bounds(have: int, total: int | None) -> None:
        if max(have, total or 0) > MOST_BYTES:
            raise _too_large(address)
        if time.monotonic() > deadline:
            raise BadData(
                f"{address} has not ended after {MOST_SECONDS:g} s",
                remedy="download it, and give the path of the file",
            )

    if not http.download(address, target, within_bounds):
        raise BadConfig(
            f"--from {address}: the server has no such file",
            remedy="does the address open in a browser?",
        )
    if not target.is_file():
        raise Unavailable(f"{address}: nothing came")
    return target


def _too_large(shown: str) -> BadData:
    return BadData(
        f"{shown} has more than {MOST_BYTES / 1e6:.0f} MB, and all of it would be looked at in memory",
        remedy="make the pipeline from a part of it, then put the whole file in the part's place in the landing folder",
    )
