"""The DAG of one pipeline: its jobs in the order of one day."""

import datetime as dt
from pathlib import Path
from typing import Any

from airflow.sdk import DAG, Asset, CronDataIntervalTimetable, Param, chain, get_current_context, task
from airflow.sdk.exceptions import AirflowFailException, AirflowSkipException

from batchml.config import Event, Pipeline, load_pipeline, pipeline_names
from batchml.config.learning import REF
from batchml.errors import PipelineError
from batchml.job_line import JobLine
from orchestration.approval import approver, ask_for_approval, judged_version
from orchestration.dates import first_date, last_date
from orchestration.docs import ACTION_DOCS, PARAMETERS, REPORT_DOC, TASK_DOCS, TASKS, dag_doc
from orchestration.notifications import callbacks
from orchestration.operators import SparkJobOperator
from orchestration.spark_task import POOL, spark_task
from orchestration.training_due import decide

ACTIONS = {"rollback": ["promote_model", "--rollback"], "maintain_tables": ["maintain_tables"]}
MACROS = (first_date, last_date, approver, judged_version)
APPROVAL = ("--approved-by", "{{ approver(ti) }}", "--approved-version", "{{ judged_version(ti) }}")
# What people may want to be told of when a task has succeeded.
EVENTS: dict[str, Event] = {"monitor_drift": "alarm", "promote_model": "promoted", "rollback": "rolled_back"}
# Long enough for a Spark master or an MLflow server to be back. Airflow waits up to twice as long, and the second time
# up to four times.
RETRY_DELAY = dt.timedelta(minutes=2)
OUTLETS = {
    "ingest": ("bronze", "silver", "quarantine"),
    "build_features": ("features",),
    "score_batch": ("predictions",),
    "monitor_drift": ("drift",),
    "train_model": ("challenger",),
    "evaluate_model": ("verdicts",),
    "promote_model": ("champion",),
}


def dag_of(name: str, conf: Path) -> DAG | None:
    """The DAG of a pipeline's file; None if it has no schedule.

    A file that is wrong costs only its own DAG: one in its place, without a schedule, says what is wrong.
    """
    try:
        pipeline = load_pipeline(name, conf)
    except PipelineError as error:
        return _broken(name, error)
    return build_dag(pipeline) if pipeline.schedule is not None else None


def scheduled_pipelines(conf: Path) -> list[str]:
    """The pipelines that have a DAG of their own which works."""
    names = []
    for name in pipeline_names(conf):
        try:
            pipeline = load_pipeline(name, conf)
        except PipelineError:
            continue
        if pipeline.schedule is not None:
            names.append(name)
    return names


def _broken(name: str, error: PipelineError) -> DAG:
    dag = DAG(dag_id=name, schedule=None, description=error.message, doc_md=f"```\n{error}\n```", tags=["broken"])

    @task(dag=dag)
    def configuration() -> None:
        raise AirflowFailException(str(error))

    configuration()
    return dag


def build_dag(pipeline: Pipeline) -> DAG:
    """The daily DAG of ``pipeline``; its id is the pipeline's name."""
    dag = DAG(
        dag_id=pipeline.name,
        description=pipeline.description,
        schedule=CronDataIntervalTimetable(pipeline.schedule, timezone="UTC"),
        start_date=dt.datetime.combine(pipeline.start_date, dt.time(), dt.UTC),
        catchup=False,
        max_active_runs=1,  # one writer per table
        default_args={
            "retries": 2,
            "retry_delay": RETRY_DELAY,
            "retry_exponential_backoff": True,
            "pool": POOL,
            "on_failure_callback": callbacks(pipeline, "failed"),
        },
        params={
            "start": Param(None, type=["null", "string"], format="date", **PARAMETERS["start"]),
            "end": Param(None, type=["null", "string"], format="date", **PARAMETERS["end"]),
            "train": Param("auto", type="string", enum=["auto", "yes", "no"], **PARAMETERS["train"]),
            "action": Param("day", type="string", enum=["day", *ACTION_DOCS], **PARAMETERS["action"]),
            **_model_ref(pipeline),
        },
        user_defined_macros={function.__name__: function for function in MACROS},
        doc_md=dag_doc(pipeline),
        tags=["batchml", pipeline.task],
    )
    tasks = [_training_due(dag, pipeline) if name == "training_due" else _job(dag, pipeline, name) for name in TASKS]
    if pipeline.gate.approval == "manual":
        tasks.insert(TASKS.index("promote_model"), ask_for_approval(dag, pipeline))
    # A teardown runs whatever became of the others, and has no say in what becomes of the run.
    chain(*tasks, _job(dag, pipeline, "report_day", REPORT_DOC).as_teardown())
    for action, job in ACTIONS.items():
        _action(dag, pipeline, action, job)
    return dag


