"""The last line of a job: its text, and reading lines of other versions of the code."""

import datetime as dt
import json
import math

import pytest
from pydantic import ValidationError

from batchml.job_line import (
    DETAILS,
    IngestDetails,
    JobError,
    JobLine,
    MlflowIds,
    PreflightDetails,
    PromoteModelDetails,
    Remeasured,
    ReproduceModelDetails,
    RollBackModelDetails,
    Rows,
    ScoreBatchDetails,
    TrainingDecision,
    TrainModelDetails,
)
from batchml.job_specs import JOBS

SCORED = JobLine(
    job="score_batch",
    pipeline="taxi",
    start="2021-01-05",
    end="2021-01-05",
    seconds={"total": 1.5},
    spark_application_id="app-1",
    rows=Rows(read=3, written=3),
    tables={"predictions": 7},
    mlflow=MlflowIds(run_id="a", model="taxi", version=2),
    details=ScoreBatchDetails(
        trained_end=dt.date(2021, 1, 4),
        unseen=True,
        seen_rows=1,
        versions={2: 3},
        unscored=(dt.date(2021, 1, 3),),
        champion=3,
        champion_end=dt.date(2021, 1, 5),
        hold="version 3 serves again",
        misfit="version 3 predicts another label",
        last_attempt_end=None,
        realised={"rows": 3, "rmse": 5.0, "r2": math.nan},
        features_version=4,
    ),
    status="done",
)
PRINTED = (
    '{"job": "score_batch", "pipeline": "taxi", "start": "2021-01-05", "end": "2021-01-05", '
    '"seconds": {"total": 1.5}, "spark_application_id": "app-1", "rows": {"in": 3, "out": 3}, '
    '"tables": {"predictions": 7}, "mlflow": {"run_id": "a", "model": "taxi", "version": 2}, '
    '"details": {"trained_end": "2021-01-04", "unseen": true, "seen_rows": 1, '
    '"versions": {"2": 3}, '
    '"unscored": ["2021-01-03"], "champion": 3, "champion_end": "2021-01-05", '
    '"last_attempt_end": null, "hold": "version 3 serves again", '
    '"misfit": "version 3 predicts another label", '
    '"realised": {"rows": 3, "rmse": 5.0, "r2": null}, "features_version": 4}, "status": "done"}'
)


def test_done_job_prints_these_keys():
    assert SCORED.to_text() == PRINTED


def test_failed_job_prints_these_keys():
    error = JobError(kind="bad_data", message="the file is damaged", remedy="deliver it again")
    line = JobLine(job="preflight", seconds={"total": 0.1}, status="failed", error=error)
    assert line.to_text() == (
        '{"job": "preflight", "pipeline": null, "start": null, "end": null, '
        '"seconds": {"total": 0.1}, '
        '"status": "failed", "error": {"kind": "bad_data", "message": "the file is damaged", '
        '"remedy": "deliver it again"}}'
    )


def test_printed_line_is_read_back():
    assert JobLine.parse(PRINTED) == SCORED
    assert JobLine.read(json.loads(PRINTED)) == SCORED


def test_unknown_keys_are_ignored():
    newer = json.loads(PRINTED)
    newer["host"] = "here"
    newer["rows"]["skipped"] = 1
    newer["details"]["honest"] = True
    assert JobLine.read(newer) == SCORED


def test_missing_keys_have_defaults():
    line = JobLine.read({"job": "score_batch", "status": "done", "details": {"unseen": True}})
    assert line == JobLine(job="score_batch", status="done", details=ScoreBatchDetails(unseen=True))


def test_writing_an_unknown_key_fails():
    with pytest.raises(ValidationError, match="Extra inputs are not permitted"):
        IngestDetails(row={"bronze": 1})


@pytest.mark.parametrize(
    ("job", "details"),
    [
        (
            "promote_model",
            PromoteModelDetails(changed=True, replaced=1, reason="better", approved_by=None),
        ),
        (
            "promote_model",
            RollBackModelDetails(withdrawn=2, restored=1, dates=(), reason="went back"),
        ),
        (
            "train_model",
            TrainModelDetails(features_version=1, fit="2021", train={}, params={"depth": 3}),
        ),
        (
            "train_model",
            ReproduceModelDetails(reason="same", metrics={"rmse": Remeasured(was=1.0, now=1.0)}),
        ),
        ("preflight", PreflightDetails(executors="1 of 1 answered")),
    ],
)
def test_details_of_two_steps_are_distinguished(job: str, details):
    line = JobLine(job=job, status="done", details=details)
    assert JobLine.parse(line.to_text()) == line


def test_reproduced_metric_prints_both_values():
    details = ReproduceModelDetails(metrics={"rmse": Remeasured(was=1.0, now=2.0)})
    value = JobLine(job="train_model", status="done", details=details).to_value()
    assert value["details"]["metrics"] == {"rmse": {"was": 1.0, "is": 2.0}}


@pytest.mark.parametrize("value", [None, [], "text", {"due": True, "reason": "the calendar"}])
def test_other_value_is_not_a_line(value: object):
    assert JobLine.read(value) is None


def test_training_decision_is_read_back():
    decision = TrainingDecision(due=True, reason="the calendar")
    assert TrainingDecision.read(decision.model_dump()) == decision
    assert TrainingDecision.read(json.loads(PRINTED)) is None


def test_every_job_has_details():
    assert DETAILS.keys() == JOBS.keys()
