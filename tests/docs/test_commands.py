"""Check that every documented command exists and is run in CI, or is listed with a reason."""

import json
import re
import shlex
from pathlib import Path
from typing import Any

import pytest
import yaml

from batchml.main import main
from tests.docs.documented import ROOT, commands, pages, squeeze
from tests.support.make import run_make

MAKEFILE = (ROOT / "Makefile").read_text()
LISTED: list[dict[str, Any]] = yaml.safe_load(Path(__file__).with_name("commands.yaml").read_text())
# Files other than tests that CI executes.
RUN_BY_CI = {".ci/run", ".github/workflows/ci.yaml", "Makefile"}


def documented() -> set[str]:
    found = set()
    for page in pages():
        found.update(commands(page.read_text()))
    return found


def make_commands() -> list[list[str]]:
    words = [shlex.split(command) for command in sorted(documented())]
    return [command[1:] for command in words if command[0] == "make"]


def job_calls() -> list[tuple[str, list[str]]]:
    """Return job and arguments of every documented call, also of those by `make submit`."""
    calls = []
    for command in sorted(documented()):
        words = shlex.split(command)
        scripts = [word for word in words if re.fullmatch(r"jobs/\w+\.py", word)]
        if words[0] == "spark-submit" and scripts:
            arguments = words[words.index(scripts[0]) + 1 :]
            calls.append((Path(scripts[0]).stem, arguments))
        if words[:2] == ["make", "submit"]:
            variables = dict(word.split("=", 1) for word in words[2:])
            calls.append((variables["JOB"], shlex.split(variables.get("ARGS", ""))))
    return calls


def expanded(command: str) -> str:
    """Return ``command``, and for make also its recipe."""
    words = shlex.split(command)
    recipe = run_make("--dry-run", *words[1:]) if words[0] == "make" else ""
    return bare(f"{command}\n{recipe}")


def bare(text: str) -> str:
    """Return ``text`` without quotes, commas and brackets, so that lists look like commands."""
    unquoted = re.sub(r"""["'\\]""", "", text)
    return squeeze(re.sub(r"[,()\[\]]", " ", unquoted))


def content_of_tests(test: str) -> str:
    """Return the test file and the support modules next to it as one text."""
    path = ROOT / test
    if test in RUN_BY_CI:
        return bare(path.read_text())
    support = [module for module in path.parent.glob("*.py") if not module.name.startswith("test_")]
    return bare("\n".join(module.read_text() for module in [path, *support]))


def test_every_documented_command_is_listed():
    assert documented() - {entry["command"] for entry in LISTED} == set()


def test_every_listed_command_is_documented():
    assert {entry["command"] for entry in LISTED} - documented() == set()


def test_no_command_is_listed_twice():
    names = [entry["command"] for entry in LISTED]
    assert sorted(names) == sorted(set(names))


@pytest.mark.parametrize("entry", LISTED, ids=lambda entry: entry["command"])
def test_listed_command_has_a_test_or_a_reason(entry: dict[str, str]):
    if "not_run" in entry:
        assert entry.keys() == {"command", "not_run"}
        assert entry["not_run"].endswith(".")
        return
    assert entry.keys() == {"command", "test", "shared"}
    is_test = Path(entry["test"]).name.startswith("test_")
    assert is_test or entry["test"] in RUN_BY_CI
    assert bare(entry["shared"]) in content_of_tests(entry["test"])
    assert bare(entry["shared"]) in expanded(entry["command"])


def test_reasons_name_existing_tests():
    reasons = " ".join(entry.get("not_run", "") for entry in LISTED)
    named = set(re.findall(r"tests/[\w/]+(?:\.py)?", reasons))
    assert named
    assert [name for name in named if not (ROOT / name).exists()] == []


def test_documented_make_targets_exist():
    targets = set(re.findall(r"^([a-z-]+):", MAKEFILE, re.MULTILINE))
    named = {words[0] for words in make_commands()}
    assert named <= targets
    assert {"run", "test", "fetch", "ui", "setup", "help"} <= named


def test_documented_make_variables_are_used():
    named = set()
    for words in make_commands():
        named.update(word.split("=")[0] for word in words[1:])
    used = set(re.findall(r"\$[({](?:if \$\()?(\w+)|ifdef (\w+)", MAKEFILE))
    assert named <= {name for pair in used for name in pair}


def test_make_help_lists_every_documented_target():
    listed = set(re.findall(r"^  make ([a-z-]+)", run_make("help"), re.MULTILINE))  # of `make help`
    assert {words[0] for words in make_commands()} <= listed


@pytest.mark.parametrize(("job", "arguments"), job_calls(), ids=str)
def test_documented_job_arguments_are_accepted(capsys, job: str, arguments: list[str]):
    assert (ROOT / "jobs" / f"{job}.py").exists()
    # An environment that does not exist is the last check before Spark starts.
    assert main(job, [*arguments, "--env", "nowhere"]) == 4
    line = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert line["error"]["message"].startswith("--env nowhere")
