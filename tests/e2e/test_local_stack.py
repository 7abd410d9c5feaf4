"""A model's lifecycle on a real cluster: approval, replacement, rollback, reproduction, upkeep.

In order: each test continues where the one before ended, and those of iris after `make run`:
version 1, trained as of 2021-01-01, has scored 2021-01-02.
"""

import json
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urljoin

import psutil
import pytest
import requests
from mlflow import MlflowClient

from local.stack.airflow_api import AirflowApi
from local.stack.environment import USUAL_PORTS
from tests.e2e.local_stack import (
    ACTIVATED,
    ROOT,
    SECONDS,
    FinishedRun,
    LocalStack,
    background,
    command,
    left_over,
)
from tests.support.airflow_runs import end_of, until
from tests.support.apprise_target import listening
from tests.support.repositories import two_commits
from tests.support.sockets import listening_sockets

FIRST, DAY = "2021-01-01", "2021-01-02"
PAUSED = ("bikes", "census", "line", "taxi")
ADDED = """
notifications:
  apprise: [apprise_default]
"""


@pytest.fixture(scope="module")
def apprise() -> Iterator[tuple[str, list[dict[str, Any]]]]:
    """Return the connection for messages, and those that were sent."""
    with listening() as target:
        yield target


@pytest.fixture(scope="module")
def commits(finished: FinishedRun) -> tuple[str, str]:
    """Return a repository of model code: a commit that fits a line, and one that does not."""
    return two_commits(finished.folder / "models.git")


@pytest.fixture(scope="module")
def stack(finished: FinishedRun, apprise, commits) -> Iterator[LocalStack]:
    """Run `make local-up` on the state that `make run` left, with a target for messages.

    The pipeline ``line`` is fitted by code of a repository, and waits for an approval.
    """
    folder = finished.folder
    shutil.copytree(ROOT / "conf", folder / "conf")
    iris = folder / "conf" / "pipelines" / "iris.yaml"
    iris.write_text(iris.read_text() + ADDED)
    line = folder / "conf" / "pipelines" / "line.yaml"
    repository = folder / "models.git"
    entry = "models.linear:build"
    code = f"estimator: {{kind: git, repository: {repository}, ref: main, entry: '{entry}'}}\n"
    text = line.read_text().replace("estimator:\n  kind: linear\n", code)
    line.write_text(text + "  approval: manual\n" + ADDED)
    (folder / "conf" / "repositories.yaml").write_text(f"- {repository}\n")
    environment = {
        **command(folder)[1],
        "PATH": ACTIVATED,
        "BATCHML_CONF": str(folder / "conf"),
        "BATCHML_CODE_CACHE": str(folder / "code"),
        "AIRFLOW_CONN_APPRISE_DEFAULT": apprise[0],
    }
    try:
        opened = background(environment, folder, "up")
        assert background(environment, folder, "up") == opened, "twice is safe"
        pages = dict(re.findall(r"(Airflow|MLflow|Spark|Spark history) (http://\S+)", opened))
        assert [requests.get(page, timeout=30).status_code for page in pages.values()] == [200] * 4
        found = re.search(r"\(user (\S+), password (\S+)\)", opened)
        assert found is not None
        airflow = AirflowApi(pages["Airflow"], found[1], found[2])
        airflow.require_healthy()
        master = requests.get(f"{pages['Spark']}/json/", timeout=30).json()["url"]
        by_hand = {
            **environment,
            "MLFLOW_TRACKING_URI": pages["MLflow"],
            "BATCHML_STATE": str(folder / "state"),
        }
        yield LocalStack(folder, airflow, pages["MLflow"], master, pages, by_hand)
    finally:
        background(environment, folder, "down")
    assert left_over(folder) == []
    assert background(environment, folder, "down").startswith("nothing to stop")


@pytest.fixture(scope="module")
def models(stack: LocalStack) -> MlflowClient:
    return MlflowClient(stack.mlflow)


@pytest.fixture(scope="module")
def titles(apprise) -> Callable[[], list[str]]:
    """Return the messages' titles so far."""
    return lambda: [post["title"] for post in apprise[1]]


