"""Which code runs, in real checkouts."""

import subprocess
from pathlib import Path

from batchml.clients.revision import changes, code_version


def git(folder: Path, *arguments: str) -> None:
    who = ["-c", "user.name=test", "-c", "user.email=test@localhost"]
    subprocess.run(["git", "-C", folder, *who, *arguments], check=True, capture_output=True)


def checkout(folder: Path) -> tuple[str, str]:
    """Two commits; gives both."""
    (folder / "jobs").mkdir()
    git(folder, "init", "-q")
    versions = []
    for text in ("one", "two"):
        (folder / "jobs" / "step.py").write_text(text)
        git(folder, "add", "-A")
        git(folder, "commit", "-qm", text)
        versions.append(code_version(folder))
    return versions[0], versions[1]


def test_code_version_marks_uncommitted_changes(tmp_path: Path, monkeypatch):
    monkeypatch.delenv("BATCHML_CODE_VERSION", raising=False)
    _, now = checkout(tmp_path)
    assert len(now) == 12
    (tmp_path / "jobs" / "step.py").write_text("three")
    assert code_version(tmp_path) == f"{now}-dirty"
    monkeypatch.setenv("BATCHML_CODE_VERSION", "v1")
    assert code_version(tmp_path) == "v1"


def test_changed_files_are_listed(tmp_path: Path, monkeypatch):
    monkeypatch.delenv("BATCHML_CODE_VERSION", raising=False)
    then, now = checkout(tmp_path)
    assert changes(tmp_path, now, now) == []
    assert changes(tmp_path, then, now) == [
        f"code version {then} then, {now} now",
        "changed: jobs/step.py",
    ]
    assert (
        changes(tmp_path, f"{then}-dirty", now)[1]
        == "the code had changes then that are not in any commit"
    )


def test_unknown_commits_print_versions_only(tmp_path: Path):
    assert changes(tmp_path, "abc", "def") == ["code version abc then, def now"]
    assert changes(tmp_path, "unknown", "unknown") == ["code version unknown then, unknown now"]
