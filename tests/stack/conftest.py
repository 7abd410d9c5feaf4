"""The image, built; the containers, started, and taken down again whatever happens."""

import os
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.stack.compose import IMAGE, Compose, left_over, output, provide_redis, remove_left_over
from tests.support.real_data import REAL_DATA

PHASES: dict[str, float] = {}


@pytest.fixture(scope="session")
def docker() -> None:
    """Require Docker: without it nothing can be tested here, which is a failure and not a skip."""
    answer = subprocess.run(["docker", "info"], capture_output=True, text=True, check=False)
    if answer.returncode:
        pytest.fail(
            f"Docker does not answer, and this test is about containers:\n{answer.stderr}",
            pytrace=False,
        )
    if "CI" in os.environ:
        remove_left_over()
    if left := left_over():
        pytest.fail(
            f"another run uses or left {left}: `CI=true make test-stack` removes them first",
            pytrace=False,
        )


@pytest.fixture(scope="session")
def compose(docker: None, tmp_path_factory: pytest.TempPathFactory) -> Compose:
    """`docker compose` on the tests' own .env."""
    return Compose.written(tmp_path_factory.mktemp("stack"))


@pytest.fixture(scope="session")
def image(compose: Compose) -> str:
    """Return the image, built from this checkout."""
    provide_redis()
    compose("build", "--quiet")
    return IMAGE


@pytest.fixture(scope="session")
def stack(compose: Compose, image: str) -> Iterator[Compose]:
    """All containers healthy, with two Spark workers, and source files in their landing volume."""
    try:
        begun = time.monotonic()
        compose("up", "--detach", "--wait", "--scale", "spark-worker=2")
        PHASES["  of which: containers healthy"] = time.monotonic() - begun
        compose.make("land", *([f"FROM={REAL_DATA}"] if REAL_DATA.is_dir() else []))
        yield compose
    finally:
        compose("--profile", "*", "down", "--volumes", "--timeout", "5")
    assert left_over() == []


@pytest.fixture(scope="session")
def logs(stack: Compose, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Return all logs so far: of the containers, of Airflow's tasks, of Spark's applications."""
    folder = tmp_path_factory.mktemp("logs")
    (folder / "compose.log").write_text(stack("logs", "--no-color"))
    scheduler = stack.containers("airflow-scheduler")[0]["Id"]
    for place in ("/home/batchml/airflow/logs", "/data/events"):
        output("docker", "cp", "--quiet", f"{scheduler}:{place}", str(folder))
    yield folder


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    name = report.nodeid.split("::")[-1]
    PHASES[name] = PHASES.get(name, 0.0) + report.duration


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    terminalreporter.section("phases")
    for name, seconds in PHASES.items():
        terminalreporter.write_line(f"{seconds:7.1f} s  {name}")
    size = subprocess.run(
        ["docker", "image", "inspect", "--format", "{{.Size}}", IMAGE],
        capture_output=True,
        text=True,
        check=False,
    )
    if size.stdout.strip():
        terminalreporter.write_line(f"image {IMAGE}: {int(size.stdout) / 1e9:.2f} GB")
