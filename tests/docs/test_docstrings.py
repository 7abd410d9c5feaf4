"""Function docstrings open with a verb: D401 of ruff accepts the openings refused here."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PRODUCT = ("jobs", "dags", "local", "containers", "data")
NO_VERBS = """
A An The This That These Those It Its One Two Three
What Whether How Which Where When Why Who Whom Whose
Every Each All Any No None True False Only Also Same
By As In To Of On At For From With Without Until Unless If Between
"""
VERBS_IN_S = {
    "Access",
    "Address",
    "Assess",
    "Bypass",
    "Compress",
    "Cross",
    "Discuss",
    "Guess",
    "Pass",
    "Press",
    "Process",
}


def folders() -> list[str]:
    files = [file for top in PRODUCT for file in (ROOT / top).rglob("*.py")]
    return sorted({str(file.parent.relative_to(ROOT)) for file in files})


def openings(folder: str) -> Iterator[tuple[str, str]]:
    """Yield the place and the first word of each function's docstring."""
    for file in sorted((ROOT / folder).glob("*.py")):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) or is_property(node):
                continue
            text = ast.get_docstring(node)
            if text:
                yield f"{file.relative_to(ROOT)}:{node.lineno}", text.split()[0].strip(".,:;")


def is_property(node: ast.FunctionDef | ast.AsyncFunctionDef) -> bool:
    """Return True for a property, whose docstring may be a noun, as D401 allows."""
    names = [ast.unparse(decorator) for decorator in node.decorator_list]
    return any(name.endswith("property") for name in names)


def is_refused(word: str) -> bool:
    """Return True for an opening that is no verb.

    That is an article, a question word, a preposition, a quoted name, or anything in -s, which is
    a plural noun.
    """
    if word in NO_VERBS.split() or not word[0].isalpha():
        return True
    return word.endswith("s") and word not in VERBS_IN_S


def refused(folder: str) -> list[str]:
    return [f"{place}: {word}" for place, word in openings(folder) if is_refused(word)]


@pytest.mark.parametrize("folder", folders())
def test_docstrings_open_with_a_verb(folder: str):
    assert refused(folder) == []


@pytest.mark.parametrize("word", ["Whether", "How", "Rows", "The", "``path``", "Returns"])
def test_these_openings_are_refused(word: str):
    assert is_refused(word)


@pytest.mark.parametrize("word", ["Return", "Raise", "Process", "Pass"])
def test_verbs_are_accepted(word: str):
    assert not is_refused(word)
