"""Open a text file that may be compressed, and refuse files of other formats by name."""

import bz2
import errno
import gzip
import io
import lzma
import re
import struct
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, BinaryIO, cast

import pyarrow as pa

from batchml.errors import BadData, Unavailable, first_line

PACKED = {
    b"\x1f\x8b": "gzip",
    b"BZh": "bzip2",
    b"\xfd7zXZ\x00": "xz",
    b"(\xb5/\xfd": "zstd",
    b"PK\x03\x04": "zip",
}
OTHER_FORMATS = {
    b"PAR1": "a parquet file (kind: parquet)",
    b"\xd0\xcf\x11\xe0": "an Excel workbook of an old version: save it as CSV",
    b"%PDF": "a PDF",
    b"PK\x05\x06": "an empty zip archive",
    b"Rar!": "a RAR archive: unpack it",
    b"7z\xbc\xaf": "a 7z archive: unpack it",
    b"\x04\x22\x4d\x18": "packed by lz4: unpack it, or pack it with gzip",
    b"\xff\x06\x00\x00sNaPpY": "packed by snappy: unpack it, or pack it with gzip",
}
HTML = (b"<!doctype html", b"<html")
BLANK = b"\xef\xbb\xbf \t\r\n"
HEAD = 512  # bytes that are enough to detect a format
DAMAGED = (EOFError, zlib.error, gzip.BadGzipFile, lzma.LZMAError, zipfile.BadZipFile)
# zipfile raises these for wrong numbers in an archive: offsets before its beginning, versions of
# the future, names without end.
DAMAGED_ARCHIVE = (NotImplementedError, ValueError, OSError, struct.error)
# bz2 and Arrow report a damaged file with these words. The class of their errors is that of a
# failing disk too.
DAMAGED_STREAM = re.compile(r"Invalid data stream|Truncated compressed stream|ZSTD \w+ failed")


@contextmanager
def open_unpacked(path: Path, display_name: str) -> Iterator[IO[bytes]]:
    """Open a file, and unpack it if its first bytes show that it is packed.

    Raise BadData for a format that is not read, and for a packed file that is cut off or damaged.
    """
    with _opened(path, display_name) as file:
        head = file.read(HEAD)
        file.seek(0)
        _require_text(head, display_name)
        packing = _packing(head)
        with (
            _damage_as_bad_data(packing, display_name),
            _unpacked(file, packing, display_name) as stream,
        ):
            if packing is None:
                yield stream
            else:
                yield _packed_once(stream, packing, display_name)


def _opened(path: Path, display_name: str) -> BinaryIO:
    try:
        return path.open("rb")
    except OSError as error:
        raise Unavailable(
            f"{display_name} cannot be opened",
            str(error),
            remedy="check the file's permissions, then run the job again",
        ) from error


def _packing(head: bytes) -> str | None:
    for magic, name in PACKED.items():
        if head.startswith(magic):
            return name
    return None


def _require_text(head: bytes, display_name: str) -> None:
    """Raise BadData if a file that begins with ``head`` is of a known other format."""
    for magic, other in OTHER_FORMATS.items():
        if head.startswith(magic):
            raise BadData(f"{display_name} is {other}", remedy="deliver it as CSV")
    if head[257:262] == b"ustar":
        raise BadData(f"{display_name} is a tar archive", remedy="unpack it")
    if head.lstrip(BLANK).lower().startswith(HTML):
        raise BadData(f"{display_name} is a web page (HTML)", remedy="deliver the CSV file itself")


@contextmanager
def _damage_as_bad_data(packing: str | None, display_name: str) -> Iterator[None]:
    """Raise BadData for the errors of the unpackers that mean a damaged file."""
    try:
        yield
    except (*DAMAGED, OSError) as error:
        message = str(error) or type(error).__name__
        is_damaged = isinstance(error, DAMAGED) or DAMAGED_STREAM.search(message) is not None
        if not is_damaged:
            raise
        raise BadData(
            f"{display_name} cannot be read: its {packing} packing is cut off or damaged",
            first_line(message),
            remedy="the file is damaged: deliver it again",
        ) from error


def _packed_once(stream: IO[bytes], packing: str, display_name: str) -> IO[bytes]:
    """Return the unpacked ``stream``. Raise BadData if it is of another format, or packed again."""
    unpacked = io.BufferedReader(cast(io.RawIOBase, stream), HEAD)
    head = unpacked.peek(HEAD)
    _require_text(head, display_name)
    inner = _packing(head)
    if inner is not None:
        raise BadData(f"{display_name} is packed twice ({packing}, {inner})", remedy="pack it once")
    return unpacked


def _unpacked(file: BinaryIO, packing: str | None, display_name: str) -> IO[bytes]:
    match packing:
        case "gzip":
            return cast(IO[bytes], gzip.GzipFile(fileobj=file))
        case "bzip2":
            return cast(IO[bytes], bz2.BZ2File(file))
        case "xz":
            return cast(IO[bytes], lzma.LZMAFile(file))
        case "zstd":
            return cast(IO[bytes], pa.CompressedInputStream(file, "zstd"))
        case "zip":
            return _unzipped(file, display_name)
        case _:
            return file


def _unzipped(file: BinaryIO, display_name: str) -> IO[bytes]:
    try:
        return _only_member(zipfile.ZipFile(file), display_name)
    except DAMAGED_ARCHIVE as error:
        if isinstance(error, OSError) and error.errno != errno.EINVAL:
            raise
        raise zipfile.BadZipFile(str(error)) from error


def _only_member(archive: zipfile.ZipFile, display_name: str) -> IO[bytes]:
    """Open the only file in ``archive``. Raise BadData if there is not exactly one."""
    members = [member for member in archive.infolist() if _is_content(member)]
    names = [member.filename for member in members]
    if "[Content_Types].xml" in names:
        raise BadData(
            f"{display_name} is an Excel workbook or another Office document",
            remedy="save it as CSV",
        )
    if len(members) != 1:
        raise BadData(
            f"{display_name} is a zip archive of {len(members)} files: {', '.join(names[:5])}",
            remedy="deliver one file in it, or unpack it",
        )

    member = members[0]
    is_encrypted = member.flag_bits & 1
    if is_encrypted:
        raise BadData(
            f"{display_name} is a zip archive with a password", remedy="deliver it without one"
        )
    try:
        return archive.open(member)
    except NotImplementedError:
        raise BadData(
            f"{display_name} is a zip archive that is packed by a rare method "
            f"(number {member.compress_type})",
            remedy="pack it with gzip, or as a zip archive by the usual method (deflate)",
        ) from None


def _is_content(member: zipfile.ZipInfo) -> bool:
    """Return True for a file, unless macOS has added it."""
    return not member.is_dir() and not member.filename.startswith("__MACOSX/")
