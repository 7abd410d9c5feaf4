"""Match the columns of a source to the declared ones by name."""

import difflib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from batchml.config.columns import Column as Declared
from batchml.errors import BadData


@dataclass(frozen=True)
class Matched:
    """The column of a source behind each declared one, None for one that is absent."""

    columns: dict[str, str | None]
    differences: tuple[str, ...]
    undeclared: tuple[str, ...]
    problems: tuple[str, ...]
    """One for each column that is missing and not optional."""


def match(received: Iterable[str], declared: Mapping[str, Declared], where: str) -> Matched:
    """Match the ``declared`` columns to the names of a source.

    Case and surrounding spaces do not matter. Raise BadData that lists every doubled name.
    """
    by_folded = _unique_names(received, where)
    columns: dict[str, str | None] = {}
    differences: list[str] = []
    missing: list[str] = []
    for name, declaration in declared.items():
        expected = declaration.name_in_source(name)
        spelling = by_folded.get(folded(expected))
        columns[name] = spelling
        if spelling is None and declaration.optional:
            differences.append(f"{name} is absent, read as null")
        elif spelling is None:
            missing.append(name)
        elif spelling != expected:
            differences.append(f"{name} is spelled {spelling!r}")

    declared_names = set(columns.values())
    undeclared = [name for name in by_folded.values() if name not in declared_names]
    problems = [_missing(name, declared[name], undeclared) for name in missing]
    return Matched(
        columns=columns,
        differences=tuple(differences),
        undeclared=tuple(undeclared),
        problems=tuple(problems),
    )


def _unique_names(received: Iterable[str], where: str) -> dict[str, str]:
    """Return the names of a source by their folded form. Raise BadData if one occurs twice."""
    spellings: dict[str, list[str]] = {}
    for name in received:
        spellings.setdefault(folded(name), []).append(name)
    doubled = [names for names in spellings.values() if len(names) > 1]
    if doubled:
        raise BadData(
            f"{where}: a column occurs twice",
            *map(_all_of, doubled),
            remedy="correct the file: names must differ in more than case and surrounding spaces",
        )
    return {key: names[0] for key, names in spellings.items()}


def _all_of(names: Iterable[str]) -> str:
    return " and ".join(repr(name) for name in names)


def other_columns(where: str, problems: Iterable[str]) -> BadData:
    """Return the error for a source that does not have the declared columns."""
    return BadData(
        f"{where}: the file does not have the declared columns",
        *problems,
        remedy="correct the file, or the declared columns in the pipeline's YAML (from: NAME for "
        "another name in the source, optional: true for a column that may be absent, type: for "
        "its real type)",
    )


def _missing(name: str, declaration: Declared, others: Iterable[str]) -> str:
    expected = declaration.name_in_source(name)
    problem = f"column {expected!r} is missing (declared as {declaration.type})"
    candidates = {folded(other): other for other in others}
    nearest = difflib.get_close_matches(folded(expected), candidates, n=1, cutoff=0.5)
    if nearest:
        return f"{problem}; the nearest is {candidates[nearest[0]]!r}"
    if candidates:
        names = ", ".join(sorted(candidates.values()))
        return f"{problem}; there is {names}"
    return problem


def folded(name: str) -> str:
    """Return the part of a name that distinguishes it, without case and surrounding spaces."""
    return name.strip().casefold()
