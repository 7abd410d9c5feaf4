"""The command line of the local stack."""

import argparse
import re
from pathlib import Path

import pytest
from rich.console import Console

from batchml.errors import BadConfig
from local import __main__ as commands
from local import fetch
from local.stack.processes import StackError

ROOT = Path(__file__).resolve().parents[2]


def raising(error: BaseException):
    def main(arguments: argparse.Namespace, console: Console) -> int:
        raise error

    return main


@pytest.mark.parametrize("name", commands.COMMANDS)
def test_command_help_shows_its_purpose(name: str, capsys: pytest.CaptureFixture[str]):
    with pytest.raises(SystemExit) as ended:
        commands.main([name, "--help"])
    assert ended.value.code == 0
    words = " ".join(capsys.readouterr().out.split())
    assert commands.COMMANDS[name][1] in words


def test_help_lists_every_command(capsys: pytest.CaptureFixture[str]):
    with pytest.raises(SystemExit) as ended:
        commands.main(["--help"])
    assert ended.value.code == 0
    listed = re.findall(r"^  ([a-z]+) ", capsys.readouterr().out, re.MULTILINE)
    assert set(commands.COMMANDS) <= set(listed)


@pytest.mark.parametrize("words", [[], ["restart"]])
def test_unknown_command_is_refused(words: list[str], capsys: pytest.CaptureFixture[str]):
    with pytest.raises(SystemExit) as ended:
        commands.main(words)
    assert ended.value.code == 2
    assert "usage: python -m local" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("error", "code", "text"),
    [
        (
            BadConfig("no such pipeline", remedy="name another"),
            4,
            "no such pipeline\n  name another\n",
        ),
        (StackError("it did not start: see [log]"), 1, "it did not start: see [log]\n"),
        (TimeoutError("no DAG"), 1, "no DAG\n"),
        (KeyboardInterrupt(), 130, "stopped\n"),
    ],
)
def test_command_error_prints_its_message(
    error: BaseException,
    code: int,
    text: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
):
    monkeypatch.setattr(fetch, "main", raising(error))
    assert commands.main(["fetch"]) == code
    assert capsys.readouterr().out == text


def test_seed_without_file_is_bad_data(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    missing = tmp_path / "missing.csv"
    assert (
        commands.main(["seed", "--pipeline", "census", "--date", "2021-01-01", str(missing)]) == 3
    )
    assert capsys.readouterr().out == f"[Errno 2] No such file or directory: '{missing}'\n"


def test_down_without_a_stack_does_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    assert commands.main(["down", "--state", str(tmp_path)]) == 0
    assert capsys.readouterr().out.startswith("nothing to stop")


def test_makefile_calls_every_command():
    called = re.findall(r"-m local (\w+)", (ROOT / "Makefile").read_text())
    assert set(called) == set(commands.COMMANDS)