def _model_ref(pipeline: Pipeline) -> dict[str, Param]:
    """A field for the commit, where the model's code comes from a repository."""
    if pipeline.estimator.kind != "git":
        return {}
    return {"model_ref": Param(None, type=["null", "string"], pattern=REF, **PARAMETERS["model_ref"])}


def _job(dag: DAG, pipeline: Pipeline, job: str, doc: str | None = None) -> SparkJobOperator:
    return spark_task(
        job,
        dag=dag,
        doc_md=doc or TASK_DOCS[job],
        application_args=[
            *("--pipeline", pipeline.name),
            *("--start", "{{ first_date(params, dag_run) }}"),
            *("--end", "{{ last_date(params, dag_run) }}"),
            *_told_besides(pipeline, job),
        ],
        on_success_callback=callbacks(pipeline, EVENTS.get(job)),
        name=f"{pipeline.name}.{job}",
        outlets=[Asset(f"{pipeline.name}.{table}") for table in OUTLETS.get(job, ())],
        waits_for_earlier_runs=job == TASKS[0],
        only_if="{{ params.action == 'day' }}",
        max_active_tis_per_dag=1,  # one writer per table, whatever runs a backfill starts
        execution_timeout=_time_limit(pipeline, job),
    )


def _told_besides(pipeline: Pipeline, job: str) -> tuple[str, ...]:
    """The arguments of one job only: whose approval it has, and which model code it takes."""
    if job == "promote_model" and pipeline.gate.approval == "manual":
        return APPROVAL
    if job == "train_model" and pipeline.estimator.kind == "git":
        ref = f"{{{{ params.model_ref or '{pipeline.estimator.ref}' }}}}"
        return ("--set", f"estimator.ref='{ref}'")  # quoted, or YAML would take some commits for numbers
    return ()


def _action(dag: DAG, pipeline: Pipeline, action: str, job: list[str]) -> SparkJobOperator:
    """A task of its own, in this DAG and not in another, so that max_active_runs keeps it and a day's work apart."""
    name, *flags = job
    return spark_task(
        name,
        task_id=action,
        dag=dag,
        doc_md=ACTION_DOCS[action],
        application_args=["--pipeline", pipeline.name, *flags],
        name=f"{pipeline.name}.{action}",
        only_if=f"{{{{ params.action == '{action}' }}}}",
        on_success_callback=callbacks(pipeline, EVENTS.get(action)),
        execution_timeout=_time_limit(pipeline, name),
    )


def _time_limit(pipeline: Pipeline, job: Any) -> dt.timedelta:
    """Return how long a task of ``job`` may run: a task that hangs would stop its pipeline for ever."""
    return dt.timedelta(minutes=pipeline.limits.minutes_of(job))


def _training_due(dag: DAG, pipeline: Pipeline) -> Any:
    @task(
        dag=dag,
        pool="default_pool",
        trigger_rule="none_failed",
        doc_md=TASK_DOCS["training_due"],
        execution_timeout=dt.timedelta(minutes=10),
    )
    def training_due() -> dict[str, Any]:
        context = get_current_context()
        if context["params"]["action"] != "day":
            raise AirflowSkipException("the run is not about a day's work")
        task_instance, params = context["ti"], context["params"]
        decision = decide(
            request=params["train"],
            end=dt.date.fromisoformat(last_date(params, context["dag_run"])),
            training=pipeline.training,
            lines={
                name: JobLine.read(task_instance.xcom_pull(task_ids=name))
                for name in TASKS[: TASKS.index("training_due")]
            },
        )
        if not decision.due:
            # A skipped task returns nothing: push the value, so that the reason is visible.
            task_instance.xcom_push(key="return_value", value=decision.model_dump())
            raise AirflowSkipException(decision.reason)
        return decision.model_dump()

    return training_due()
