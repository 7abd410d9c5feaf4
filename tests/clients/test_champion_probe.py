"""What is asked of MLflow's server before Spark is started."""

import json

import pytest

from batchml.clients.champion_probe import has_no_champion
from batchml.config import Places
from batchml.main import main
from tests.support.servers import answering, body

ASKED = "/api/2.0/mlflow/registered-models/alias?name=taxi&alias=champion"


def places(server: str) -> Places:
    return Places("", "", server, "")


def refusal(code: str, status: int):
    return body(json.dumps({"error_code": code, "message": "no"}), status)


@pytest.mark.parametrize(
    ("code", "status"), [("RESOURCE_DOES_NOT_EXIST", 404), ("INVALID_PARAMETER_VALUE", 400)]
)
def test_missing_model_or_alias_means_no_champion(code: str, status: int):
    with answering({ASKED: refusal(code, status)}) as (server, _):
        assert has_no_champion("taxi", places(f"{server}/"))


@pytest.mark.parametrize(
    "answer",
    [
        body(json.dumps({"model_version": {"version": "3"}})),
        body("<h1>Not Found</h1>", 404),
        body("[]", 404),
        body("{}", 404),
        refusal("PERMISSION_DENIED", 403),
        refusal("INTERNAL_ERROR", 500),
    ],
)
def test_other_response_leaves_the_decision_to_the_job(answer):
    with answering({ASKED: answer}) as (server, asked):
        assert not has_no_champion("taxi", places(server))
    assert asked == [ASKED]


@pytest.mark.parametrize(
    "uri", ["http://127.0.0.1:9", "sqlite:////nowhere/mlflow.db", "databricks"]
)
def test_unreachable_store_leaves_the_decision_to_the_job(uri: str):
    assert not has_no_champion("taxi", places(uri))


@pytest.mark.parametrize(
    ("job", "purpose"), [("score_batch", "to score with"), ("monitor_drift", "to compare with")]
)
def test_job_without_champion_ends_before_spark(
    job: str, purpose: str, capsys, monkeypatch: pytest.MonkeyPatch
):
    with answering({ASKED: refusal("RESOURCE_DOES_NOT_EXIST", 404)}) as (server, _):
        monkeypatch.setenv("MLFLOW_TRACKING_URI", server)
        assert main(job, ["--pipeline", "taxi", "--end", "2021-01-05"]) == 99
    line = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert line["error"]["message"] == f"taxi has no champion {purpose}"
    assert "spark_application_id" not in line
