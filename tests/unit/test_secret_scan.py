"""The search for secrets finds one that is there."""

from pathlib import Path

import pytest
import zstandard

from tests.support.secret_scan import CHUNK, files_with_secrets

SECRET = "correct-horse-battery-staple"


@pytest.mark.parametrize("before", [0, CHUNK - 5, 3 * CHUNK])
@pytest.mark.parametrize("name", ["task.log", "events_1_app.zstd", "events_1_app.zstd.inprogress"])
def test_planted_secret_is_found(tmp_path: Path, name: str, before: int):
    text = b"x" * before + SECRET.encode() + b"\n"
    (tmp_path / "clean.log").write_bytes(b"nothing")
    content = text if name.endswith(".log") else zstandard.compress(text)
    (tmp_path / name).write_bytes(content)
    assert files_with_secrets(tmp_path, [SECRET, "another"]) == [tmp_path / name]


def test_unfinished_log_is_searched(tmp_path: Path):
    compressor = zstandard.ZstdCompressor().compressobj()
    written = compressor.compress(SECRET.encode()) + compressor.flush(
        zstandard.COMPRESSOBJ_FLUSH_BLOCK
    )
    (tmp_path / "events_1_app.zstd.inprogress").write_bytes(written)
    assert len(files_with_secrets(tmp_path, [SECRET])) == 1
