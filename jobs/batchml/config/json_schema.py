"""The JSON Schema of a pipeline's YAML, for editors that complete and check it.

`make schema` writes it.
"""

import json
import sys
from typing import Any

from batchml.config.pipeline import Pipeline


def json_schema() -> dict[str, Any]:
    """Return the schema of the typed configuration, adapted to a file.

    No key is required, because a file may leave out what the one it extends has. The jobs report
    what is missing.
    """
    schema = Pipeline.model_json_schema()
    properties = schema["properties"]
    # The file's own name is that of the pipeline.
    del properties["name"]
    properties["extends"] = {
        "type": "string",
        "description": "The pipeline whose file this one is laid over.",
    }
    # A column may also be its type alone, as in `miles: double`.
    column = properties["columns"]["additionalProperties"]
    type_ = schema["$defs"]["Column"]["properties"]["type"]
    properties["columns"]["additionalProperties"] = {"anyOf": [type_, column]}
    _require_nothing(schema)
    dialect = {"$schema": "https://json-schema.org/draft/2020-12/schema"}
    return dialect | schema | {"title": "A pipeline of batchml"}


def _require_nothing(node: Any) -> None:
    """Require no key but ``kind``, by which an editor distinguishes sources and features."""
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
