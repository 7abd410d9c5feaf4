"""The containers, used by a team. In order: each test continues where the one before ended."""

import json
import re
import subprocess
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import requests

from local.stack.airflow_api import TASK_STATES_AT_REST, AirflowApi
from tests.stack.browser import find_browser, screenshot
from tests.stack.compose import Compose, images_folder, output
from tests.support.airflow_runs import end_of, task_states, until
from tests.support.secret_scan import files_with_secrets
from tests.support.sockets import parse_proc_net

TRAINED = ("ingest", "build_features", "train_model", "evaluate_model", "promote_model")
WITHOUT_SPARK = ("training_due", "report_day")
# The skipped tasks of a run that trains the first champion: there is none yet to score with.
SKIPPED = ("score_batch", "monitor_drift", "rollback", "maintain_tables", "accept")
SUCCEEDED = dict.fromkeys((*TRAINED, *WITHOUT_SPARK), "success") | dict.fromkeys(SKIPPED, "skipped")
RANGE = {"start": "2021-01-01", "end": "2021-01-14", "train": "yes"}
WRONG = {"start": "2021-01-20", "end": "2021-01-10"}
# The dates of a database's table. tests/e2e has line, iris and CSV files.
CENSUS = {"start": "2021-01-01", "end": "2021-01-02", "train": "yes"}
BACKFILL = ["2021-01-15", "2021-01-16"]
RUN = "by-hand"
# What each service listens on for other containers.
SOCKETS: dict[str, set[int]] = {
    "postgres": {5432},
    "spark-master": {7077, 8080},
    "spark-worker": {7078, 8081},
    "spark-history": {18080},
    "mlflow": {5000},
    "samples-api": {8000},
    "airflow-api": {8080},
    "airflow-scheduler": set(),
    "airflow-dag-processor": set(),
    "airflow-triggerer": {
        8794
    },  # logs of running tasks, for the API server, which signs its requests
    "redis": {6379},
    "airflow-worker": {8793},
    "flower": {5555},
}
WITH_JOBS = ("airflow-worker", "spark-worker")
EPHEMERAL, DRIVER_PAGES = 32_768, range(4040, 4060)


def task_log(airflow: AirflowApi, dag_id: str, run_id: str, task_id: str) -> list[str]:
    """Return the lines of a task's log as the UI shows them, with the messages of exceptions."""
    path = f"/dags/{dag_id}/dagRuns/{run_id}/taskInstances/{task_id}/logs/1"
    content = airflow.call(
        "GET", path, params={"full_content": "true"}, headers={"Accept": "application/json"}
    )
    lines: list[str] = []
    for entry in content["content"]:
        lines.append(str(entry["event"]))
        for error in entry.get("error_detail") or []:
            lines += str(error["exc_value"]).splitlines()
    return lines


def applications(stack: Compose, dag_id: str, run_id: str) -> dict[str, str]:
    """Return the Spark application of every task that had one."""
    airflow = stack.airflow
    lines = {
        task["task_id"]: airflow.value(dag_id, run_id, task["task_id"])
        for task in airflow.tasks(dag_id, run_id)
    }
    return {
        task: line["spark_application_id"]
        for task, line in lines.items()
        if "spark_application_id" in line
    }


def test_compose_file_has_no_warning(compose: Compose):
    done = subprocess.run(
        [*compose.words, "--profile", "*", "config"], capture_output=True, text=True, check=True
    )
    assert done.stderr == ""
    assert not re.findall(r"image: .*(?:latest|[^:]*[a-z])$", done.stdout), (
        "an image without a version"
    )


def test_image_runs_as_its_user(image: str):
    assert output("docker", "run", "--rm", image, "id", "-u").strip() == "10001"


def test_all_containers_become_healthy(stack: Compose):
    states = {
        each["Name"]: each["State"].get("Health", {}).get("Status") for each in stack.containers()
    }
    assert len(states) == 11
    assert set(states.values()) == {"healthy"}, states
    assert len(stack.workers()) == 2


@pytest.fixture(scope="module")
def taxi(stack: Compose) -> None:
    """Run preflight, then the first training, and trigger a run with its dates swapped."""
    airflow = stack.airflow
    for dag_id in ("preflight", "taxi", "bikes"):
        airflow.wait_for_dag(dag_id, 60)
    airflow.trigger("preflight", RUN, {})
    until(lambda: state_of(stack, "preflight", "preflight") == "running", "running preflight", 120)
    airflow.trigger("taxi", RUN, RANGE)
    airflow.trigger("bikes", "wrong-way-round", WRONG)