def works_for(stack: LocalStack, process: psutil.Process) -> bool:
    """Return True for a process of the stack. Some overwrite their environment in /proc."""
    state = str(stack.folder / "state")
    family = [process, *process.parents()]
    return any(each.environ().get("BATCHML_STATE") == state for each in family if each.pid > 1)


def test_stack_listens_only_on_loopback(stack: LocalStack):
    sockets = listening_sockets(lambda process: "stack" if works_for(stack, process) else None)[
        "stack"
    ]
    assert [each for each in sockets if not each.is_loopback] == []
    processes = psutil.process_iter(["cmdline", "environ"])
    master = next(
        each.info
        for each in processes
        if "deploy.master.Master" in " ".join(each.info["cmdline"] or [])
    )
    expected = {int(master["environ"][name]) for name in USUAL_PORTS}
    ports = {each.port for each in sockets}
    assert expected <= ports
    assert len(ports - expected) == 1, "the Spark worker's own, whose number is any"


def test_stack_refuses_strangers(stack: LocalStack):
    assert requests.get(f"{stack.pages['Airflow']}/api/v2/dags", timeout=30).status_code == 401
    assert requests.get(f"{stack.pages['Airflow']}/auth/token", timeout=30).status_code == 403
    rebound = {"Host": "10.evil.example"}
    experiments = f"{stack.mlflow}/api/2.0/mlflow/experiments/search?max_results=1"
    assert requests.get(experiments, headers=rebound, timeout=30).status_code == 403
    assert requests.get(experiments, timeout=30).status_code == 200
    state = stack.folder / "state"
    open_to_others = [
        path for path in state.rglob("*.*") if path.is_file() and path.stat().st_mode & 0o077
    ]
    assert [path for path in open_to_others if "postgres" not in path.parts] == []


def test_map_of_days_requires_a_login(stack: LocalStack):
    page = f"{stack.pages['Airflow']}/batchml/days"
    for address in (page, f"{page}/iris"):
        assert requests.get(address, timeout=30).status_code == 401
    login = {"_token": stack.airflow.token()}
    assert f'href="days/iris#{DAY}"' in requests.get(page, cookies=login, timeout=30).text
    of_iris = requests.get(f"{page}/iris", cookies=login, timeout=30)
    # The page's addresses are relative, so that they hold behind a proxy.
    runs = re.findall(r'href="([^"]+/dags/iris/runs/[^"]+)"', of_iris.text)
    pages = {urljoin(of_iris.url, run) for run in runs}
    assert {requests.get(run, timeout=30).status_code for run in pages} == {200}
    menu = stack.airflow.call("GET", "/plugins")["plugins"]
    (plugin,) = (each for each in menu if each["name"] == "batchml")
    assert [view["href"] for view in plugin["external_views"]] == ["/batchml/days"]


def test_job_without_secret_is_refused(stack: LocalStack):
    stranger = {**stack.environment, "_SPARK_AUTH_SECRET": "guessed"}
    words = [
        "spark-submit",
        "--master",
        stack.master,
        "jobs/build_features.py",
        "--pipeline",
        "iris",
        "--end",
        DAY,
    ]
    done = subprocess.run(
        words, capture_output=True, text=True, check=False, cwd=ROOT, env=stranger
    )
    error = json.loads(done.stdout.splitlines()[-1])["error"]
    assert (done.returncode, error["kind"]) == (5, "unavailable")
    assert error["message"].startswith("the Spark master does not respond")


def test_missing_executor_states_the_clusters_resources(
    stack: LocalStack,
):
    words = ["spark-submit", "--master", stack.master, "--conf", "spark.executor.memory=9g"]
    words += ["--conf", "spark.batchml.executors.timeout=5s"]
    words += ["jobs/build_features.py", "--pipeline", "iris", "--end", DAY]
    environment = {**stack.environment, "BATCHML_SPARK_MASTER_PAGE": stack.pages["Spark"]}
    done = subprocess.run(
        words, capture_output=True, text=True, check=False, cwd=ROOT, env=environment
    )
    error = json.loads(done.stdout.splitlines()[-1])["error"]
    assert (done.returncode, error["kind"]) == (5, "unavailable")
    cause, requested, offered = error["message"].splitlines()
    assert cause.startswith("no executor for 5 s")
    assert requested == "requested: spark.cores.max=2, spark.executor.memory=9g"
    assert offered == "the cluster offers: 1 workers, 2 of 2 cores and 2.0 of 2.0 GiB free"


