"""Checks that hold on every row of the file, as Spark SQL: what departs from them later is worth a look."""

import re
import unicodedata
from dataclasses import dataclass

from batchml.new.choose import Plan
from batchml.new.columns import Column

MOST_CHECKS = 20  # of numbers, and of categories
CLOSED = 12  # categories of so many values are taken to be all there are
MOST_CLASSES_LISTED = 20
# What Spark takes for a value or a function even where a column has that name.
WORDS = {"true", "false", "null", "current_path"}


@dataclass(frozen=True)
class Fact:
    """A check, and whether a row that fails it is kept apart or only told of."""

    name: str
    expect: str
    rejects: bool = False


def facts(plan: Plan) -> tuple[list[Fact], int]:
    """The checks, and how many more numbers were never negative either."""
    inputs = {*plan.numeric, *plan.categorical}
    columns = [column for column in plan.columns if column.name in inputs]
    positive = [column for column in columns if column.is_number and column.range[0] >= 0]
    closed = [column for column in columns if column.type == "string" and column.distinct <= CLOSED]
    found = _of_label(plan.label, is_class=plan.task == "classification")
    found += [
        Fact(
            f"{_slug(column.name)}_is_not_negative",
            _unless_missing(column, f"{sql_name(column.name)} >= 0"),
        )
        for column in positive[:MOST_CHECKS]
    ]
    found += [
        Fact(f"{_slug(column.name)}_is_a_known_one", _unless_missing(column, _is_in(column)))
        for column in closed[:MOST_CHECKS]
    ]
    return _with_names_of_their_own(found), max(0, len(positive) - MOST_CHECKS)


def _of_label(label: Column, *, is_class: bool) -> list[Fact]:
    name, slug = sql_name(label.name), _slug(label.name)
    known = f"{name} IS NOT NULL"
    if label.type == "double":
        known = f"{known} AND NOT isnan({name})"
    # Rows whose label is yet to come can be scored; where every row has one, a row without is an error.
    found = [Fact(f"{slug}_is_known", known, rejects=not label.missing)]
    if is_class and label.distinct <= MOST_CLASSES_LISTED:
        found.append(
            Fact(f"{slug}_is_a_class", _unless_missing(label, _is_in(label)), rejects=True)
        )
    if not is_class and label.range[0] >= 0:
        found.append(Fact(f"{slug}_is_not_negative", _unless_missing(label, f"{name} >= 0")))
    return found


def sql_name(name: str) -> str:
    """A column in Spark SQL, in backticks where it needs them."""
    is_plain = re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", name) and name.lower() not in WORDS
    return name if is_plain else f"`{name}`"


def _unless_missing(column: Column, fact: str) -> str:
    return f"{sql_name(column.name)} IS NULL OR {fact}" if column.missing else fact


def _is_in(column: Column) -> str:
    return f"{sql_name(column.name)} IN ({', '.join(_literal(value) for value in sorted(column.counts))})"


def _literal(value: object) -> str:
    if not isinstance(value, str):
        return str(value)
    escaped = value.replace("\\", "\\\\").replace("'", "\\'")
    return f"'{escaped}'"


def _slug(name: str) -> str:
    """A column's name as the beginning of a check's: small letters of ASCII."""
    plain = (
        unicodedata.normalize("NFKD", name.replace("ß", "ss")).encode("ascii", "ignore").decode()
    )
    snake = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", plain).lower()
    slug = re.sub(r"[^a-z0-9]+", "_", snake).strip("_")
    return slug if slug[:1].isalpha() else f"column_{slug}".rstrip("_")


def _with_names_of_their_own(found: list[Fact]) -> list[Fact]:
    named: dict[str, Fact] = {}
    for fact in found:
        names = (fact.name, *(f"{fact.name}_{n}" for n in range(2, len(found) + 2)))
        name = next(tried for tried in names if tried not in named)
        named[name] = Fact(name, fact.expect, fact.rejects)
    return list(named.values())