def state_of(stack: Compose, dag_id: str, task_id: str) -> str | None:
    """Return the state of a task of the run by hand."""
    return task_states(stack.airflow, dag_id, RUN).get(task_id)


def test_preflight_passes_on_a_busy_stack(stack: Compose, taxi: None):
    assert end_of(stack.airflow, "preflight", RUN, 400) == {"preflight": "success"}
    found = stack.airflow.value("preflight", RUN, "preflight")["details"]
    assert found["executors"] in ("2 of 2 answered", "3 of 3 answered"), (
        "a third, once taxi's job has ended"
    )
    assert set(found) == {
        "executors",
        "python",
        "pyspark",
        "user",
        "jars",
        "clocks",
        "disk",
        "lake",
        "mlflow",
    }


@pytest.fixture(scope="module")
def restart(stack: Compose, taxi: None) -> None:
    """Restart the Spark master while the training reads its rows.

    Drivers wait 45 s for executors from here on, in place of five minutes, until Airflow's
    containers are made anew for Celery.
    """
    (scheduler,) = stack.containers("airflow-scheduler")
    shorter = ["sed", "--in-place", "/executors.timeout/s/300s/45s/", "/opt/spark-defaults.conf"]
    output("docker", "exec", "--user", "0", scheduler["Id"], *shorter)

    def has_read() -> bool:
        state = state_of(stack, "taxi", "train_model")
        assert state not in ("success", "failed"), "the training has ended before the restart"
        if state != "running":
            return False
        return any(
            "read ..." in line for line in task_log(stack.airflow, "taxi", RUN, "train_model")
        )

    until(has_read, "reading train_model", 400, every=0.5)
    (master,) = stack.containers("spark-master")
    output("docker", "restart", "--time", "0", master["Id"])


def test_restarted_master_makes_training_unavailable(stack: Compose, restart: None):
    until(
        lambda: state_of(stack, "taxi", "train_model") == "up_for_retry",
        "retry of train_model",
        400,
    )
    lines = task_log(stack.airflow, "taxi", RUN, "train_model")
    (line,) = (json.loads(line) for line in lines if line.startswith('{"job"'))
    assert (line["status"], line["error"]["kind"]) == ("failed", "unavailable")
    reason = line["error"]["message"]
    assert "executor" in reason.splitlines()[0]
    assert not re.search(r"\bat (org|java|scala)\.|Exception", reason), "a reason, not Java's trace"
    assert line["error"]["remedy"]


def test_retried_training_survives_a_killed_worker(stack: Compose, restart: None):
    airflow = stack.airflow

    # Until the second attempt has its own application, the link is the first one's, in the history.
    on_master = f"{stack.url('SPARK_UI_PORT')}/proxy/app-"

    def link() -> str:
        if state_of(stack, "taxi", "train_model") != "running":
            return ""
        path = f"/dags/taxi/dagRuns/{RUN}/taskInstances/train_model/links"
        found = airflow.call("GET", path)["extra_links"].get("Spark application") or ""
        return found if found.startswith(on_master) else ""

    live = until(link, "link to the running train_model", 600, every=0.5)
    assert "Spark Jobs" in requests.get(live, timeout=30).text
    application = live.split("/")[-3]

    def at_work() -> dict[str, Any] | None:
        page = f"{live.removesuffix('jobs/')}api/v1/applications/{application}/executors"
        executors = requests.get(page, timeout=30).json()
        return next(
            (each for each in executors if each["id"] != "driver" and each["completedTasks"] > 5),
            None,
        )

    victim = until(at_work, "executor at work", 120, every=0.5)
    output("docker", "kill", container_at(stack, victim["hostPort"].split(":")[0]))
    assert end_of(airflow, "taxi", RUN, 600) == SUCCEEDED
    tasks = {task["task_id"]: task for task in airflow.tasks("taxi", RUN)}
    assert tasks["train_model"]["try_number"] == 2, "the worker's death took none"
    executors = {
        each["id"]: each for each in until(lambda: executors_of(stack, application), "history", 60)
    }
    assert executors.pop(victim["id"])["removeReason"]
    assert any(each["completedTasks"] for each in executors.values() if each["id"] != "driver"), (
        "another took over"
    )


