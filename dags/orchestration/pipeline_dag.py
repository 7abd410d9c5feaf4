"""The DAG of one pipeline: its jobs in the order of one day."""

import datetime as dt
import re
from pathlib import Path
from typing import Any

from airflow.sdk import (
    DAG,
    Asset,
    CronDataIntervalTimetable,
    Param,
    chain,
    get_current_context,
    task,
)
from airflow.sdk.exceptions import AirflowFailException, AirflowSkipException

from batchml.config import Event, Pipeline, load_pipeline, pipeline_names
from batchml.config.learning import REF
from batchml.config.pipeline import STACK_DAGS
from batchml.errors import PipelineError
from batchml.job_line import JobLine
from batchml.job_specs import JOBS
from orchestration.approval import approver, evaluated_version, wait_for_approval
from orchestration.dates import catch_up_mode, first_date, if_changed, last_date, owed_since
from orchestration.docs import ACTION_DOCS, PARAMETERS, TASK_DOCS, dag_doc
from orchestration.notifications import (
    Callback,
    callbacks,
    ping_callbacks,
    timeout_callbacks,
)
from orchestration.operators import POOL, SparkJobOperator, spark_task
from orchestration.training_due import EarlierJobs, decide, training_end

MACROS = (
    first_date,
    last_date,
    catch_up_mode,
    owed_since,
    if_changed,
    training_end,
    approver,
    evaluated_version,
)
APPROVED_BY = ["--approved-by", "{{ approver(ti) }}"]
APPROVED_VERSION = ["--approved-version", "{{ evaluated_version(ti) }}"]
START = ["--start", "{{ first_date(params, dag_run) }}"]
END = ["--end", "{{ last_date(params, dag_run) }}"]
DATES = START + END
# Long enough for a restart of the Spark master or the MLflow server. Airflow waits up to twice as
# long before the first retry, and up to four times before the second.
RETRY_DELAY = dt.timedelta(minutes=2)


def dag_of(name: str, conf: Path) -> DAG | None:
    """Return the DAG of a pipeline's file, or None if it has no schedule.

    For an invalid file, return a DAG without a schedule that shows the error.
    """
    try:
        pipeline = load_pipeline(name, conf)
        if pipeline.schedule is None:
            return None
        return build_dag(pipeline)
    except Exception as error:  # an uncaught error would remove the DAGs of all pipelines
        return _broken_dag(_dag_id(name, conf), error)


def scheduled_pipelines(conf: Path) -> list[str]:
    """Return the pipelines that have a schedule and a valid file."""
    names = []
    for name in pipeline_names(conf):
        try:
            pipeline = load_pipeline(name, conf)
        except Exception:  # its own DAG shows the error
            continue
        if pipeline.schedule is not None:
            names.append(name)
    return names


def _dag_id(name: str, conf: Path) -> str:
    """Return a valid and unique DAG id for a pipeline's file, which may have any name."""
    clean = _clean_id(name)
    if clean == name and name not in STACK_DAGS:
        return clean

    names = pipeline_names(conf)
    alike = [other for other in names if other != clean and _clean_id(other) == clean]
    number = ""
    if len(alike) > 1:
        number = f".{alike.index(name)}"
    is_taken = clean in names or clean in STACK_DAGS
    if is_taken:
        return f"{clean}.broken{number}"
    return f"{clean}{number}"


def _clean_id(name: str) -> str:
    return re.sub(r"[^A-Za-z0-9_.-]+", "_", name)[:200] or "_"


