"""Read YAML strictly: a key that occurs twice, or an invalid character, is an error."""

import re
from typing import Any

import yaml

from batchml.errors import BadConfig

# Neither Airflow's database nor a log can hold these.
NO_TEXT = re.compile("[\x00\ud800-\udfff]")


class Strict(yaml.constructor.SafeConstructor):
    """PyYAML's construction of values, which by itself takes the last of two equal keys."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        """Return a mapping. Raise ConstructorError for a key that occurs twice."""
        seen: set[str] = set()
        for key, _ in node.value:
            if isinstance(key, yaml.ScalarNode) and key.value in seen:
                problem = f"the key {key.value!r} occurs twice"
                raise yaml.constructor.ConstructorError(None, None, problem, key.start_mark)
            seen.add(str(key.value))
        return super().construct_mapping(node, deep)

    def construct_scalar(self, node: yaml.ScalarNode | yaml.MappingNode) -> str:
        """Return a scalar. Raise ConstructorError for one that no text file can hold."""
        text = str(super().construct_scalar(node))
        if NO_TEXT.search(text):
            problem = f"{text!r} has characters that text cannot contain"
            raise yaml.constructor.ConstructorError(None, None, problem, node.start_mark)
        return text


class StrictLoader(Strict, yaml.SafeLoader):
    """The loader in Python. Its errors show the line."""


class FastLoader(Strict, getattr(yaml, "CSafeLoader", yaml.SafeLoader)):  # type: ignore[misc]
    """The loader in C, which is ten times as fast. PyYAML may have been built without it."""


def parse_yaml(text: str, where: str) -> Any:
    """Return the value of ``text``. Raise BadConfig if it is not valid YAML."""
    try:
        return yaml.load(text, FastLoader)  # it is a SafeLoader
    except (yaml.YAMLError, ValueError, RecursionError):
        return _parse_slowly(text, where)


def _parse_slowly(text: str, where: str) -> Any:
    """Return the value as ``parse_yaml`` does, with an error that shows the line."""
    try:
        return yaml.load(text, StrictLoader)  # it is a SafeLoader
    # ValueError: a date such as 2024-13-45.
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise BadConfig(f"{where}: not valid YAML", *str(error).splitlines()) from error