def container_at(stack: Compose, address: str) -> str:
    """Return the id of the Spark worker behind an address."""
    for container in stack.containers("spark-worker"):
        if any(
            network["IPAddress"] == address
            for network in container["NetworkSettings"]["Networks"].values()
        ):
            return str(container["Id"])
    pytest.fail(f"no Spark worker has the address {address}")


def test_failed_task_logs_message_with_remedy(stack: Compose, taxi: None):
    assert end_of(stack.airflow, "bikes", "wrong-way-round", 400)["ingest"] == "failed"
    assert stack.airflow.run_state("bikes", "wrong-way-round") == "failed", (
        "the report after it does not hide that"
    )
    lines = task_log(stack.airflow, "bikes", "wrong-way-round", "ingest")
    assert [line for line in lines if not line.startswith("::")][-3:] == [
        "Task failed with exception",
        f"--start {WRONG['start']} is after --end {WRONG['end']}",
        "  give the earlier date as --start; both dates are inclusive",
    ]


@pytest.fixture(scope="module")
def switch(stack: Compose) -> Iterator[Callable[[], str]]:
    """Continue with Celery, and with the worker that died: wait for the starting containers."""
    stack.use_celery()
    with ThreadPoolExecutor(1) as beside:
        yield beside.submit(stack, "up", "--detach", "--wait", "--scale", "spark-worker=2").result


def test_manual_job_runs_without_airflow(stack: Compose, switch):
    said = stack.make("submit", "JOB=build_features", "ARGS=--pipeline taxi --end 2021-01-05")
    assert '"status": "done"' in said.splitlines()[-1]
    assert '"spark_application_id": "app-' in said.splitlines()[-1]


@pytest.fixture(scope="module")
def others(stack: Compose, switch) -> None:
    """Start a backfill and another pipeline on Celery's workers. The next tests run alongside."""
    stack.make("land")  # their samples, as far as they are not there: also rows for the database
    switch()
    stack.airflow.require_healthy()
    # first, since it takes longest
    between = ["--from-date", BACKFILL[0], "--to-date", BACKFILL[-1]]
    backfill = ["airflow-scheduler", "airflow", "backfill", "create", "--dag-id", "taxi"]
    stack("exec", "-T", *backfill, *between)
    stack.airflow.wait_for_dag("census", 60)
    stack.airflow.trigger("census", RUN, CENSUS)


def test_celery_tasks_run_on_celery_workers(stack: Compose, others: None):
    assert {
        each["State"].get("Health", {}).get("Status", "none") for each in stack.containers()
    } == {"healthy", "none"}

    def host() -> str:
        return next(
            (
                str(task["hostname"])
                for task in stack.airflow.tasks("census", RUN)
                if task["hostname"]
            ),
            "",
        )

    workers = {each["Config"]["Hostname"] for each in stack.containers("airflow-worker")}
    assert until(host, "task of census", 300) in workers
    flower = requests.get(f"{stack.url('FLOWER_PORT')}/api/workers", timeout=30)
    assert flower.status_code == 401, "Flower asks for a password"
    login = (stack.settings["AIRFLOW_ADMIN_USER"], stack.settings["FLOWER_PASSWORD"])
    assert requests.get(f"{stack.url('FLOWER_PORT')}/", auth=login, timeout=30).status_code == 200


def test_mlflow_has_the_champion(stack: Compose):
    champion = stack.mlflow("registered-models/alias", name="taxi", alias="champion")[
        "model_version"
    ]
    assert champion["status"] == "READY"
    assert {tag["key"]: tag["value"] for tag in champion["tags"]}["gate.verdict"] == "passed"
    run = stack.mlflow("runs/get", run_id=champion["run_id"])["run"]
    assert run["info"]["artifact_uri"].startswith("mlflow-artifacts:")


def test_applications_ran_only_on_workers(stack: Compose):
    ran = applications(stack, "taxi", RUN)
    assert set(ran) >= set(TRAINED)
    for task, application in ran.items():
        executors = until(
            lambda application=application: executors_of(stack, application),
            f"history of {task}",
            60,
        )
        away = [executor for executor in executors if executor["id"] != "driver"]
        drivers = [
            executor["hostPort"].split(":")[0]
            for executor in executors
            if executor["id"] == "driver"
        ]
        assert not {executor["hostPort"].split(":")[0] for executor in away} & set(drivers)
        assert not sum(
            executor["completedTasks"] for executor in executors if executor["id"] == "driver"
        )
        if task in ("ingest", "build_features", "train_model"):
            assert sum(executor["completedTasks"] for executor in away) > 0, task