def build_dag(pipeline: Pipeline) -> DAG:
    """Return the daily DAG of ``pipeline``; its id is the pipeline's name."""
    with _empty_dag(pipeline) as dag:
        ingest = _of_dates(
            pipeline,
            "ingest",
            waits_for_earlier_runs=True,
            waits_for_delivery=dt.timedelta(hours=pipeline.source.wait_hours),
        )
        # These jobs also work on owed dates, so they run even if ``ingest`` was skipped.
        features = _of_dates(pipeline, "build_features", trigger_rule="none_failed")
        score = _of_dates(pipeline, "score_batch", trigger_rule="none_failed")
        drift = _of_dates(pipeline, "monitor_drift", trigger_rule="none_failed")
        due = _training_due(pipeline)
        train = _of_training(pipeline, "train_model", _model_code_arguments(pipeline))
        evaluate = _of_training(pipeline, "evaluate_model", [])
        promote = _of_training(pipeline, "promote_model", _approval_arguments(pipeline))
        # A teardown task runs after every outcome, and does not affect the state of the run.
        report = _daily(
            pipeline, "report_day", DATES, on_success_callback=ping_callbacks(pipeline)
        ).as_teardown()

        chain(ingest, features, score, drift, due, train, evaluate)
        if _is_approved_manually(pipeline):
            chain(evaluate, wait_for_approval(pipeline), promote, report)
        else:
            chain(evaluate, promote, report)

        # Tasks in place of the daily work. max_active_runs of this DAG separates them from it.
        _on_request(pipeline, "rollback", "promote_model", ["--rollback"], event="rolled_back")
        _on_request(pipeline, "maintain_tables", "maintain_tables", [])
        _on_request(pipeline, "accept", "ingest", [*DATES, "--accept"])
    return dag


def _empty_dag(pipeline: Pipeline) -> DAG:
    return DAG(
        dag_id=pipeline.name,
        description=pipeline.description,
        schedule=CronDataIntervalTimetable(pipeline.schedule, timezone="UTC"),
        start_date=dt.datetime.combine(pipeline.start_date, dt.time(), dt.UTC),
        catchup=False,
        max_active_runs=1,  # one writer per table
        dagrun_timeout=dt.timedelta(hours=pipeline.run_hours),
        on_failure_callback=timeout_callbacks(pipeline),
        default_args={
            "retries": 2,
            "retry_delay": RETRY_DELAY,
            "retry_exponential_backoff": 2.0,
            "pool": POOL,
            "on_failure_callback": callbacks(pipeline, "failed"),
        },
        params=_params(pipeline),
        user_defined_macros={function.__name__: function for function in MACROS},
        doc_md=dag_doc(pipeline),
        tags=["batchml", pipeline.task],
    )


def _params(pipeline: Pipeline) -> dict[str, Param]:
    """Return the fields of the trigger form."""
    optional_text = ["null", "string"]
    actions = ["day", "heal", *ACTION_DOCS]
    params = {
        "start": _param("start", None, type=optional_text, format="date"),
        "end": _param("end", None, type=optional_text, format="date"),
        "catch_up": _param("catch_up", True, type="boolean"),
        "train": _param("train", "auto", type="string", enum=["auto", "yes", "no"]),
        "action": _param("action", "day", type="string", enum=actions),
    }
    if pipeline.estimator.kind == "git":
        params["model_ref"] = _param("model_ref", None, type=optional_text, pattern=REF)
    return params


def _param(name: str, default: object, **schema: Any) -> Param:
    """Return a field of the trigger form, with its title and help text."""
    return Param(default, **(schema | PARAMETERS[name]))


def _of_dates(pipeline: Pipeline, job: str, **kwargs: Any) -> SparkJobOperator:
    """Return the task of a job that works on the dates of the run and on owed dates."""
    since = ""
    if "start_date" in pipeline.model_fields_set:
        since = f"'{pipeline.start_date}', {pipeline.source.lookback_days}"
        since = f"{{{{ owed_since(params, dag_run, {since}) }}}}"
    catch_up = ["--catch-up={{ catch_up_mode(params) }}", f"--catch-up-from={since}"]
    catch_up += ["--if-changed={{ if_changed(dag_run) }}"]
    only_if = "{{ params.action in ('day', 'heal') }}"
    return _daily(pipeline, job, DATES + catch_up, only_if=only_if, **kwargs)


def _of_training(pipeline: Pipeline, job: str, arguments: list[str]) -> SparkJobOperator:
    """Return the task of a job about a training up to the newest date that the run has built."""
    end = ["--end", "{{ training_end(ti, params, dag_run) }}"]
    return _daily(pipeline, job, end + arguments)