def champion(models: MlflowClient) -> int:
    return int(models.get_model_version_by_alias("iris", "champion").version)


def question_is_settled(stack: LocalStack) -> bool:
    """Whether Airflow's scheduler knows that the task that asks has left its process.

    To an earlier answer, usually within a second, Airflow 3.3 reacts as if the task was lost.
    """
    said = (stack.folder / "state" / "stack.log").read_text(errors="replace")
    return "TaskInstance Finished: dag_id=line, task_id=approve_model, run_id=asks" in said


def test_approved_model_of_a_commit_is_promoted(
    stack: LocalStack, models: MlflowClient, commits: tuple[str, str], titles
):
    stack.airflow.wait_for_dag("line", 60)
    conf = {"start": FIRST, "end": DAY, "train": "yes", "model_ref": commits[0]}
    stack.airflow.trigger("line", "asks", conf)
    path = "/dags/line/dagRuns/asks/taskInstances/approve_model"
    until(lambda: stack.airflow.call("GET", path)["state"] == "awaiting_input", "question", SECONDS)
    assert models.get_registered_model("line").aliases == {"challenger": "1"}
    question = stack.airflow.call("GET", f"{path}/-1/hitlDetails")
    assert question["subject"] == f"line: promote the challenger of {DAY}?"
    until(lambda: question_is_settled(stack), "scheduler that knows of the question", SECONDS)
    stack.airflow.call("PATCH", f"{path}/-1/hitlDetails", json={"chosen_options": ["Approve"]})
    tasks = end_of(stack.airflow, "line", "asks", SECONDS)
    others = (
        "score_batch",
        "monitor_drift",
        "rollback",
        "maintain_tables",
        "accept",
    )  # there was no champion yet
    assert {name: state for name, state in tasks.items() if state != "success"} == dict.fromkeys(
        others, "skipped"
    )
    assert titles() == [
        f"line {DAY}: a new model waits for approval",
        f"line {DAY}: a new champion",
    ]
    serves = models.get_model_version_by_alias("line", "champion")
    assert serves.tags["gate.approved_by"]
    assert serves.tags["model_code"].endswith(f"@{commits[0]}")
    fitted = models.get_run(serves.run_id).data.metrics
    assert (fitted["weight_x"], fitted["weight_intercept"]) == (
        pytest.approx(2, abs=0.05),
        pytest.approx(1, abs=0.03),
    )
    stack.airflow.call("PATCH", "/dags/line", json={"is_paused": True})


def test_second_version_is_promoted_manually(stack: LocalStack, models: MlflowClient):
    for job in ("train_model", "evaluate_model", "promote_model"):
        line = stack.submit(job, "--end", DAY)
        assert line["status"] == "done", line
    assert models.get_registered_model("iris").aliases == {
        "challenger": "2",
        "champion": "2",
        "previous": "1",
    }


def test_daily_report_is_linked(stack: LocalStack, models: MlflowClient, tmp_path: Path):
    assert stack.submit("report_day", "--end", DAY)["status"] == "done"
    runs = stack.airflow.call("GET", "/dags/iris/dagRuns")["dag_runs"]
    (of_day,) = (run["dag_run_id"] for run in runs if run["conf"].get("start") == DAY)
    links = stack.airflow.call(
        "GET", f"/dags/iris/dagRuns/{of_day}/taskInstances/report_day/links"
    )["extra_links"]
    experiment = models.get_experiment_by_name("iris").experiment_id
    (run,) = models.search_runs([experiment], "tags.role = 'monitoring'")
    run_page = f"{stack.mlflow}/#/experiments/{experiment}/runs/{run.info.run_id}"
    place = f"{run_page}/artifacts/reports/{DAY}.html"
    assert links["Report of the day"] == place
    page = Path(
        models.download_artifacts(run.info.run_id, f"reports/{DAY}.html", str(tmp_path))
    ).read_text()
    for said in (
        f"iris on {DAY}",
        "Champion is version 2",
        "scored by version 1",
        "Version 2, trained up to",
        "<svg",
    ):
        assert said in page
    assert not re.findall(r"<(?:script|link|img|iframe)\b|@import|url\((?!#)", page)


