"""Search log files for secrets, also in Spark's compressed event logs."""

from collections.abc import Collection, Iterator
from pathlib import Path

import zstandard

CHUNK = 1 << 20


def files_with_secrets(folder: Path, secrets: Collection[str]) -> list[Path]:
    """Return the files below ``folder`` that contain one of ``secrets``."""
    wanted = [secret.encode() for secret in secrets]
    overlap = max(map(len, wanted))
    return [
        path
        for path in sorted(folder.rglob("*"))
        if path.is_file() and _holds(path, wanted, overlap)
    ]


def _holds(path: Path, secrets: list[bytes], overlap: int) -> bool:
    before = b""
    for chunk in _chunks(path):
        text = before + chunk
        if any(secret in text for secret in secrets):
            return True
        before = text[-overlap:]
    return False


def _chunks(path: Path) -> Iterator[bytes]:
    """Yield the decompressed content of ``path``. A log in the making ends within a frame."""
    with path.open("rb") as file:
        if path.suffix not in (".zstd", ".zst", ".inprogress"):
            while chunk := file.read(CHUNK):
                yield chunk
            return

        reader = zstandard.ZstdDecompressor().stream_reader(file, read_across_frames=True)
        while chunk := reader.read(CHUNK):
            yield chunk