def executors_of(stack: Compose, application: str) -> Any:
    """Return the application's executors, once the history server has read its whole log."""
    try:
        known = stack.history(f"applications/{application}")
        return known["attempts"][0]["completed"] and stack.history(
            f"applications/{application}/allexecutors"
        )
    except requests.HTTPError:
        return None


def test_task_links_lead_to_existing_pages(stack: Compose):
    path = f"/dags/taxi/dagRuns/{RUN}/taskInstances/train_model/links"
    links = {
        name: link for name, link in stack.airflow.call("GET", path)["extra_links"].items() if link
    }
    application = applications(stack, "taxi", RUN)["train_model"]
    assert links == {
        "Spark application": f"{stack.url('SPARK_HISTORY_PORT')}/history/{application}/jobs/",
        "MLflow model": f"{stack.url('MLFLOW_PORT')}/#/models/taxi/versions/1",
    }
    for link in links.values():
        assert requests.get(link, timeout=30).status_code == 200


def test_run_writes_a_daily_report(stack: Compose):
    page = report(stack, RUN)
    assert f"taxi on {RANGE['end']}" in page
    assert "There is no champion yet" not in page


def report(stack: Compose, run_id: str) -> str:
    """Return the page that a run's report_day wrote, as MLflow serves it."""
    path = f"/dags/taxi/dagRuns/{run_id}/taskInstances/report_day/links"
    link = stack.airflow.call("GET", path)["extra_links"]["Report of the day"]
    run, artifact = re.fullmatch(r".*/#/experiments/\d+/runs/(\w+)/artifacts/(.*)", link).groups()
    where = {"run_uuid": run, "path": artifact}
    answer = requests.get(f"{stack.url('MLFLOW_PORT')}/get-artifact", params=where, timeout=30)
    answer.raise_for_status()
    return answer.content.decode()


def test_task_log_contains_only_job_lines(stack: Compose):
    lines = task_log(stack.airflow, "taxi", RUN, "ingest")
    assert any(line.endswith("write ...") for line in lines)
    assert not [
        line for line in lines if re.search(r"\b(INFO|DEBUG|WARN)\b.*(spark|hadoop|delta)", line)
    ]


def test_backfill_runs_its_days_in_order(stack: Compose, others: None):
    def ended() -> list[dict[str, Any]]:
        runs = stack.airflow.call("GET", "/dags/taxi/dagRuns", params={"run_type": "backfill"})[
            "dag_runs"
        ]
        return runs if all(run["state"] in ("success", "failed") for run in runs) else []

    runs = sorted(until(ended, "end of the backfill", 2400), key=lambda run: run["logical_date"])
    assert [run["logical_date"][:10] for run in runs] == BACKFILL
    assert {run["state"] for run in runs} == {"success"}
    first, second = (stack.airflow.tasks("taxi", run["dag_run_id"]) for run in runs)
    assert all(task["state"] in TASK_STATES_AT_REST for task in (*first, *second))
    end_of_first = max(task["end_date"] for task in first if task["end_date"])
    assert (
        min(task["start_date"] for task in second if task["task_id"] == "build_features")
        > end_of_first
    )
    for run in runs:
        built, scored = (
            stack.airflow.value("taxi", run["dag_run_id"], task)
            for task in ("build_features", "score_batch")
        )
        assert scored["rows"]["in"] == scored["rows"]["out"] == built["rows"]["out"] > 0


def test_status_is_printed_in_a_container(stack: Compose):
    told = stack(
        "run", "--rm", "--no-deps", "-T", "tools", "python", "-m", "batchml.commands.status"
    )
    days = [line for line in told.splitlines() if "version 1 passed" in line]
    (line,) = (line for line in days if line.startswith("│ taxi"))
    assert BACKFILL[-1] in line
    assert RANGE["end"] in line


def test_jdbc_pipeline_runs_alongside_the_backfill(stack: Compose, others: None):
    tasks = end_of(stack.airflow, "census", RUN, 1800)
    assert {tasks[name] for name in TRAINED} == {"success"}, tasks
    champion = stack.mlflow("registered-models/alias", name="census", alias="champion")[
        "model_version"
    ]
    assert champion["status"] == "READY"


