"""Texts of Airflow's UI about a pipeline, its tasks and its parameters."""

from batchml.config import Pipeline

TASK_DOCS = {
    "ingest": (
        "Reads the rows of the dates from the source. **bronze** contains all rows as "
        "received, **silver** those that pass every check, **quarantine** the others with "
        "their reasons. Skipped while the delivery is missing: a later run catches up with the "
        "date, except with a snapshot."
    ),
    "build_features": "Computes the model's columns: one row of **features** per row of silver.",
    "score_batch": (
        "Predicts each date with the version that scored it before, or else with the champion, or "
        "with a former one if the champion was trained on the date or later. Skipped if no version "
        "may score any of the dates."
    ),
    "monitor_drift": (
        "Compares the dates with the training of the version that scored them, and the error "
        "on unseen rows with the error on the holdout. Writes **drift** and a time series in "
        "MLflow. Skipped while there is no champion, and if there is nothing to compare."
    ),
    "training_due": "Decides if this run trains, and returns the reason. Skipped if it does not.",
    "train_model": "Fits the estimator, logs it to MLflow, loads it again, and registers it as "
    "**challenger**.",
    "evaluate_model": (
        "Measures challenger and baseline on the holdout, and compares challenger and champion on "
        "the holdout rows that the champion was not fitted on. The gate's verdict and its reason "
        "become tags of the version."
    ),
    "promote_model": (
        "Makes a challenger that passed the gate, or that a user has approved, the **champion**. "
        "Skipped while it waits for manual approval, or if it was rejected."
    ),
    "report_day": (
        "Writes the daily summary as a page in MLflow (see its link), also after a failure."
    ),
}
APPROVAL_DOC = (
    "Waits for manual approval of a challenger. Skipped without one, and if the gate rejected it."
)
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
        "description": (
            "First event date (YYYY-MM-DD). Empty: the last date alone. For heal: all dates since "
            "the first run."
        ),
    },
    "end": {
        "title": "Last date",
        "description": (
            "Last event date, inclusive (YYYY-MM-DD). Empty: the last whole day of the data "
            "interval, or the day before a run without one."
        ),
    },
    "catch_up": {
        "title": "Catch up",
        "description": (
            "Also work on owed dates: missed, late, delivered again, interrupted, or made from "
            "older input or by another definition."
        ),
    },
    "train": {
        "title": "Train a model",
        "description": (
            "auto: if the calendar or drift requires it, or without a champion that fits, but not "
            "after a rollback. yes: always. no: never."
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

Every task but `training_due` can be run manually with the same arguments:
`spark-submit jobs/<task>.py --pipeline {pipeline.name} --start YYYY-MM-DD --end YYYY-MM-DD`
(without `--start` for `train_model`, `evaluate_model` and `promote_model`). Its value (XCom
`return_value`) is the JSON line of the job: rows, Delta versions, MLflow ids, seconds and, after a
failure, the error. The value of `training_due` is its decision.
"""
