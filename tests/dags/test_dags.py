"""The DAGs as Airflow sees them."""

import copy
import datetime as dt
import itertools
import json
import os
import runpy
import shutil
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from unittest.mock import patch

import pendulum
import pytest
from airflow.dag_processing.dagbag import DagBag
from airflow.providers.standard.operators.hitl import ApprovalOperator
from airflow.sdk import CronDataIntervalTimetable
from airflow.sdk.exceptions import AirflowSkipException, ParamValidationError

from batchml.config import conf_folder, load_pipeline
from batchml.job_line import EvaluateModelDetails, JobLine, MlflowIds
from orchestration.approval import approver
from orchestration.pipeline_dag import build_dag, dag_of, scheduled_pipelines

ROOT = Path(__file__).resolve().parents[2]
TASKS = [
    "ingest",
    "build_features",
    "score_batch",
    "monitor_drift",
    "training_due",
    "train_model",
    "evaluate_model",
    "promote_model",
]
ACTIONS = ["rollback", "maintain_tables", "accept"]
ON_DATES = ["ingest", "build_features", "score_batch", "monitor_drift"]
REPORT = "report_day"
DATE_ARGUMENTS = (
    *("--start", "{{ first_date(params, dag_run) }}"),
    *("--end", "{{ last_date(params, dag_run) }}"),
)


@pytest.fixture(scope="module")
def dags():
    bag = DagBag(ROOT / "dags")
    assert bag.import_errors == {}
    return bag.dags


def test_dags_are_exactly_the_expected(dags):
    assert sorted(dags) == [
        *("bikes", "census", "freshness", "iris", "line", "maintenance", "preflight", "taxi")
    ]


def test_preflight_runs_only_on_request(dags):
    dag = dags["preflight"]
    assert (dag.task_ids, type(dag.timetable).__name__) == (["preflight"], "NullTimetable")
    assert dag.get_task("preflight").pool == "spark_drivers"


def test_daily_tasks_never_run_concurrently(dags):
    tasks = dags["taxi"].tasks
    assert [task.task_id for task in tasks if getattr(task, "waits_for_earlier_runs", False)] == [
        "ingest"
    ]
    assert {
        task.max_active_tis_per_dag
        for task in tasks
        if task.task_id not in ("training_due", *ACTIONS)
    } == {1}


@pytest.mark.parametrize("name", ["iris", "taxi"])
def test_daily_tasks_have_a_fixed_order(dags, name: str):
    dag = dags[name]
    assert sorted(dag.task_ids) == sorted([*TASKS, REPORT, *ACTIONS])
    for action in ACTIONS:
        assert (
            dag.get_task(action).upstream_task_ids
            == dag.get_task(action).downstream_task_ids
            == set()
        )
    for before, after in itertools.pairwise([*TASKS, REPORT]):
        assert dag.get_task(before).downstream_task_ids == {after}
    assert dag.get_task(REPORT).is_teardown, (
        "written whatever became of the others, and without a say in the run's state"
    )


def test_pipeline_dag_runs_daily(dags):
    dag = dags["taxi"]
    assert isinstance(dag.timetable, CronDataIntervalTimetable)
    assert dag.timetable.expression == "0 0 * * *"
    assert (dag.max_active_runs, dag.catchup) == (1, False)


def test_spark_tasks_use_pool_with_retries(dags):
    for task in dags["taxi"].tasks:
        pool = "default_pool" if task.task_id == "training_due" else "spark_drivers"
        assert task.pool == pool
        assert (task.retries, task.retry_delay.total_seconds()) == (2, 120)
        assert task.retry_exponential_backoff


@pytest.mark.parametrize(
    ("setting", "ingest", "train_model"),
    [
        ("limits.minutes={}", 120, 360),
        ("limits.minutes=45", 45, 45),
        ("limits.minutes={ingest: 7}", 7, 360),
    ],
)
def test_every_job_has_a_time_limit(setting: str, ingest: int, train_model: int):
    dag = build_dag(load_pipeline("taxi", conf_folder(), [setting]))
    limits = {
        task.task_id: task.execution_timeout for task in dag.tasks if task.task_id != "training_due"
    }
    assert all(limits.values()), limits
    minutes = {name: limit.total_seconds() / 60 for name, limit in limits.items()}
    assert (minutes["ingest"], minutes["train_model"]) == (ingest, train_model)