def test_experiments_are_queried_in_sql(stack: Compose):
    auc = "round((metrics ->> 'holdout_auc')::numeric, 1)"
    query = f"SELECT pipeline, date, aliases, {auc} FROM batchml_experiments"
    command = [
        "psql",
        "-U",
        "mlflow",
        "-d",
        "mlflow",
        "-At",
        "-c",
        f"{query} WHERE pipeline = 'census'",
    ]
    assert (
        stack("exec", "-T", "postgres", *command).strip()
        == "census|2021-01-02|{challenger,champion}|0.9"
    )


def test_pages_are_rendered(stack: Compose, tmp_path: Path):
    browser = find_browser()
    assert browser, (
        "no Chromium to take pictures with: install it (Debian: apt-get install chromium)"
    )
    folder = images_folder(tmp_path)
    application = applications(stack, "taxi", RUN)["train_model"]
    token = stack.airflow.token()
    backfilled = stack.airflow.call("GET", "/dags/taxi/dagRuns", params={"run_type": "backfill"})[
        "dag_runs"
    ]
    page = tmp_path / "report.html"
    page.write_text(report(stack, max(run["dag_run_id"] for run in backfilled)))
    for name, url in (
        ("airflow-grid", f"{stack.url('AIRFLOW_PORT')}/dags/taxi/runs/{RUN}"),
        ("spark-history", f"{stack.url('SPARK_HISTORY_PORT')}/history/{application}/jobs/"),
        ("mlflow-model", f"{stack.url('MLFLOW_PORT')}/#/models/taxi/versions/1"),
        ("report", f"file://{page}"),
        ("map-of-days", f"{stack.url('AIRFLOW_PORT')}/batchml/days"),
        ("map-of-days-taxi", f"{stack.url('AIRFLOW_PORT')}/batchml/days/taxi"),
    ):
        picture = folder / f"{name}.png"
        login = ""
        if url.startswith(stack.url("AIRFLOW_PORT")):
            login = token
        screenshot(browser, url, picture, login)
        assert picture.stat().st_size > 30_000, f"{name} is an empty page: {picture}"


def test_no_container_runs_as_root(stack: Compose):
    for container in stack.containers():
        users = output("docker", "top", container["Id"], "-eo", "pid,uid,args").splitlines()[1:]
        assert users
        assert not [line for line in users if line.split()[1] == "0"], container["Name"]
        assert container["HostConfig"]["CapDrop"] == ["ALL"]
        assert container["HostConfig"]["Memory"] > 0


def test_no_port_is_open_beyond_loopback(stack: Compose):
    published = [
        (container["Name"], port["HostIp"])
        for container in stack.containers()
        for ports in container["NetworkSettings"]["Ports"].values()
        for port in ports or []
    ]
    assert len(published) == 6
    assert {address for _, address in published} == {"127.0.0.1"}


def test_containers_listen_only_on_expected_ports(stack: Compose, others: None):
    found = {}
    for container in stack.containers():
        service = container["Config"]["Labels"]["com.docker.compose.service"]
        text = output("docker", "exec", container["Id"], "cat", "/proc/net/tcp", "/proc/net/tcp6")
        sockets = [each for each in parse_proc_net(text) if not each.is_loopback]
        ports = {each.port for each in sockets}
        if service in WITH_JOBS:  # drivers and executors listen while they work
            ports = {port for port in ports if port < EPHEMERAL and port not in DRIVER_PAGES}
        found[service] = ports
    assert found == SOCKETS


def test_no_secret_is_in_the_image(compose: Compose, image: str):
    text = output("docker", "image", "inspect", image) + output(
        "docker", "history", "--no-trunc", image
    )
    assert not [name for name, secret in compose.secrets.items() if secret in text]


def test_no_secret_is_in_any_log(stack: Compose, logs: Path):
    files = [path for path in logs.rglob("*") if path.is_file()]
    assert [path for path in files if path.name == "attempt=1.log"]
    events = next(
        path for path in files if "eventlog_v2" in str(path.parent) and ".zstd" in path.name
    )
    assert files_with_secrets(logs, list(stack.secrets.values())) == []
    known = "SparkListenerApplicationStart"
    assert events in files_with_secrets(logs, [known]), "what is in a compressed log would be found"
