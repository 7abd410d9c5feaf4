"""The JSON schema by which editors check a pipeline's YAML."""

import json

import pytest
import yaml
from jsonschema import Draft202012Validator

from batchml.config import conf_folder, pipeline_names
from batchml.config.json_schema import json_schema

PIPELINES = pipeline_names(conf_folder())
SCHEMA = Draft202012Validator(json_schema())


def unknown_to_an_editor(raw: dict[str, object]) -> list[str]:
    return [error.message for error in SCHEMA.iter_errors(json.loads(json.dumps(raw, default=str)))]


def test_written_schema_is_current():
    written = json.loads((conf_folder() / "pipeline.schema.json").read_text())
    assert written == json_schema(), "make schema"


@pytest.mark.parametrize("name", PIPELINES)
def test_schema_accepts_the_projects_pipelines(name: str):
    text = (conf_folder() / "pipelines" / f"{name}.yaml").read_text()
    assert text.startswith("# yaml-language-server: $schema=../pipeline.schema.json\n")
    assert unknown_to_an_editor(yaml.safe_load(text)) == []


def test_schema_refuses_wrong_keys_or_values():
    assert (
        "'limt' was unexpected" in unknown_to_an_editor({"gate": {"metric": "rmse", "limt": 9}})[0]
    )
    assert unknown_to_an_editor({"columns": {"miles": "float"}}) != []
    assert unknown_to_an_editor({"estimator": {"kind": "random_forrest"}}) != []
    assert unknown_to_an_editor({"extends": "taxi", "columns": {"miles": "double"}}) == []
