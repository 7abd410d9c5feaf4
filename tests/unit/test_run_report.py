"""The output of `make run`, from the last lines of its jobs."""

import io
from pathlib import Path

import pytest
from rich.console import Console

from batchml.config import Places, conf_folder, load_pipeline
from batchml.job_line import (
    Details,
    EvaluateModelDetails,
    IngestDetails,
    JobError,
    JobLine,
    MlflowIds,
    Rows,
    ScoreBatchDetails,
    TrainingDecision,
)
from local.run_report import RunResult, print_results, print_task

INGESTED = IngestDetails(rejected={"miles_are_positive": 1_200}, warned={"riders_are_known": 3})
EVALUATED = EvaluateModelDetails(
    metrics={"challenger": {"rows": 24, "rmse": 5.25}}, passed=True, reason="rmse 5.25"
)
SCORED = ScoreBatchDetails(realised={"rows": 12, "rmse": 5.5})


def done(job: str, details: Details, version: int | None = None) -> JobLine:
    return JobLine(
        job=job,
        start="2021-01-05",
        end="2021-01-06",
        rows=Rows(read=2_000, written=1_999),
        mlflow=MlflowIds(version=version),
        details=details,
        status="done",
    )


FAILED = JobLine(
    job="train_model",
    status="failed",
    error=JobError(message="no rows\n  of any kind", remedy="run ingest"),
)


def task(name: str, state: str = "success") -> dict[str, object]:
    return {"task_id": name, "state": state, "duration": 3.2, "dag_id": "taxi", "dag_run_id": "a"}


def printed(console: Console) -> str:
    assert isinstance(console.file, io.StringIO)
    return " ".join(console.file.getvalue().split())


@pytest.fixture
def console() -> Console:
    return Console(file=io.StringIO(), width=200)


@pytest.mark.parametrize(
    ("value", "gist"),
    [
        (done("ingest", INGESTED).to_value(), "2,000 rows in, 1,999 out"),
        (
            done("score_batch", SCORED, version=3).to_value(),
            "2,000 rows in, 1,999 out, model version 3",
        ),
        (done("evaluate_model", EVALUATED, version=3).to_value(), "version 3: rmse 5.25"),
        (
            TrainingDecision(due=True, reason="the run requests it").model_dump(),
            "the run requests it",
        ),
        (FAILED.to_value(), "no rows; run ingest"),
        ({}, ""),
    ],
)
def test_task_is_printed_with_its_result(console: Console, value: object, gist: str):
    print_task(console, task("a_task"), value)
    assert printed(console) == f"a_task success 3 s {gist}".strip()


def test_results_show_every_part(console: Console, tmp_path: Path):
    lines = {
        "ingest": done("ingest", INGESTED),
        "score_batch": done("score_batch", SCORED, version=3),
        "evaluate_model": done("evaluate_model", EVALUATED, version=3),
        "train_model": FAILED,
    }
    tasks = [task("ingest"), task("train_model", "failed")]
    result = RunResult("the day after", "failed", tasks, lines)
    places = Places("landing", "lake", "mlflow", "artifacts")
    print_results(console, load_pipeline("taxi", conf_folder()), [result], places, tmp_path)
    text = printed(console).replace("│ ", "")
    for expected in (
        "ingest success 3 2,000 1,999",
        "train_model failed: no rows of any kind run ingest",
        "challenger the holdout 24 5.25",
        "champion, version 3 2021-01-05..2021-01-06 12 5.5",
        "2021-01-05..2021-01-06 rejected miles_are_positive 1,200",
        "2021-01-05..2021-01-06 warned riders_are_known 3",
    ):
        assert expected in text