def test_trigger_form_has_help_texts(dags):
    params = dags["taxi"].params
    assert list(params) == ["start", "end", "catch_up", "train", "action"]
    for name in params:
        schema = params.get_param(name)
        assert schema.description
        assert schema.schema["title"]
    assert params.get_param("train").schema["enum"] == ["auto", "yes", "no"]


def test_missing_day_does_not_block_owed_dates(dags):
    rules = {task.task_id: task.trigger_rule.value for task in dags["taxi"].tasks}
    none_failed = [name for name, rule in rules.items() if rule == "none_failed"]
    assert sorted(none_failed) == sorted([*ON_DATES[1:], "training_due"])


@pytest.mark.parametrize("action", ["day", "heal", "rollback", "maintain_tables", "accept"])
def test_action_selects_the_tasks(dags, action: str):
    for task in dags["taxi"].tasks:
        if task.task_id != "training_due":
            runs = task.render_template(task.only_if, {"params": {"action": action}})
            mine = [task.task_id] if task.task_id in ACTIONS else ["day"]
            mine += ["heal"] if task.task_id in ON_DATES else []
            assert runs == str(action in mine), task.task_id


def test_approval_passes_the_name_on():
    dag = build_dag(
        load_pipeline("taxi", ROOT / "conf", ["gate.approval=manual", "gate.approval_hours=2"])
    )
    ask = dag.get_task("approve_model")
    assert (ask.upstream_task_ids, ask.downstream_task_ids) == (
        {"evaluate_model"},
        {"promote_model"},
    )
    assert (ask.response_timeout, ask.defaults) == (dt.timedelta(hours=2), ["Reject"])
    context = {
        "dag": dag,
        "params": {"end": "2021-02-10"},
        "dag_run": None,
        **dag.user_defined_macros,
    }
    assert (
        ask.render_template(ask.subject, context) == "taxi: promote the challenger of 2021-02-10?"
    )
    arguments = dag.get_task("promote_model").application_args[-4:]
    values = {
        "approve_model": {
            "chosen_options": ["Approve"],
            "responded_by_user": {"id": "1", "name": "ada"},
        },
        "evaluate_model": JobLine(
            job="evaluate_model", status="done", mlflow=MlflowIds(version=3)
        ).to_value(),
    }
    told = {
        "ti": SimpleNamespace(xcom_pull=lambda task_ids: values[task_ids]),
        **dag.user_defined_macros,
    }
    assert ask.render_template(arguments, told) == [
        "--approved-by",
        "ada",
        "--approved-version",
        "3",
    ]


def test_rejected_challenger_needs_no_approval():
    ask = build_dag(load_pipeline("taxi", ROOT / "conf", ["gate.approval=manual"])).get_task(
        "approve_model"
    )
    rejected = EvaluateModelDetails(passed=False)
    judged = JobLine(job="evaluate_model", status="done", details=rejected).to_value()
    with pytest.raises(
        AirflowSkipException, match="no challenger passed the gate or needs approval"
    ):
        ask.execute({"ti": SimpleNamespace(xcom_pull=lambda task_ids: judged)})


YES, NO = ["Approve"], ["Reject"]


@pytest.mark.parametrize(
    ("answer", "name"),
    [
        ({"chosen_options": YES, "responded_by_user": {"id": "1", "name": "ada"}}, "ada"),
        (
            {"chosen_options": YES, "responded_by_user": None},
            "nobody, by default after the deadline",
        ),
        ({"chosen_options": NO, "responded_by_user": None}, ""),
        (None, ""),  # somebody marked the task as a success
    ],
)
def test_approver_is_taken_from_the_answer(answer: dict[str, object] | None, name: str):
    assert approver(SimpleNamespace(xcom_pull=lambda task_ids: answer)) == name


def test_actions_have_exact_arguments(dags):
    args = {action: dags["taxi"].get_task(action).application_args for action in ACTIONS}
    assert args == {
        "rollback": ["--pipeline", "taxi", "--rollback"],
        "maintain_tables": ["--pipeline", "taxi"],
        "accept": ["--pipeline", "taxi", *DATE_ARGUMENTS, "--accept"],
    }
    assert dags["taxi"].get_task("rollback").application.endswith("jobs/promote_model.py")


