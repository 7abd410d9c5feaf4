"""The containers under a project name, ports and secrets of the tests' own."""

import json
import os
import shlex
import subprocess
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import requests
import yaml

from containers.write_env import TEMPLATE, fill
from local.stack.airflow_api import AirflowApi
from local.stack.processes import free_port
from tests.support.workbench import JAVA_OPTIONS

ROOT = Path(__file__).resolve().parents[2]
PROJECT = "batchml-test"
IMAGE = "batchml:0.1.0"
PORTS = {
    "AIRFLOW_PORT": 8080,
    "MLFLOW_PORT": 5000,
    "SPARK_UI_PORT": 8081,
    "SPARK_HISTORY_PORT": 18080,
    "SAMPLES_API_PORT": 8000,
    "FLOWER_PORT": 5555,
}
KINDS = {
    ("ps", "--all"): ("rm", "--force", "--volumes"),
    ("volume", "ls"): ("volume", "rm"),
    ("network", "ls"): ("network", "rm"),
}
"""The commands that list the containers, volumes and networks, and those that remove one."""
WITH_DRIVERS = ("airflow-scheduler", "airflow-worker", "tools")


def output(*command: str) -> str:
    """Return what a command prints. Raise an error with the output of one that fails."""
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT)
    assert done.returncode == 0, (
        f"{shlex.join(command)}\n{done.stdout[-4000:]}\n{done.stderr[-4000:]}"
    )
    return done.stdout


@dataclass
class Compose:
    """`docker compose` with an .env of the tests' own, and one file over the project's."""

    env_file: Path
    override: Path

    @classmethod
    def written(cls, folder: Path) -> "Compose":
        """Return the containers of a new .env in ``folder``.

        Its ports are free, and not those of the local stack, whose tests may run at the same time.
        Only tests start runs, and jobs interpret their small plans, as in all tests.
        """
        text = fill(TEMPLATE.read_text())
        for name, usual in PORTS.items():
            text = text.replace(f"{name}={usual}", f"{name}={free_port(20_000 + usual)}")
        (folder / ".env").write_text(
            text.replace("AIRFLOW_SCHEDULES=True", "AIRFLOW_SCHEDULES=False")
        )
        services = {
            name: {"environment": {"JDK_JAVA_OPTIONS": JAVA_OPTIONS}} for name in WITH_DRIVERS
        }
        (folder / "override.yaml").write_text(yaml.safe_dump({"services": services}))
        return cls(folder / ".env", folder / "override.yaml")

    @property
    def words(self) -> list[str]:
        """The command's beginning; the project's name wins over the file's."""
        files = ["--file", str(ROOT / "docker-compose.yaml"), "--file", str(self.override)]
        named = ["--env-file", str(self.env_file), "--project-name", PROJECT]
        return ["docker", "compose", "--ansi", "never", *files, *named]

    def __call__(self, *arguments: str) -> str:
        return output(*self.words, *arguments)

    def make(self, target: str, *variables: str) -> str:
        """One of the Makefile's targets, on these containers."""
        return output(
            "make", "--no-print-directory", target, f"COMPOSE={shlex.join(self.words)}", *variables
        )

    @property
    def settings(self) -> dict[str, str]:
        """What the .env sets."""
        lines = [
            line
            for line in self.env_file.read_text().splitlines()
            if line and not line.startswith("#")
        ]
        return dict(line.split("=", 1) for line in lines)

    @property
    def secrets(self) -> dict[str, str]:
        """Those of its values that nobody may see."""
        ends = ("PASSWORD", "SECRET", "KEY")
        return {name: value for name, value in self.settings.items() if name.endswith(ends)}

    def use_celery(self) -> None:
        """As the .env's own comment says."""
        text = self.env_file.read_text().replace("# COMPOSE_PROFILES", "COMPOSE_PROFILES")
        self.env_file.write_text(text.replace("# AIRFLOW_EXECUTOR", "AIRFLOW_EXECUTOR"))

    def containers(self, service: str = "") -> list[dict[str, Any]]:
        """`docker inspect` of the running containers, of one service or of all."""
        ids = self("ps", "--quiet", *([service] if service else [])).split()
        found: list[dict[str, Any]] = json.loads(output("docker", "inspect", *ids)) if ids else []
        return found

    def url(self, port: str) -> str:
        """Where a page answers for a person's browser."""
        return f"http://127.0.0.1:{self.settings[port]}"

    @cached_property
    def airflow(self) -> AirflowApi:
        """Airflow's API as the admin of the .env."""
        api = AirflowApi(
            self.url("AIRFLOW_PORT"),
            self.settings["AIRFLOW_ADMIN_USER"],
            self.settings["AIRFLOW_ADMIN_PASSWORD"],
        )
        api.require_healthy()
        return api

    def history(self, path: str) -> Any:
        """Return a response of the history server's REST API."""
        answer = requests.get(f"{self.url('SPARK_HISTORY_PORT')}/api/v1/{path}", timeout=30)
        answer.raise_for_status()
        return answer.json()

    def mlflow(self, path: str, **params: str) -> Any:
        """MLflow's REST API."""
        answer = requests.get(
            f"{self.url('MLFLOW_PORT')}/api/2.0/mlflow/{path}", params=params, timeout=30
        )
        answer.raise_for_status()
        return answer.json()

    def workers(self) -> list[dict[str, Any]]:
        """Return the Spark workers, as the master counts them."""
        found: list[dict[str, Any]] = requests.get(
            f"{self.url('SPARK_UI_PORT')}/json/", timeout=30
        ).json()["workers"]
        return [worker for worker in found if worker["state"] == "ALIVE"]


def left_over() -> list[str]:
    """Containers, volumes and networks of the project."""
    return [left for kind in KINDS for left in _of_project(*kind)]


def remove_left_over() -> None:
    """Remove what a killed run left. `docker compose down` fails if a service has no container."""
    for kind, remove in KINDS.items():
        for left in _of_project(*kind):
            output("docker", *remove, left)


def _of_project(*kind: str) -> list[str]:
    label = f"label=com.docker.compose.project={PROJECT}"
    return output("docker", *kind, "--quiet", "--filter", label).split()


def provide_redis() -> None:
    """Return the public image, or its stand-in where it is unavailable."""
    tag = "redis:7.2-bookworm"
    here = (
        subprocess.run(
            ["docker", "image", "inspect", tag], capture_output=True, check=False
        ).returncode
        == 0
    )
    if (
        here
        or subprocess.run(
            ["docker", "pull", "--quiet", tag], capture_output=True, check=False
        ).returncode
        == 0
    ):
        return
    recipe = str(ROOT / "tests" / "stack" / "redis.Dockerfile")
    output("docker", "build", "--tag", tag, "--file", recipe, str(ROOT / "tests" / "stack"))


def images_folder(fallback: Path) -> Path:
    """Return the folder of screenshots.

    `STACK_IMAGES=docs/images make test-stack` renews those of the documentation.
    """
    folder = Path(os.environ.get("STACK_IMAGES", fallback))
    folder.mkdir(parents=True, exist_ok=True)
    return folder.resolve()
