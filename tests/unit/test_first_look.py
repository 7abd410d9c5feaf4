"""What is asked of MLflow's server before Spark is started."""

import json

import pytest

from batchml.config import Places
from batchml.errors import NothingToDo
from batchml.first_look import require_champion
from tests.servers import answering, body

ASKED = "/api/2.0/mlflow/registered-models/alias?name=taxi&alias=champion"


def places(server: str) -> Places:
    return Places("", "", server, "")


def refusal(code: str, status: int):
    return body(json.dumps({"error_code": code, "message": "no"}), status)


@pytest.mark.parametrize(("code", "status"), [("RESOURCE_DOES_NOT_EXIST", 404), ("INVALID_PARAMETER_VALUE", 400)])
def test_no_model_and_no_alias_are_nothing_to_score_with(code: str, status: int):
    with (
        answering({ASKED: refusal(code, status)}) as (server, _),
        pytest.raises(NothingToDo, match="has no champion"),
    ):
        require_champion("taxi", places(f"{server}/"))


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
        require_champion("taxi", places(server))
    assert asked == [ASKED]


@pytest.mark.parametrize("uri", ["http://127.0.0.1:9", "sqlite:////nowhere/mlflow.db", "databricks"])
def test_a_store_that_cannot_be_asked_so_is_left_to_the_job(uri: str):
    require_champion("taxi", places(uri))
