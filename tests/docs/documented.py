"""Read the project's Markdown pages: their code blocks, inline code, commands, headings, links."""

import re
import subprocess
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PROGRAMS = (
    ".ci/run",
    ".venv/bin/",
    "STACK_IMAGES=",
    "docker compose ",
    "git ",
    "make ",
    "pre-commit ",
    "python -m ",
    "spark-submit ",
)
SHELL_BUILTINS = (".", "cd", "export")
FENCE = re.compile(r"^```(\w*)\n(.*?)^```", re.MULTILINE | re.DOTALL)
INLINE_CODE = re.compile(r"`([^`\n]+)`")
PATH = re.compile(r"[\w.-]+/(?:[\w.-]+/)*(?:[\w.-]+\.(?:py|yaml|md|conf|lock|json|template))?")
LINK = re.compile(r"\]\(([^)\s]+)\)")
HEADING = re.compile(r"^#+ (.*)$", re.MULTILINE)


def pages() -> list[Path]:
    """Return every Markdown page of the project."""
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", "*.md"],
        capture_output=True,
        text=True,
        check=True,
        cwd=ROOT,
    )
    paths = [ROOT / name for name in listed.stdout.splitlines()]
    return [path for path in paths if path.exists()]


def blocks(text: str, *languages: str) -> list[str]:
    """Return the code blocks in one of ``languages``."""
    return [block for language, block in FENCE.findall(text) if language in languages]


def commands(text: str) -> list[str]:
    """Return the shell commands of a page, from code blocks and from inline code."""
    found = []
    for block in blocks(text, "sh", "bash"):
        for line in block.splitlines():
            command = squeeze(line.split(" # ")[0])
            if command and command.split()[0] not in SHELL_BUILTINS:
                found.append(command)
    for code in INLINE_CODE.findall(prose(text)):
        if code.startswith(PROGRAMS):
            found.append(squeeze(code))
    return found


def paths(text: str) -> list[str]:
    """Return the paths of code, configuration and pages in inline code, except generated files."""
    found = [code for code in INLINE_CODE.findall(prose(text)) if PATH.fullmatch(code)]
    return [path for path in found if not path.startswith("data/")]


def links(text: str) -> list[str]:
    """Return the targets of links and images that lead to a file or a heading."""
    targets = LINK.findall(prose(text))
    return [target for target in targets if "://" not in target]


def anchors(text: str) -> set[str]:
    """Return the anchors that GitHub derives from the headings of a page."""
    found = set()
    for heading in HEADING.findall(prose(text)):
        words = re.sub(r"[^\w\- ]", "", heading.lower())
        found.add(words.replace(" ", "-"))
    return found


def table(text: str, header: str) -> list[list[str]]:
    """Return the cells of the one table whose first line begins with ``header``, by row."""
    (lines,) = [part for part in text.split("\n\n") if part.startswith(header)]
    rows = []
    for line in lines.splitlines()[2:]:
        cells = line.strip().strip("|").split("|")
        rows.append([cell.strip() for cell in cells])
    return rows


def prose(text: str) -> str:
    """Return a page without its code blocks."""
    return FENCE.sub("", text)


def squeeze(text: str) -> str:
    """Return ``text`` with single spaces."""
    return " ".join(text.split())