def test_status_runs_without_spark(stack: LocalStack):
    call = [sys.executable, "-m", "batchml.commands.status"]
    done = subprocess.run(
        call, capture_output=True, text=True, check=True, cwd=ROOT, env=stack.environment
    )
    (line,) = (line for line in done.stdout.splitlines() if "version 2 passed" in line)
    cells = [cell.strip() for cell in line.split("│")]
    assert cells[1:4] == ["iris", DAY, "150"]
    assert cells[7:10] == ["version 1", f"{FIRST}, 1 day before", "version 2 passed"]
    assert "taxi has no tables" in done.stdout


def test_killed_rollback_is_finished_in_airflow(stack: LocalStack, models: MlflowClient, titles):
    assert stack.submit("score_batch", "--end", FIRST, "--with", "2")["status"] == "done"
    assert stack.scored_by() == {FIRST: 2, DAY: 1}
    stack.submit_and_kill("promote_model", "write", "--rollback")
    assert champion(models) == 1
    assert stack.run("iris", "back", {"action": "rollback"})["rollback"] == "success"
    assert stack.scored_by() == {FIRST: 1, DAY: 1}
    assert "rollback.withdrawn" in models.get_model_version("iris", "2").tags
    assert "rollback.restored" in models.get_model_version("iris", "1").tags
    assert titles()[-1].endswith(": rolled back to version 1")
    again = stack.run("iris", "back-again", {"action": "rollback"})
    assert set(again.values()) == {"skipped"}
    assert (champion(models), stack.scored_by()) == (1, {FIRST: 1, DAY: 1})


def test_killed_maintenance_keeps_models_reproducible(stack: LocalStack, models: MlflowClient):
    stack.submit_and_kill("maintain_tables", "features")
    assert stack.run("maintenance", "sunday", {}) == {"iris": "success"} | dict.fromkeys(
        PAUSED, "skipped"
    )
    again = stack.submit("maintain_tables")
    assert again["status"] == "done"
    assert {table["compacted"] for table in again["details"]["tables"].values()} == {0}
    line = stack.submit("train_model", "--reproduce", "1")
    assert line["status"] == "done", line
    assert line["details"]["reason"].endswith("are the same within 1e-09")
    assert sorted(
        int(version.version) for version in models.search_model_versions("name = 'iris'")
    ) == [1, 2]


def test_job_dies_with_airflows_supervisor(stack: LocalStack):
    """Last: the executor of Airflow has lost a process then."""
    stack.airflow.trigger("iris", "orphan", {"start": FIRST, "end": FIRST, "train": "no"})
    log = (
        stack.folder
        / "state"
        / "airflow"
        / "logs"
        / "dag_id=iris"
        / "run_id=orphan"
        / "task_id=ingest"
    )

    def is_writing() -> bool:
        return any("write ..." in path.read_text() for path in log.glob("attempt=*.log"))

    until(is_writing, "write of ingest", SECONDS, every=0.2)
    (submit,) = (
        each for each in psutil.process_iter(["cmdline"]) if is_submit_of(stack, each, "ingest.py")
    )
    family = [submit, *submit.children(recursive=True)]
    assert {"java", "python3"} <= {process.name() for process in family}
    task = submit.parent()
    assert task is not None
    supervisor = task.parent()
    assert supervisor is not None
    supervisor.kill()
    _, alive = psutil.wait_procs([task, *family], timeout=10)
    assert alive == []


def is_submit_of(stack: LocalStack, process: psutil.Process, job: str) -> bool:
    """Return True for the supervisor of spark-submit that runs ``job`` on the stack."""
    words = process.info["cmdline"] or []
    is_supervisor = any(word.endswith("local/submit/local_submit.py") for word in words)
    return (
        is_supervisor
        and any(word.endswith(f"jobs/{job}") for word in words)
        and works_for(stack, process)
    )
