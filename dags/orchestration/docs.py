"""Texts of Airflow's UI about a pipeline, its tasks and its parameters."""

from batchml.config import Pipeline

TASK_DOCS = {
    "ingest": (
        "Reads the rows of the dates from the source. **bronze** contains all rows as "
        "received, **silver** those that pass every check, **quarantine** the others with "
        "their reasons. Skipped while the file is missing: a later run catches up with the "
        "date."
    ),
    "build_features": "Computes the model's columns: one row of **features** per row of silver.",
    "score_batch": "Predicts the dates with the champion. A date that was scored before keeps its "
    "version. Skipped if every promoted version was trained up to the last date or later.",
    "monitor_drift": (
        "Compares the dates with the training of the version that scored them, and the error "
        "on unseen rows with the error on the holdout. Writes **drift** and a time series in "
        "MLflow. Skipped while there is no champion."
    ),
    "training_due": "Decides if this run trains, and returns the reason. Skipped if it does not.",
    "train_model": "Fits the estimator, logs it to MLflow, loads it again, and registers it as "
    "**challenger**.",
    "evaluate_model": "Measures challenger, champion and a baseline on the same holdout rows. The "
    "gate's verdict and its reason become tags of the version.",
    "promote_model": (
        "Makes a challenger that passed the gate the **champion**. Skipped while it waits "
        "for manual approval, or if it was rejected."
    ),
    "report_day": (
        "Writes the daily summary as a page in MLflow (see its link), also after a failure."
    ),
}
APPROVAL_DOC = "Waits for manual approval of a challenger. Skipped if the gate rejected it."
# Tasks that run in place of the daily work, by the parameter ``action``.
ACTION_DOCS = {
    "rollback": (
        "Returns **champion** to **previous**, and scores again the dates that the withdrawn "
        "version scored. Skipped unless the run requests it (action=rollback)."
    ),
    "accept": (
        "Accepts that missing dates of the range never come: they are no longer owed. "
        "Skipped unless the run requests it (action=accept)."
    ),
    "maintain_tables": (
        "Compacts the tables and removes files that no kept model needs. Skipped unless the "
        "run requests it (action=maintain_tables), as the DAG `maintenance` does every week."
    ),
}

PARAMETERS = {
    "start": {
        "title": "First date",
        "description": "First event date (YYYY-MM-DD). Empty: the last date alone.",
    },
    "end": {
        "title": "Last date",
        "description": (
            "Last event date, inclusive (YYYY-MM-DD). Empty: the day of the data interval."
        ),
    },
    "catch_up": {
        "title": "Catch up",
        "description": (
            "Also work on owed dates: missed, late, delivered again, or made from older input."
        ),
    },
    "train": {
        "title": "Train a model",
        "description": (
            "auto: if the calendar or drift requires it, or without a champion. yes: always. "
            "no: never."
        ),
    },
    "model_ref": {
        "title": "Model code",
        "description": (
            "A branch, tag or commit of the model's repository. Empty: the one of the YAML."
        ),
    },
    "action": {
        "title": "Action",
        "description": (
            "day: the daily work of the dates. heal: only the owed dates of the range, or "
            "all owed dates without a range. accept: missing dates of the range never come. "
            "rollback: return to the previous champion. maintain_tables: compact and clean "
            "up the tables."
        ),
    },
}


def _training_rule(pipeline: Pipeline) -> str:
    reasons = []
    if pipeline.training.every_days:
        reasons.append(f"every {pipeline.training.every_days} days")
    alarm = pipeline.training.on_alarm
    if alarm:
        reasons.append(f"after {alarm.days} alarms in {alarm.of} days")
    return "trained " + (" or ".join(reasons) or "on request")


def dag_doc(pipeline: Pipeline) -> str:
    """Return the page of a DAG, in Markdown."""
    rows = "\n".join(f"| `{name}` | {text} |" for name, text in TASK_DOCS.items())
    return f"""\
### {pipeline.description}

Configured by `conf/pipelines/{pipeline.name}.yaml`: {pipeline.task} of `{pipeline.label}` with
`{pipeline.estimator.kind}`, {_training_rule(pipeline)}.

| task | purpose |
|---|---|
{rows}

Every task can be run manually with the same arguments:
`spark-submit jobs/<task>.py --pipeline {pipeline.name} --start YYYY-MM-DD --end YYYY-MM-DD`.
Its value (XCom `return_value`) is the JSON line of the job: rows, Delta versions, MLflow ids,
seconds and, after a failure, the error.
"""
