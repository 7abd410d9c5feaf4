"""Turn pydantic's errors into sentences that state the problem, the place and a remedy."""

import difflib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from batchml.config import features, learning, pipeline, sources
from batchml.config.base import Closed
from batchml.config.consistency import UnknownName
from batchml.config.patterns import WrongValue
from batchml.errors import BadConfig

NAME_HINTS = (
    "a pipeline's name has lower-case letters, digits and _, and begins with a letter",
    "rename the file",
)


@dataclass(frozen=True)
class Discrepancy:
    """A problem at one place of a file, and hints to solve it."""

    problem: str
    hints: tuple[str, ...] = ()


def did_you_mean(name: str, known: Iterable[str]) -> tuple[str, ...]:
    """Return lines that list the expected names, and suggest the nearest if one is close."""
    names = list(known)
    lines: tuple[str, ...] = ()
    if names:
        lines = (f"expected one of: {', '.join(names)}",)
    return lines + _suggest(name, names)


def explain(error: ValidationError, raw: Mapping[str, Any], shown: str) -> BadConfig:
    """Return one BadConfig that names every discrepancy of the file ``shown``."""
    first, *others = [_describe(detail, raw) for detail in error.errors()]
    details = list(first.hints)
    for other in others:
        details.append(f"{shown}: {other.problem}")
        details += [f"  {hint}" for hint in other.hints]
    return BadConfig(f"{shown}: {first.problem}", *details)


def _describe(detail: ErrorDetails, raw: Mapping[str, Any]) -> Discrepancy:
    context = detail.get("ctx", {})
    place = _place(detail["loc"], raw)
    problem = f"{place} is {detail['input']!r}"
    hints: tuple[str, ...] = (detail["msg"],)
    match detail["type"]:
        case "extra_forbidden":
            problem = f"unknown key {place!r}"
            hints = _suggest_key(str(detail["loc"][-1]))
        case "missing":
            problem, hints = f"{place} is missing", ()
        case "literal_error":
            hints = did_you_mean(str(detail["input"]), _split(context["expected"]))
        case "union_tag_invalid":
            tag = str(context["tag"])
            problem = f"{place}.kind is {tag!r}"
            hints = did_you_mean(tag, _split(context["expected_tags"]))
        case "union_tag_not_found":
            problem, hints = f"{place}.kind is missing", ()
        case "string_pattern_mismatch" if detail["loc"] == ("name",):
            hints = NAME_HINTS
        case _ if _is_secret(place):
            problem = f"{place} is wrong"
        case "value_error" if isinstance(context["error"], UnknownName):
            return _describe_misfit(context["error"])
        case "value_error" if isinstance(context["error"], WrongValue):
            problem, hints = f"{place}: {context['error']}", ()
    return Discrepancy(problem, hints)


def _is_secret(place: str) -> bool:
    """Return True if the value at ``place`` may be a password, which no message shows."""
    return place.startswith("source.headers") or place.endswith("password")


def _describe_misfit(error: UnknownName) -> Discrepancy:
    if not error.problem:
        problem = f"{error.place} names {error.value!r}, which is not known"
        return Discrepancy(problem, did_you_mean(error.value, error.expected))
    if not error.value:
        return Discrepancy(f"{error.place} {error.problem}")
    return Discrepancy(f"{error.place}: {error.value!r} {error.problem}")


def _place(location: tuple[int | str, ...], raw: Any) -> str:
    """Return the dotted path in the file. Pydantic's also contains the chosen kind of a union."""
    parts: list[str] = []
    for part in location[:-1]:
        is_key = isinstance(raw, Mapping) and part in raw
        is_index = isinstance(raw, list | tuple) and isinstance(part, int)
        if is_key or is_index:
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


def _suggest_key(name: str) -> tuple[str, ...]:
    keys = _all_keys()
    if name in keys:
        return ("a key of this name belongs to another section or kind",)
    return _suggest(name, keys)


def _all_keys() -> list[str]:
    """Return every key that a pipeline's YAML may have, in alphabetical order."""
    keys: set[str] = set()
    for module in (pipeline, learning, features, sources):
        for part in vars(module).values():
            if isinstance(part, type) and issubclass(part, Closed):
                keys.update(part.model_fields)
    return sorted(keys)
