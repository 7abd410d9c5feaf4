"""Locate the file that a pipeline is made from, and download it if needed."""

import os
import re
import time
from pathlib import Path
from urllib.parse import unquote, urlsplit

from batchml.clients import http
from batchml.config.pipeline import STACK_DAGS
from batchml.errors import BadConfig, BadData, Unavailable

MAX_BYTES = 200_000_000  # the whole file is profiled, in about ten times as much memory
MAX_SECONDS = 600.0
NAME = re.compile(r"[a-z][a-z0-9_]*")
# The first bytes of other formats, their names, and what to do.
OTHER_FORMATS = {
    b"PK\x03\x04": ("a zip archive or an Excel sheet", "unpack it, or save the sheet as CSV"),
    b"\xd0\xcf\x11\xe0": ("an Excel sheet", "save the sheet as CSV"),
    b"\x1f\x8b": ("compressed by gzip", "unpack it: gunzip FILE"),
    b"BZh": ("compressed by bzip2", "unpack it: bunzip2 FILE"),
    b"\xfd7zXZ": ("compressed by xz", "unpack it: unxz FILE"),
    b"(\xb5/\xfd": ("compressed by zstd", "unpack it: unzstd FILE"),
    b"<": ("a web page or XML", "set the address of the file itself"),
    b"{": ("JSON", "write it as CSV or parquet"),
    b"[": ("JSON", "write it as CSV or parquet"),
}


def locate(origin: str, folder: Path) -> Path:
    """Return the path of ``origin``, a path or an HTTP address. Download into ``folder``.

    Raise BadConfig for a missing file, Unavailable without network, BadData for one that is too
    large.
    """
    if is_address(origin):
        return _downloaded(origin, folder)
    if "://" in origin:
        raise BadConfig(
            f"--from {origin}: only files and addresses that begin with http:// or https:// "
            "can be read"
        )
    path = Path(origin).expanduser()
    if not path.is_file():
        raise BadConfig(
            f"--from {origin}: there is no such file",
            remedy=f"check the path; relative paths start at {Path.cwd()}",
        )
    if not os.access(path, os.R_OK):
        raise BadConfig(
            f"--from {origin}: no permission to read the file",
            remedy="run chmod u+r FILE",
        )
    if path.stat().st_size > MAX_BYTES:
        raise _too_large(origin)
    return path


def is_address(origin: str) -> bool:
    """Return True if ``origin`` must be downloaded."""
    return origin.lower().startswith(("http://", "https://"))


def file_name(origin: str) -> str:
    """Return the last part of a path or an address."""
    path = origin
    if is_address(origin):
        path = unquote(urlsplit(origin).path)
    return Path(path).name


def name_from(origin: str) -> str:
    """Return a pipeline's name from that of the file: ``sales_2021`` for ``Sales 2021.csv``.

    Raise BadConfig if the file's name has no usable character.
    """
    stem = file_name(origin).split(".")[0]
    name = re.sub(r"[^a-z0-9]+", "_", stem.lower()).strip("_")
    if name[:1].isdigit():
        name = f"file_{name}"
    if not name:
        raise BadConfig(
            f"--from {origin}: the file's name has no usable character",
            remedy="set a name with --name",
        )
    return name


def require_name(name: str) -> None:
    """Raise BadConfig for a name that a pipeline cannot have."""
    if not NAME.fullmatch(name):
        raise BadConfig(
            f"--name {name!r}: a pipeline's name begins with a letter and contains only a-z, 0-9 "
            "and _"
        )
    if name in STACK_DAGS:
        raise BadConfig(
            f"--name {name}: a DAG of that name is for all pipelines",
            remedy="set another one",
        )


def kind_of(path: Path, shown: str) -> str:
    """Return ``csv`` or ``parquet`` by the file's content. Raise BadData for any other file."""
    with path.open("rb") as handle:
        head = handle.read(4096)
    if not head.strip():
        raise BadData(f"{shown} is empty")
    if head.startswith(b"PAR1"):
        return "parquet"
    for magic, (kind, remedy) in OTHER_FORMATS.items():
        if head.lstrip().startswith(magic):
            raise BadData(f"{shown} is {kind}, neither CSV nor parquet", remedy=remedy)
    is_wide_text = head.startswith((b"\xff\xfe", b"\xfe\xff"))
    if b"\0" in head and not is_wide_text:
        raise BadData(f"{shown} is a binary file, neither CSV nor parquet")
    return "csv"


def _downloaded(address: str, folder: Path) -> Path:
    target = folder / "downloaded"
    deadline = time.monotonic() + MAX_SECONDS

    def check_bounds(size: int, total: int | None) -> None:
        if max(size, total or 0) > MAX_BYTES:
            raise _too_large(address)
        if time.monotonic() > deadline:
            raise BadData(
                f"{address}: the download takes longer than {MAX_SECONDS:g} s",
                remedy="download it, and set --from to the path of the file",
            )

    if not http.download(address, target, check_bounds):
        raise BadConfig(
            f"--from {address}: the server has no such file",
            remedy="check the address in a browser",
        )
    if not target.is_file():
        raise Unavailable(f"{address}: the response is empty")
    return target


def _too_large(shown: str) -> BadData:
    return BadData(
        f"{shown} has more than {MAX_BYTES / 1e6:.0f} MB, and the whole file is profiled in memory",
        remedy="make the pipeline from a part of it, then replace the part in the landing folder",
    )
