"""Turn pydantic's errors into sentences that state the problem, the place and a remedy."""

import difflib
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from batchml.config import features, learning, pipeline, sources
from batchml.config.base import Closed
from batchml.config.patterns import WrongValue
from batchml.errors import BadConfig


def did_you_mean(name: str, known: Iterable[str]) -> tuple[str, ...]:
    """Return lines that list the expected names, and suggest the nearest if one is close."""
    names = list(known)
    lines: tuple[str, ...] = ()
    if names:
        lines = (f"expected one of: {', '.join(names)}",)
    return lines + _suggest(name, names)


def explain(error: ValidationError, raw: Mapping[str, Any], shown: str) -> BadConfig:
    """Return one BadConfig that names every discrepancy of the file ``shown``."""
    first, *others = [_sentence(detail, raw) for detail in error.errors()]
    details = first[1:]
    for problem in others:
        details.append(f"{shown}: {problem[0]}")
        details += [f"  {hint}" for hint in problem[1:]]
    return BadConfig(f"{shown}: {first[0]}", *details)


def _sentence(detail: ErrorDetails, raw: Mapping[str, Any]) -> list[str]:
    """Return the problem at one place, then hints."""
    context = detail.get("ctx", {})
    place = _place(detail["loc"], raw)
    value = detail["input"]
    match detail["type"]:
        case "extra_forbidden":
            found = [f"unknown key {place!r}", *_suggest(str(detail["loc"][-1]), _all_keys())]
        case "missing":
            found = [f"{place} is missing"]
        case "literal_error":
            found = [
                f"{place} is {value!r}",
                *did_you_mean(str(value), _split(context["expected"])),
            ]
        case "union_tag_invalid":
            tag = str(context["tag"])
            found = [
                f"{place}.kind is {tag!r}",
                *did_you_mean(tag, _split(context["expected_tags"])),
            ]
        case "union_tag_not_found":
            found = [f"{place}.kind is missing"]
        case "string_pattern_mismatch" if detail["loc"] == ("name",):
            found = [
                f"name is {value!r}",
                "a pipeline's name has lower-case letters, digits and _, and begins with a letter",
                "rename the file",
            ]
        case _ if _is_secret(place):
            found = [f"{place} is wrong", detail["msg"]]
        case "value_error" if isinstance(context["error"], pipeline.UnknownName):
            found = _misfit(context["error"])
        case "value_error" if isinstance(context["error"], WrongValue):
            found = [f"{place}: {context['error']}"]
        case _:
            found = [f"{place} is {value!r}", detail["msg"]]
    return found


def _is_secret(place: str) -> bool:
    """Return True if the value at ``place`` may be a password, which no message shows."""
    return place.startswith("source.headers") or place.endswith("password")


def _misfit(found: pipeline.UnknownName) -> list[str]:
    if found.problem:
        return [
            f"{found.place}: {found.value!r} {found.problem}"
            if found.value
            else f"{found.place} {found.problem}"
        ]
    return [
        f"{found.place} names {found.value!r}, which is not known",
        *did_you_mean(found.value, found.expected),
    ]


def _place(location: tuple[int | str, ...], raw: Any) -> str:
    """Return the dotted path in the file. Pydantic's also contains the chosen kind of a union."""
    parts: list[str] = []
    for part in location[:-1]:
        inside = isinstance(raw, Mapping) and part in raw
        indexed = isinstance(raw, list | tuple) and isinstance(part, int)
        if inside or indexed:
            raw = raw[part]
            parts.append(str(part))
    if location:
        parts.append(str(location[-1]))
    return ".".join(parts)


def _split(quoted: str) -> list[str]:
    return [name.strip(" '") for name in quoted.replace(" or ", ", ").split(",")]


def _suggest(name: str, known: Sequence[str]) -> tuple[str, ...]:
    close = difflib.get_close_matches(name, known, n=1)
    if not close:
        return ()
    return (f"did you mean {close[0]!r}?",)


def _all_keys() -> list[str]:
    """Return every key that a pipeline's YAML may have, in alphabetical order."""
    keys: set[str] = set()
    for module in (pipeline, learning, features, sources):
        for part in vars(module).values():
            if isinstance(part, type) and issubclass(part, Closed):
                keys.update(part.model_fields)
    return sorted(keys)
