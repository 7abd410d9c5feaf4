"""Suggest checks in Spark SQL that hold on every row of the file."""

import re
import unicodedata
from dataclasses import dataclass, replace

from batchml.new.column import Column
from batchml.new.csv_text import snake_case
from batchml.new.plan import Plan

MAX_CHECKS = 20  # of numbers, and of categories
MAX_CATEGORIES = 12  # a column with at most so many values is taken to have no others
MAX_CLASSES = 20
# Spark reads these as a value or a function even if a column has that name.
RESERVED_WORDS = {"true", "false", "null", "current_path"}


@dataclass(frozen=True)
class Check:
    """A check. If it ``rejects``, rows that fail it are quarantined, otherwise only counted."""

    name: str
    expect: str
    rejects: bool = False


def suggest(plan: Plan) -> tuple[list[Check], int]:
    """Return the checks, and how many more inputs were never negative."""
    positive = []
    few_texts = []
    for column in plan.columns:
        if column.name in plan.numeric and column.range[0] >= 0:
            positive.append(_not_negative(column))
        if column.name in plan.categorical and column.distinct <= MAX_CATEGORIES:
            few_texts.append(_known_value(column))
    checks = _of_label(plan.label, is_class=plan.task == "classification")
    checks += positive[:MAX_CHECKS] + few_texts[:MAX_CHECKS]
    return _with_unique_names(checks), max(0, len(positive) - MAX_CHECKS)


def sql_name(name: str) -> str:
    """Return a column in Spark SQL, in backticks if it needs them."""
    is_plain = re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", name)
    if is_plain and name.lower() not in RESERVED_WORDS:
        return name
    return f"`{name}`"


def _of_label(label: Column, *, is_class: bool) -> list[Check]:
    name = sql_name(label.name)
    slug = _slug(label.name)
    known = f"{name} IS NOT NULL"
    if label.type == "double":
        known += f" AND NOT isnan({name})"
    # Rows without a label can be scored, so they are rejected only if the file has none.
    checks = [Check(f"{slug}_is_known", known, rejects=not label.missing)]
    if is_class and label.distinct <= MAX_CLASSES:
        expect = _unless_missing(label, _is_in(label))
        checks.append(Check(f"{slug}_is_a_class", expect, rejects=True))
    if not is_class and label.range[0] >= 0:
        checks.append(_not_negative(label))
    return checks


def _not_negative(column: Column) -> Check:
    expect = _unless_missing(column, f"{sql_name(column.name)} >= 0")
    return Check(f"{_slug(column.name)}_is_not_negative", expect)


def _known_value(column: Column) -> Check:
    return Check(f"{_slug(column.name)}_is_a_known_one", _unless_missing(column, _is_in(column)))


def _unless_missing(column: Column, condition: str) -> str:
    if column.missing:
        return f"{sql_name(column.name)} IS NULL OR {condition}"
    return condition


def _is_in(column: Column) -> str:
    literals = [_literal(value) for value in sorted(column.counts)]
    return f"{sql_name(column.name)} IN ({', '.join(literals)})"


def _literal(value: object) -> str:
    if not isinstance(value, str):
        return str(value)
    escaped = value.replace("\\", "\\\\").replace("'", "\\'")
    return f"'{escaped}'"


def _slug(name: str) -> str:
    """Return a column's name in lower-case ASCII, for the beginning of a check's name."""
    decomposed = unicodedata.normalize("NFKD", name.replace("ß", "ss"))
    plain = decomposed.encode("ascii", "ignore").decode()
    slug = re.sub(r"[^a-z0-9]+", "_", snake_case(plain)).strip("_")
    if slug[:1].isalpha():
        return slug
    return f"column_{slug}".rstrip("_")


def _with_unique_names(checks: list[Check]) -> list[Check]:
    unique: dict[str, Check] = {}
    for check in checks:
        name = check.name
        attempt = 1
        while name in unique:
            attempt += 1
            name = f"{check.name}_{attempt}"
        unique[name] = replace(check, name=name)
    return list(unique.values())