def test_tasks_send_their_own_messages():
    dag = build_dag(
        load_pipeline("taxi", ROOT / "conf", ["notifications.apprise=[a]", "gate.approval=manual"])
    )
    told_of = {
        task.task_id: [event.args[1] for event in task.on_success_callback] for task in dag.tasks
    }
    assert {name: events for name, events in told_of.items() if events} == {
        "monitor_drift": ["alarm"],
        "promote_model": ["promoted"],
        "rollback": ["rolled_back"],
    }
    for task in dag.tasks:
        assert [event.args[1] for event in task.on_failure_callback] == ["failed"], task.task_id
    assert [event.args[1] for event in dag.get_task("approve_model").notifiers] == ["approval"]


def test_skipped_promotion_sends_approval_message():
    dag = build_dag(load_pipeline("taxi", ROOT / "conf", ["notifications.apprise=[a]"]))
    skipped = {task.task_id: task.on_skipped_callback for task in dag.tasks}
    events = {name: [each.args[1] for each in found] for name, found in skipped.items() if found}
    assert events == {"promote_model": ["approval"]}


def test_incomparable_challenger_requires_approval():
    ask = build_dag(load_pipeline("taxi", ROOT / "conf", ["gate.approval=manual"])).get_task(
        "approve_model"
    )
    undecided = EvaluateModelDetails(passed=False, needs_approval=True)
    judged = JobLine(job="evaluate_model", status="done", details=undecided).to_value()
    asked = []
    with patch.object(ApprovalOperator, "execute", lambda self, context: asked.append(context)):
        ask.execute({"ti": SimpleNamespace(xcom_pull=lambda task_ids: judged)})
    assert asked


def test_maintenance_triggers_every_unpaused_pipeline(dags):
    dag = dags["maintenance"]
    assert sorted(task.trigger_dag_id for task in dag.tasks) == [
        "bikes",
        "census",
        "iris",
        "line",
        "taxi",
    ]
    assert (dag.max_active_tasks, set(dag.leaves)) == (1, set(dag.tasks)), (
        "one at a time, and each one's failure counts"
    )
    assert {str(task.conf) for task in dag.tasks} == {"{'action': 'maintain_tables'}"}
    assert dag.catchup is False
    paused = SimpleNamespace(get_dag=lambda name: SimpleNamespace(is_paused=True))
    with pytest.raises(AirflowSkipException, match="iris is paused"):
        dag.get_task("iris").execute({"ti": paused})


@pytest.mark.parametrize("wrong", [{"train": "perhaps"}, {"end": "yesterday"}])
def test_trigger_form_refuses_invalid_values(dags, wrong: dict[str, str]):
    params = copy.deepcopy(dags["taxi"].params)
    with pytest.raises(ParamValidationError):
        params.update(wrong)
        params.validate()


def test_dag_is_documented(dags):
    dag = dags["taxi"]
    assert "conf/pipelines/taxi.yaml" in dag.doc_md
    assert all(task.doc_md for task in dag.tasks)


def rendered(dag, task_id: str, params: dict[str, object], **dates: object) -> list[str]:
    """Return the spark-submit command that a run would execute."""
    task = dag.get_task(task_id)
    context = {
        "params": {**FORM, **params},
        "dag_run": SimpleNamespace(**{**NO_DATES, "run_type": "manual", **dates}),
        "ti": SimpleNamespace(xcom_pull=lambda task_ids: None),
        **dag.user_defined_macros,
    }
    arguments = task.render_template(task.application_args, context, task.get_template_env(dag))
    hook = task._get_hook()
    hook._application_args = arguments
    return hook._build_spark_submit_command(task.application)


FORM = {"start": None, "end": None, "catch_up": True, "train": "auto", "action": "day"}
NO_DATES = {"data_interval_start": None, "data_interval_end": None, "run_after": None}