def _daily(pipeline: Pipeline, job: str, arguments: list[str], **kwargs: Any) -> SparkJobOperator:
    """Return the task of a job of the daily run."""
    spec = JOBS[job]
    defaults = {
        "doc_md": TASK_DOCS[job],
        "application_args": ["--pipeline", pipeline.name, *arguments],
        "on_success_callback": callbacks(pipeline, spec.event),
        "on_skipped_callback": _waits_for_approval(pipeline, job),
        "name": f"{pipeline.name}.{job}",
        "outlets": [Asset(f"{pipeline.name}.{outlet}") for outlet in spec.outlets],
        "only_if": "{{ params.action == 'day' }}",
        "max_active_tis_per_dag": 1,  # one writer per table, also during a backfill
        "execution_timeout": _time_limit(pipeline, job),
    }
    return spark_task(job, **(defaults | kwargs))


def _on_request(
    pipeline: Pipeline, action: str, job: str, arguments: list[str], event: Event | None = None
) -> SparkJobOperator:
    """Return the task of a job that runs only if the run's ``action`` requests it."""
    return spark_task(
        job,
        task_id=action,
        doc_md=ACTION_DOCS[action],
        application_args=["--pipeline", pipeline.name, *arguments],
        name=f"{pipeline.name}.{action}",
        only_if=f"{{{{ params.action == '{action}' }}}}",
        on_success_callback=callbacks(pipeline, event),
        execution_timeout=_time_limit(pipeline, job),
    )


def _time_limit(pipeline: Pipeline, job: str) -> dt.timedelta:
    """Return the time limit of a task. Without one, a task that hangs would stop its pipeline."""
    return dt.timedelta(minutes=pipeline.limits.minutes_of(job))


def _is_approved_manually(pipeline: Pipeline) -> bool:
    return pipeline.gate.approval == "manual"


def _waits_for_approval(pipeline: Pipeline, job: str) -> list[Callback]:
    """Return the callbacks of a skipped promotion. A manual gate has its own approval task."""
    if job != "promote_model" or _is_approved_manually(pipeline):
        return []
    return callbacks(pipeline, "approval")


def _approval_arguments(pipeline: Pipeline) -> list[str]:
    if not _is_approved_manually(pipeline):
        return []
    return APPROVED_BY + APPROVED_VERSION


def _model_code_arguments(pipeline: Pipeline) -> list[str]:
    """Return the setting of the commit, if the model's code comes from a repository."""
    if pipeline.estimator.kind != "git":
        return []
    ref = f"{{{{ params.model_ref or '{pipeline.estimator.ref}' }}}}"
    # Quoted, because YAML would read some commits as numbers.
    return ["--set", f"estimator.ref='{ref}'"]


def _training_due(pipeline: Pipeline) -> Any:
    """Return the task that decides if the run trains. It reads JSON lines, and needs no Spark."""

    @task(
        pool="default_pool",
        trigger_rule="none_failed",
        doc_md=TASK_DOCS["training_due"],
        execution_timeout=dt.timedelta(minutes=10),
    )
    def training_due() -> dict[str, Any]:
        context = get_current_context()
        params, task_instance = context["params"], context["ti"]
        if params["action"] != "day":
            raise AirflowSkipException("the run does not request the daily work")

        earlier = EarlierJobs(
            built=JobLine.read(task_instance.xcom_pull(task_ids="build_features")),
            scored=JobLine.read(task_instance.xcom_pull(task_ids="score_batch")),
            monitored=JobLine.read(task_instance.xcom_pull(task_ids="monitor_drift")),
        )
        end = dt.date.fromisoformat(last_date(params, context["dag_run"]))
        decision = decide(params["train"], end, pipeline.training, earlier)
        value = decision.model_dump(mode="json")
        if not decision.due:
            # A skipped task returns nothing: push the value, so that the reason is visible.
            task_instance.xcom_push(key="return_value", value=value)
            raise AirflowSkipException(decision.reason)
        return value

    return training_due()


def _broken_dag(dag_id: str, error: Exception) -> DAG:
    """Return a DAG that shows the error of a pipeline's file, and fails with it."""
    text = f"{type(error).__name__}: {error}"
    if isinstance(error, PipelineError):
        text = str(error)
    # A file's name may contain invalid bytes, which Airflow's database rejects.
    text = text.encode("utf-8", "backslashreplace").decode().replace("\0", "\\0")
    first_line = text.partition("\n")[0]
    with DAG(
        dag_id=dag_id,
        schedule=None,
        description=first_line,
        doc_md=f"```\n{text}\n```",
        tags=["broken"],
    ) as dag:

        @task
        def configuration() -> None:
            raise AirflowFailException(text)

        configuration()
    return dag
