"""What Airflow's UI tells about a pipeline, its tasks and its parameters."""

from batchml.config import Pipeline

TASK_DOCS = {
    "ingest": "Reads the source's rows of the dates. **bronze** keeps all as received, **silver** those that pass "
    "every check, **quarantine** the others with their reasons. Skipped while the file is missing: a later run "
    "catches up with the date.",
    "build_features": "Makes the columns a model sees: one row of **features** for every row of silver.",
    "score_batch": "Predicts the dates with the champion. A date that was scored before keeps its version. Skipped "
    "while every version was trained on these dates or later ones.",
    "monitor_drift": "Compares the dates with the training of the version that scored them, and its error on rows it "
    "has not seen with the one promised: **drift**, and a time series in MLflow. Skipped while there is no champion.",
    "training_due": "Decides whether this run trains; its value holds the reason. Skipped, and green, if it does not.",
    "train_model": "Fits the estimator, logs it to MLflow, loads it back, and registers it as **challenger**.",
    "evaluate_model": "Measures challenger, champion and a constant on the same holdout rows. The gate's verdict and "
    "its reason become tags of the version.",
    "promote_model": "Makes a challenger that passed the gate the **champion**. Skipped when it was rejected, or waits "
    "for a person's approval.",
    "report_day": "Writes the daily report as a page in MLflow (see its link), also when a task before it has failed.",
}
APPROVAL_DOC = (
    "Waits for a person's word on a challenger that passed the gate. Skipped when there is none."
)
# What a run does instead of a day's work when its parameter ``action`` says so.
ACTION_DOCS = {
    "rollback": "**champion** returns to **previous**, and scores again what the withdrawn version has scored. Skipped "
    "unless the run asks for it (action=rollback).",
    "accept": "Accepts that missing dates of the range never come: they are not owed any more. Skipped unless the run "
    "asks for it (action=accept).",
    "maintain_tables": "Compacts the tables and removes files that no kept model needs. Skipped unless the run asks "
    "for it (action=maintain_tables), as the DAG `maintenance` does every week.",
}

PARAMETERS = {
    "start": {
        "title": "First date",
        "description": "First event date (YYYY-MM-DD). Empty: the last date alone.",
    },
    "end": {
        "title": "Last date",
        "description": "Last event date, inclusive (YYYY-MM-DD). Empty: the day of the run's data interval.",
    },
    "catch_up": {
        "title": "Catch up",
        "description": "Also work on owed dates: missed, late, delivered again, or made from something older.",
    },
    "train": {
        "title": "Train a model",
        "description": "auto: when the calendar or drift asks for it, or there is no champion. yes: in any case. "
        "no: never.",
    },
    "model_ref": {
        "title": "Model code",
        "description": "A branch, tag or commit of the model's repository. Empty: the one of the YAML.",
    },
    "action": {
        "title": "What to do",
        "description": "day: the work of the dates. heal: only the owed dates of the range, or all of them without "
        "dates. accept: missing dates of the range never come. rollback: go back to the previous champion. "
        "maintain_tables: compact and clean up.",
    },
}


def _trained(pipeline: Pipeline) -> str:
    days, alarm = pipeline.training.every_days, pipeline.training.on_alarm
    reasons = [f"every {days} days"] if days else []
    reasons += [f"after {alarm.days} alarms in {alarm.of} days"] if alarm else []
    return "trained " + (" or ".join(reasons) or "on request")


def dag_doc(pipeline: Pipeline) -> str:
    """Return the page of a DAG, in Markdown."""
    rows = "\n".join(f"| `{name}` | {text} |" for name, text in TASK_DOCS.items())
    return f"""\
### {pipeline.description}

Configured by `conf/pipelines/{pipeline.name}.yaml`: {pipeline.task} of `{pipeline.label}` with
`{pipeline.estimator.kind}`, {_trained(pipeline)}.

| task | what it does |
|---|---|
{rows}

Every task can be run by hand with the same arguments:
`spark-submit jobs/<task>.py --pipeline {pipeline.name} --start YYYY-MM-DD --end YYYY-MM-DD`.
Its value (XCom `return_value`) is the job's last line: rows, Delta versions, MLflow ids, seconds, and the error if any.
"""