@pytest.fixture
def spark_connection(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("AIRFLOW_CONN_SPARK_DEFAULT", "spark://127.0.0.1:7077")
    monkeypatch.delenv("BATCHML_SPARK_EVENTS", raising=False)


def test_daily_command_is_exact(dags, spark_connection):
    day = pendulum.datetime(2021, 2, 11)
    interval = {"data_interval_start": day, "data_interval_end": day.add(days=1)}
    assert rendered(dags["taxi"], "ingest", {}, **interval) == [
        "spark-submit",
        "--master",
        "spark://127.0.0.1:7077",
        "--name",
        "taxi.ingest",
        str(ROOT / "jobs" / "ingest.py"),
        "--pipeline",
        "taxi",
        "--start",
        "2021-02-11",
        "--end",
        "2021-02-11",
        "--catch-up=yes",
        "--catch-up-from=",
        "--if-changed=no",
    ]


@pytest.mark.parametrize(
    ("params", "mode"),
    [({}, "yes"), ({"catch_up": False}, "no"), ({"action": "heal"}, "only")],
)
def test_trigger_form_sets_catch_up_mode(dags, spark_connection, params, mode):
    command = rendered(dags["taxi"], "build_features", {"end": "2021-02-11", **params})
    assert f"--catch-up={mode}" in command
    start = "" if mode == "only" else "2021-02-11"
    assert command[-7:-3] == ["--start", start, "--end", "2021-02-11"]


@pytest.mark.parametrize(
    ("run_type", "last", "since"),
    [
        ("scheduled", "2021-01-03", "2021-01-01"),
        ("scheduled", "2021-03-03", ""),
        ("manual", "2021-01-03", ""),
    ],
)
def test_late_unpaused_pipeline_owes_since_its_start(dags, spark_connection, run_type, last, since):
    command = rendered(dags["taxi"], "ingest", {"end": last}, run_type=run_type)
    assert command[-2] == f"--catch-up-from={since}"


def test_backfill_leaves_unchanged_dates(dags, spark_connection):
    for job in ("ingest", "build_features", "score_batch", "monitor_drift"):
        command = rendered(dags["taxi"], job, {"end": "2021-02-11"}, run_type="backfill")
        assert command[-1] == "--if-changed=yes"


def test_training_ends_with_the_newest_built_date(dags, spark_connection):
    task = dags["taxi"].get_task("train_model")
    decision = {"due": True, "reason": "late", "end": "2021-01-31"}
    context = {
        "params": FORM,
        "dag_run": SimpleNamespace(),
        "ti": SimpleNamespace(xcom_pull=lambda task_ids: decision),
        **dags["taxi"].user_defined_macros,
    }
    arguments = task.render_template(task.application_args, context)
    assert arguments == ["--pipeline", "taxi", "--end", "2021-01-31"]


def test_run_timeout_exceeds_its_jobs(dags):
    dag = build_dag(load_pipeline("taxi", conf_folder(), ["notifications.apprise=[a]"]))
    limits = [task.execution_timeout for task in dag.tasks if task.task_id not in ACTIONS]
    assert dag.dagrun_timeout > sum(filter(None, limits), dt.timedelta())
    assert len(dag.on_failure_callback) == 1
    assert dags["taxi"].on_failure_callback == []


def test_weekly_run_covers_its_week(dags, spark_connection):
    monday = pendulum.datetime(2021, 2, 8)
    interval = {"data_interval_start": monday, "data_interval_end": monday.add(days=7)}
    command = rendered(dags["taxi"], "ingest", {}, **interval)
    assert command[-7:-3] == ["--start", "2021-02-08", "--end", "2021-02-14"]


def test_broken_yaml_breaks_only_its_dag(tmp_path: Path):
    shutil.copytree(ROOT / "conf", tmp_path / "conf")
    (tmp_path / "conf" / "pipelines" / "rides.yaml").write_text("extends: taxi\nschedule: daily\n")
    broken = dag_of("rides", tmp_path / "conf")
    assert (broken.dag_id, broken.schedule, broken.task_ids) == ("rides", None, ["configuration"])
    assert "schedule is 'daily'" in broken.doc_md
    assert dag_of("taxi", tmp_path / "conf").task_ids != ["configuration"]
    assert dag_of("taxi_linear", tmp_path / "conf") is None


@pytest.mark.parametrize(
    ("name", "content", "dag_id"),
    [
        ("taxi copy.yaml", b"extends: taxi\n", "taxi_copy"),
        ("taxi (1).yaml", b"extends: taxi\n", "taxi_1_"),
        ("tåxi.yaml", b"extends: taxi\n", "t_xi"),
        ("iris!.yaml", b"extends: iris\n", "iris_"),
        ("german.yaml", "extends: taxi\ndescription: für alle\n".encode("cp1252"), "german"),
        ("list.yaml", b"- a\n", "list"),
        ("keys.yaml", b"1: a\n[x]: b\n", "keys"),
        ("empty.yaml", b"", "empty"),
        ("tabs.yaml", b"a:\n\tb: 1\n", "tabs"),
        ("twice.yaml", b"extends: taxi\nlabel: a\nlabel: trip_minutes\n", "twice"),
        ("Taxi.yaml", b"extends: taxi\n", "Taxi"),
        ("maintenance.yaml", b"extends: taxi\n", "maintenance.broken"),
        ("preflight.yaml", b"extends: taxi\n", "preflight.broken"),
    ],
)
def test_invalid_file_becomes_a_broken_dag(tmp_path: Path, name: str, content: bytes, dag_id: str):
    shutil.copytree(ROOT / "conf", tmp_path / "conf")
    (tmp_path / "conf" / "pipelines" / name).write_bytes(content)
    broken = dag_of(name.removesuffix(".yaml"), tmp_path / "conf")
    assert (broken.dag_id, broken.tags, broken.schedule) == (dag_id, {"broken"}, None)
    assert "conf/pipelines" in broken.doc_md
    assert scheduled_pipelines(tmp_path / "conf") == scheduled_pipelines(ROOT / "conf")


ODD_FILES = {
    ".taxi.yaml.swp": b"",
    ".hidden.yaml": b"x",
    "taxi.yaml~": b"x",
    "4913": b"",
    "#taxi.yaml#": b"x",
    "a b.yaml": b"",
    "a!b.yaml": b"",
    "a_b.yaml": b"extends: taxi\n",
    "conf_folder.yaml": b"extends: taxi\n",
    "dag_of.yaml": b"extends: taxi\n",
    "name.yaml": b"extends: taxi\n",
    "__name__.yaml": b"extends: taxi\n",
    "maintenance.yaml": b"extends: taxi\n",
    "nul.yaml": b'extends: taxi\ndescription: "\\0\\ud800"\n',
}


def test_invalid_files_affect_no_other_dag(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, dags):
    shutil.copytree(ROOT / "conf", tmp_path / "conf")
    folder = tmp_path / "conf" / "pipelines"
    for name, content in ODD_FILES.items():
        (folder / name).write_bytes(content)
    (folder / "a_folder.yaml").mkdir()
    (folder / "a_link.yaml").symlink_to("nowhere")
    Path(os.fsdecode(os.fsencode(folder) + b"/caf\xe9.yaml")).write_text("extends: taxi\n")
    monkeypatch.setenv("BATCHML_CONF", str(tmp_path / "conf"))

    bag = DagBag(ROOT / "dags")
    assert bag.import_errors == {}
    broken = {name: dag for name, dag in bag.dags.items() if "broken" in dag.tags}
    assert sorted(broken) == [
        *("__name__", "a_b.broken.0", "a_b.broken.1", "a_folder", "a_link", "caf_"),
        *("maintenance.broken", "nul"),
    ]
    added = {"a_b", "conf_folder", "dag_of", "name"}
    assert {*bag.dags} - {*broken} == {*dags} | added
    for dag in broken.values():
        dag.doc_md.encode()  # text that a database takes
        assert "\0" not in dag.doc_md


def test_manual_run_defaults_to_the_day_before(dags, spark_connection):
    command = rendered(dags["iris"], "train_model", {}, run_after=pendulum.datetime(2021, 3, 1, 9))
    assert command[-4:] == ["--pipeline", "iris", "--end", "2021-02-28"]


def test_dates_of_the_form_override(dags, spark_connection):
    params = {"start": "2021-01-01", "end": "2021-02-10"}
    command = rendered(
        dags["taxi"], "score_batch", params, data_interval_start=pendulum.datetime(2021, 2, 11)
    )
    assert command[-7:-3] == ["--start", "2021-01-01", "--end", "2021-02-10"]


def test_process_of_a_task_builds_one_dag(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("_AIRFLOW_PARSING_CONTEXT_DAG_ID", "iris")
    built = runpy.run_path(str(ROOT / "dags" / "pipelines.py"))
    assert [name for name in built if name.startswith("pipeline ")] == ["pipeline iris"]


def test_dags_are_parsed_fast_without_spark():
    program = """
import json, sys, time
import airflow.sdk, airflow.providers.apache.spark.operators.spark_submit
begun = time.process_time()
import pipelines
heavy = [name for name in ("pyspark", "mlflow", "delta", "xgboost") if name in sys.modules]
print(json.dumps({"seconds": time.process_time() - begun, "heavy": heavy}))
"""
    paths = {
        "PYTHONPATH": f"{ROOT / 'jobs'}:{ROOT / 'dags'}",
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
    }
    done = subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, **paths},
    )
    found = json.loads(done.stdout.splitlines()[-1])
    assert found["heavy"] == []
    assert found["seconds"] < 1.0
