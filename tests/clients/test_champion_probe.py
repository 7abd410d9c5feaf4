"""What is asked of MLflow's server before Spark is started."""

import json

import pytest

from batchml.clients.champion_probe import lacks_champion
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
def test_no_model_and_no_alias_are_nothing_to_score_with(code: str, status: int):
    with answering({ASKED: refusal(code, status)}) as (server, _):
        assert lacks_champion("taxi", places(f"{server}/"))


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
def test_any_other_answer_is_left_to_the_job(answer):
    with answering({ASKED: answer}) as (server, asked):
        assert not lacks_champion("taxi", places(server))
    assert asked == [ASKED]


@pytest.mark.parametrize(
    "uri", ["http://127.0.0.1:9", "sqlite:////nowhere/mlflow.db", "databricks"]
)
def test_a_store_that_cannot_be_asked_so_is_left_to_the_job(uri: str):
    assert not lacks_champion("taxi", places(uri))


@pytest.mark.parametrize(
    ("job", "purpose"), [("score_batch", "to score with"), ("monitor_drift", "to compare with")]
)
def test_a_job_without_a_champion_ends_before_spark(
    job: str, purpose: str, capsys, monkeypatch: pytest.MonkeyPatch
):
    with answering({ASKED: refusal("RESOURCE_DOES_NOT_EXIST", 404)}) as (server, _):
        monkeypatch.setenv("MLFLOW_TRACKING_URI", server)
        assert main(job, ["--pipeline", "taxi", "--end", "2021-01-05"]) == 99
    line = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert line["error"]["message"] == f"taxi has no champion {purpose}"
    assert "spark_application_id" not in line
