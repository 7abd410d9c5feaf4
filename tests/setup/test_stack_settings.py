"""Settings of the local stack and of the containers that must be equal."""

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from batchml import job_line
from batchml.errors import BadConfig, BadData, NothingToDo, PipelineError, Unavailable
from local.setup.class_archive import java_options
from local.stack.environment import DAEMON_OPTIONS, ROOT, SHARED, USUAL_PORTS, environment_of
from local.stack.state_folder import places_of
from local.submit import supervised_submit
from local.submit.local_submit import AUTHENTICATION
from local.submit.supervised_submit import read_properties

COMPOSE_TEXT = (ROOT / "docker-compose.yaml").read_text()
COMPOSE: dict[str, Any] = yaml.safe_load(COMPOSE_TEXT)
DOCKERFILE = (ROOT / "Dockerfile.spark").read_text()
SPARK_DEFAULTS = read_properties(ROOT / "containers" / "spark-defaults.conf")
# Airflow's settings with different values in both stacks. A new one is shared or listed here.
DIFFERENT = {
    "AIRFLOW__API__BASE_URL",
    "AIRFLOW__CORE__DAGS_FOLDER",
    "AIRFLOW__CORE__EXECUTION_API_SERVER_URL",
    "AIRFLOW__CORE__EXECUTOR",  # Configurable in .env.
    "AIRFLOW__CORE__PARALLELISM",
    "AIRFLOW__CORE__PLUGINS_FOLDER",
    "AIRFLOW__DAG_PROCESSOR__MIN_FILE_PROCESS_INTERVAL",
    "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN",
}


@pytest.fixture
def local_environment(tmp_path: Path) -> dict[str, str]:
    return environment_of(tmp_path, places_of(tmp_path), USUAL_PORTS)


def services_of_the_image() -> dict[str, dict[str, Any]]:
    image = COMPOSE["x-image"]["image"]
    return {name: each for name, each in COMPOSE["services"].items() if each["image"] == image}


def env_template() -> dict[str, str]:
    lines = (ROOT / "containers" / "env.template").read_text().splitlines()
    return dict(line.split("=", 1) for line in lines if line and not line.startswith("#"))


def test_shared_settings_suit_both_readers():
    lines = (ROOT / "conf" / "stack.env").read_text().splitlines()
    settings = [line for line in lines if line and not line.startswith("#")]
    for line in settings:
        # Both readers agree on plain words and on double quotes without escapes or variables.
        assert re.fullmatch(r'\w+=([\w.-]+|"[\w.=-]+( [\w.=-]+)*")', line)
    assert len(settings) == len(SHARED)


def test_image_services_read_the_shared_settings():
    services = services_of_the_image()
    assert len(services) > 10
    assert {each["env_file"] for each in services.values()} == {"conf/stack.env"}


def test_no_service_overrides_a_shared_setting():
    for name, service in services_of_the_image().items():
        assert SHARED.keys() & service.get("environment", {}).keys() == set(), name


def test_local_stack_has_the_shared_settings(local_environment: dict[str, str]):
    assert local_environment.items() >= SHARED.items()


def test_differing_airflow_settings_are_listed(local_environment: dict[str, str]):
    local = {name for name in local_environment if name.startswith("AIRFLOW__")} - SHARED.keys()
    assert local & COMPOSE["x-airflow"].keys() == DIFFERENT


def test_both_stacks_have_one_default_executor(local_environment: dict[str, str]):
    executor = local_environment["AIRFLOW__CORE__EXECUTOR"]
    assert COMPOSE["x-airflow"]["AIRFLOW__CORE__EXECUTOR"] == f"${{AIRFLOW_EXECUTOR:-{executor}}}"


def test_dags_use_the_shared_pool():
    operators = (ROOT / "dags" / "orchestration" / "operators.py").read_text()
    assert f'\nPOOL = "{SHARED["SPARK_DRIVERS_POOL"]}"\n' in operators


def test_daemons_have_the_same_options():
    assert DAEMON_OPTIONS in COMPOSE["x-spark-daemon"]["SPARK_DAEMON_JAVA_OPTS"]


def test_jobs_authenticate_in_both_stacks():
    assert SPARK_DEFAULTS.items() >= AUTHENTICATION.items()


def test_image_uses_its_class_archive_everywhere():
    options = java_options(Path("/opt/classes.jsa"), Path("/opt/batchml/conf/spark"))
    assert f'SPARK_SUBMIT_OPTS="{options}"' in DOCKERFILE
    assert COMPOSE["x-spark-daemon"]["SPARK_DAEMON_JAVA_OPTS"].startswith(f"{options} ")
    assert SPARK_DEFAULTS["spark.executor.defaultJavaOptions"].endswith(f" {options}")
    assert "class_archive.py /opt/classes.jsa" in DOCKERFILE


def test_both_stacks_have_the_same_ports():
    defaults = dict(re.findall(r"\$\{(\w+_PORT):-(\d+)\}", COMPOSE_TEXT))
    template = {name: port for name, port in env_template().items() if name.endswith("_PORT")}
    assert defaults == template
    shared = USUAL_PORTS.keys() & template.keys()
    assert len(shared) == 5
    assert {name: str(USUAL_PORTS[name]) for name in shared} == {
        name: template[name] for name in shared
    }


def test_supervisor_agrees_with_the_jobs():
    """It needs the standard library only, and so repeats what the jobs define."""
    kinds = {
        error.kind: error.exit_code for error in (PipelineError, BadData, BadConfig, Unavailable)
    }
    assert kinds == supervised_submit.EXIT_CODES
    assert NothingToDo.exit_code == supervised_submit.NOTHING_TO_DO
    assert supervised_submit.LINE_START.decode() == job_line.BEGINNING
