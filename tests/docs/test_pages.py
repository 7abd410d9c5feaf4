"""Check limits, links and tables of the Markdown pages, and the files for contributors."""

import hashlib
import re
import shlex
import tomllib
from pathlib import Path

import pytest
import yaml

from batchml import errors
from batchml.config import load_pipeline
from tests.docs.documented import ROOT, anchors, blocks, links, pages, paths, prose, table

README = (ROOT / "README.md").read_text()
ARCHITECTURE = (ROOT / "docs" / "architecture.md").read_text()
DECISIONS = sorted((ROOT / "docs" / "decisions").glob("0*.md"))
# Files and folders that the reader or a run creates.
EXAMPLES = {"conf/pipelines/sales.yaml", "jobs/verb_noun.py", "landing/", "steps/verb_noun.py"}
APACHE_2 = "cfc7749b96f63bd31c3c42b5c471bf756814053e847c10f3eb003417bc523d30"


def name_of(page: Path) -> str:
    return str(page.relative_to(ROOT))


def test_readme_is_short():
    assert len(README.splitlines()) <= 120
    assert len(README.split()) <= 1200


@pytest.mark.parametrize("page", pages(), ids=name_of)
def test_links_lead_to_existing_targets(page: Path):
    broken = []
    for link in links(page.read_text()):
        name, _, anchor = link.partition("#")
        target = (page.parent / name).resolve() if name else page
        if not target.exists() or (anchor and anchor not in anchors(target.read_text())):
            broken.append(link)
    assert broken == []


def test_every_page_is_linked_from_another():
    linked = set()
    for page in pages():
        names = [link.partition("#")[0] for link in links(page.read_text())]
        linked.update((page.parent / name).resolve() for name in names if name)
    unlinked = set(pages()) - linked - {ROOT / "README.md", ROOT / "data" / "README.md"}
    # A link to a folder shows its README.
    assert [
        page for page in unlinked if page.parent not in linked or page.name != "README.md"
    ] == []


def test_paths_to_pages_in_code_exist():
    missing = []
    for folder in ("jobs", "dags", "local", "containers", "conf", "tests"):
        for path in (ROOT / folder).rglob("*"):
            if path.suffix in {".py", ".yaml", ".conf", ".properties"}:
                named = re.findall(r"\bdocs/[\w./-]+\.(?:md|png)", path.read_text())
                missing += [name for name in named if not (ROOT / name).exists()]
    assert missing == []


@pytest.mark.parametrize("page", pages(), ids=name_of)
def test_paths_named_on_pages_exist(page: Path):
    missing = []
    for path in paths(page.read_text()):
        places = (ROOT / path, ROOT / "jobs" / "batchml" / path)
        if path not in EXAMPLES and not any(place.exists() for place in places):
            missing.append(path)
    assert missing == []


def test_every_picture_is_shown_on_a_page():
    shown = set()
    for page in pages():
        shown.update((page.parent / link).resolve() for link in links(page.read_text()))
    assert set((ROOT / "docs" / "images").iterdir()) <= shown


def test_yaml_snippets_are_valid(tmp_path: Path):
    snippets = []
    for page in pages():
        snippets += blocks(page.read_text(), "yaml")
    (complete,) = [snippet for snippet in snippets if snippet.startswith("# conf/pipelines/")]
    folder = tmp_path / "pipelines"
    folder.mkdir()
    (folder / "complete.yaml").write_text(complete)
    for snippet in snippets:
        (folder / "snippet.yaml").write_text(f"extends: complete\n{snippet}")
        assert load_pipeline("snippet", tmp_path).name == "snippet"


def test_architecture_lists_every_job():
    rows = table(ARCHITECTURE, "| job | reads |")
    jobs = {path.stem for path in (ROOT / "jobs").glob("*.py")}
    assert {row[0].strip("`") for row in rows} == jobs


def test_architecture_lists_every_exit_code():
    kinds = [errors.PipelineError, *errors.PipelineError.__subclasses__()]
    codes = {str(kind.exit_code) for kind in kinds}
    assert {row[0] for row in table(ARCHITECTURE, "| code | meaning |")} == codes | {"0"}


@pytest.mark.parametrize("record", DECISIONS, ids=name_of)
def test_decision_record_has_the_three_headings(record: Path):
    text = record.read_text()
    number = int(record.name[:4])
    assert re.match(rf"# {number}\. \S", text)
    headings = re.findall(r"^## (.*)$", prose(text), re.MULTILINE)
    assert headings[:3] == ["Context", "Decision", "Consequences"]
    assert all(heading.startswith("Appendix") for heading in headings[3:])


def test_decision_index_lists_every_record():
    rows = table((ROOT / "docs" / "decisions" / "README.md").read_text(), "| record |")
    listed = {}
    for link, title in rows:
        (file,) = re.findall(r"\((.*)\)", link)
        listed[file] = title
    titles = {}
    for record in DECISIONS:
        first = record.read_text().splitlines()[0]
        titles[record.name] = first.split(". ", 1)[1]
    assert listed == titles


def test_license_is_the_text_of_apache_2():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert project["license"] == "Apache-2.0"
    assert hashlib.sha256((ROOT / "LICENSE").read_bytes()).hexdigest() == APACHE_2


def test_pre_commit_runs_the_lint_of_ci():
    (hooks,) = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text())["repos"]
    entries = [hook["entry"].removeprefix("env ") for hook in hooks["hooks"]]
    makefile = (ROOT / "Makefile").read_text()
    recipe = re.search(r"^lint:.*\n((?:\t.*\n)+)", makefile, re.MULTILINE)
    assert recipe is not None
    lines = [line.strip().lstrip("@") for line in recipe[1].splitlines()]
    assert entries == [line.replace("$(BIN)", ".venv/bin") for line in lines]
    # Nothing is downloaded.
    assert hooks["repo"] == "local"
    assert {hook["language"] for hook in hooks["hooks"]} == {"system"}


def test_github_workflow_calls_ci_run():
    workflow = yaml.safe_load((ROOT / ".github" / "workflows" / "ci.yaml").read_text())
    steps = workflow["jobs"]["test"]["steps"]
    assert shlex.split(steps[-1]["run"]) == [".ci/run"]
