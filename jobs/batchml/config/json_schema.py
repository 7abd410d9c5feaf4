"""The JSON Schema of a pipeline's YAML, for editors that complete and check it: `make schema` writes it."""

import json
import sys
from typing import Any

from batchml.config.pipeline import Pipeline


def json_schema() -> dict[str, Any]:
    """From the typed configuration, less what a file need not hold.

    A file may leave out what the one it extends has, so nothing is required here; the jobs say what is missing.
    """
    schema = Pipeline.model_json_schema()
    properties = schema["properties"]
    del properties["name"]  # the file's own
    properties["extends"] = {
        "type": "string",
        "description": "The pipeline whose file this one is laid over.",
    }
    column = properties["columns"]["additionalProperties"]
    types = schema["$defs"]["Column"]["properties"]["type"]
    properties["columns"]["additionalProperties"] = {
        "anyOf": [types, column]
    }  # `miles: double` for short
    _require_nothing(schema)
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        **schema,
        "title": "A pipeline of batchml",
    }


def _require_nothing(node: Any) -> None:
    """But the ``kind`` by which an editor tells the forms of a source or a feature apart."""
    if isinstance(node, dict):
        if isinstance(node.get("required"), list):
            node["required"] = [name for name in node["required"] if name == "kind"]
        for value in node.values():
            _require_nothing(value)
    elif isinstance(node, list):
        for item in node:
            _require_nothing(item)


if __name__ == "__main__":
    sys.stdout.write(json.dumps(json_schema(), indent=1) + "\n")
