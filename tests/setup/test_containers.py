"""What the containers are set up with, as far as it can be tried without them."""

import argparse
import base64
import stat
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from containers import healthcheck, init_airflow, write_env

ROOT = Path(__file__).resolve().parents[2]


def settings(path: Path) -> dict[str, str]:
    lines = [line for line in path.read_text().splitlines() if line and not line.startswith("#")]
    return dict(line.split("=", 1) for line in lines)


def write(path: Path) -> str:
    command = [sys.executable, ROOT / "containers" / "write_env.py", path]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def test_env_has_random_private_secrets(tmp_path: Path):
    assert write(tmp_path / "one").startswith(f"wrote {tmp_path}/one")
    write(tmp_path / "two")
    one, two = settings(tmp_path / "one"), settings(tmp_path / "two")
    secret = {name for name in one if name.endswith(("PASSWORD", "SECRET", "KEY"))}
    assert len(secret) == 11
    values = [values[name] for values in (one, two) for name in secret]
    assert len(set(values)) == 22, "each is random"
    assert all(len(base64.urlsafe_b64decode(value)) == 32 for value in values)
    assert stat.S_IMODE((tmp_path / "one").stat().st_mode) == 0o600


def test_existing_env_is_not_overwritten(tmp_path: Path):
    (tmp_path / ".env").write_text("AIRFLOW_PORT=9090\n")
    assert write(tmp_path / ".env") == f"{tmp_path}/.env exists and stays unchanged\n"
    assert (tmp_path / ".env").read_text() == "AIRFLOW_PORT=9090\n"


def test_compose_requires_exactly_the_written_secrets():
    text = (ROOT / "docker-compose.yaml").read_text()
    written = settings(write_env.TEMPLATE)
    required = {part.split(":?")[0] for part in text.split("${")[1:] if ":?" in part.split("}")[0]}
    assert required == {name for name in written if written[name] == "<random>"}


def test_admin_password_may_begin_with_a_dash(monkeypatch: pytest.MonkeyPatch):
    given: list[tuple[str, ...]] = []
    monkeypatch.setattr(init_airflow, "airflow", lambda *words: given.append(words))
    environment = {
        "SPARK_DRIVERS": "2",
        "SPARK_DRIVERS_POOL": "spark_drivers",
        "AIRFLOW_ADMIN_USER": "me",
        "AIRFLOW_ADMIN_PASSWORD": "-x_1",
    }
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    init_airflow.main()
    parser = argparse.ArgumentParser()
    for option in ("role", "username", "password", "email", "firstname", "lastname"):
        parser.add_argument(f"--{option}")
    assert parser.parse_args(given[-1][2:]).password == "-x_1"


def test_every_container_is_limited():
    services = yaml.safe_load((ROOT / "docker-compose.yaml").read_text())["services"]
    for name, service in services.items():
        assert "mem_limit" in service, name
        assert service["image"].split(":")[1] not in ("", "latest"), name
        assert service["cap_drop"] == ["ALL"], name
        runs_on = service["restart"] != "no"
        assert runs_on == ("healthcheck" in service) or name == "flower", name


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        ({"workers": [{"host": "here", "state": "ALIVE"}]}, None),
        (
            {"workers": [{"host": "here", "state": "DEAD"}]},
            "spark-worker responds, but does not work",
        ),
        (
            {"workers": [{"host": "elsewhere", "state": "ALIVE"}]},
            "spark-worker responds, but does not work",
        ),
        ({}, "spark-worker: KeyError: 'workers'"),
    ],
)
def test_worker_alive_at_the_master_is_healthy(
    monkeypatch: pytest.MonkeyPatch, answer: dict[str, object], said: str | None
):
    monkeypatch.setattr(healthcheck, "fetch_json", lambda url: answer)
    monkeypatch.setattr(healthcheck.socket, "gethostname", lambda: "here")
    monkeypatch.setattr(healthcheck.socket, "gethostbyname", lambda name: "10.0.0.1")
    assert healthcheck.main("spark-worker") == said


def test_unresponsive_service_is_reported_in_one_line(monkeypatch: pytest.MonkeyPatch):
    def refuse(url: str) -> dict[str, object]:
        raise ConnectionRefusedError("nobody there")

    monkeypatch.setattr(healthcheck, "fetch_json", refuse)
    assert healthcheck.main("mlflow") == "mlflow: ConnectionRefusedError: nobody there"


def test_locked_celery_works_with_airflows_provider():
    command = [sys.executable, "-c", "import airflow.providers.celery.executors.celery_executor"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
