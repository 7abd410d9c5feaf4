"""Model code fetched from real repositories and imported from one commit only."""

from pathlib import Path

import pytest

from batchml.clients.git_code import fetch, load
from batchml.config import Estimator, allowed_repositories, conf_folder, load_pipeline
from batchml.errors import BadConfig, Unavailable
from orchestration.pipeline_dag import build_dag
from tests.support.repositories import commit, git, two_commits


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("BATCHML_CODE_CACHE", str(tmp_path / "cache"))
    return tmp_path / "models.git"


def code(repository: Path, ref: str, entry: str = "models.settings:int", commit: str | None = None):
    estimator = Estimator(kind="git", repository=str(repository), ref=ref, entry=entry)
    return fetch(estimator, [str(repository)], commit)


def shrinkage(found) -> float:
    return load(found).__globals__["SHRINKAGE"]


def test_every_ref_imports_its_own_modules(
    repository: Path,
):
    first, second = two_commits(repository)
    git(repository, "tag", "v1", first)
    entry = "models.linear:build"
    assert [code(repository, ref).commit for ref in ("main", "v1", first, first[:10])] == [
        second,
        first,
        first,
        first,
    ]
    assert [shrinkage(code(repository, ref, entry)) for ref in ("main", "v1", "main")] == [
        1e6,
        0.0,
        1e6,
    ]


def test_given_commit_overrides_the_newest(repository: Path):
    first, second = two_commits(repository)
    assert code(repository, "main").commit == second
    third = commit(repository, {"models/settings.py": "SHRINKAGE = 2.0\n"})
    assert code(repository, "main").commit == third
    assert code(repository, "main", commit=first).commit == first
    assert not list((repository.parent / "cache").rglob("tmp*")), "nothing half made is left"


def test_other_kinds_need_no_code():
    assert fetch(Estimator(kind="linear"), []) is None
    assert load(None) is None


def test_wrong_configuration_is_named(repository: Path):
    two_commits(repository)
    unlisted = Estimator(
        kind="git", repository="https://example.org/x.git", ref="main", entry="a:b"
    )
    with pytest.raises(
        BadConfig, match=r"'https://example.org/x.git', which conf/repositories.yaml does not list"
    ):
        fetch(unlisted, [str(repository)])
    with pytest.raises(BadConfig, match=r"has no 'release'\n  its branches: main"):
        code(repository, "release")
    for entry, problem in (
        ("models.trees:build", "ModuleNotFoundError: No module named 'models.trees'"),
        ("models.linear:train", "the module has no function 'train'"),
        ("json:loads", "there is no module 'json', or one of that name hides it"),
    ):
        with pytest.raises(BadConfig, match=problem):
            load(code(repository, "main", entry))


def test_unreachable_repository_is_unavailable(repository: Path):
    with pytest.raises(Unavailable, match=r"models.git cannot be fetched"):
        code(repository, "main")


def test_mirror_with_stale_lock_is_cloned_again(repository: Path):
    _, second = two_commits(repository)
    assert code(repository, "main").commit == second
    (mirror,) = (repository.parent / "cache").glob("*/HEAD")
    (mirror.parent / "refs" / "heads").mkdir(parents=True, exist_ok=True)
    (mirror.parent / "refs" / "heads" / "main.lock").touch()
    third = commit(repository, {"models/settings.py": "SHRINKAGE = 2.0\n"})
    assert code(repository, "main").commit == third
    assert not list((repository.parent / "cache").rglob("tmp*"))


def test_hanging_git_is_unavailable(repository: Path, monkeypatch: pytest.MonkeyPatch):
    script = repository.parent / "bin" / "git"
    script.parent.mkdir()
    script.write_text("#!/bin/sh\nexec sleep 60\n")
    script.chmod(0o755)
    monkeypatch.setenv("PATH", str(script.parent), prepend=":")
    monkeypatch.setattr("batchml.clients.git_code.SECONDS_FOR_GIT", 0.2)
    with pytest.raises(Unavailable, match=r"has not ended after 0\.2 s"):
        code(repository, "main")


def test_git_option_is_refused_as_ref():
    with pytest.raises(ValueError, match="ref"):
        Estimator(kind="git", repository="r", ref="--upload-pack=x", entry="a:b")


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ("estimator={kind: git, repository: r}", "kind git requires repository, ref and entry"),
        ("estimator={kind: linear, ref: main}", "ref: only of kind git"),
    ],
)
def test_incomplete_git_estimator_is_refused(settings: str, message: str):
    with pytest.raises(BadConfig, match=message):
        load_pipeline("taxi", conf_folder(), [settings])


def test_allowed_repositories_are_an_optional_list(tmp_path: Path):
    assert allowed_repositories(conf_folder()) == ()
    assert allowed_repositories(tmp_path) == ()
    (tmp_path / "repositories.yaml").write_text("one: two")
    with pytest.raises(BadConfig, match="expected a list of addresses"):
        allowed_repositories(tmp_path)


def test_trigger_form_sets_the_ref():
    setting = "estimator={kind: git, repository: r, ref: main, entry: 'models:build'}"
    dag = build_dag(load_pipeline("taxi", conf_folder(), [setting]))
    task = dag.get_task("train_model")
    for given, ref in (("1234567", "1234567"), (None, "main")):
        words = task.render_template(task.application_args[-2:], {"params": {"model_ref": given}})
        assert words == ["--set", f"estimator.ref='{ref}'"]
    assert (
        load_pipeline("taxi", conf_folder(), [setting, "estimator.ref='1234567'"]).estimator.ref
        == "1234567"
    )
    assert "model_ref" not in build_dag(load_pipeline("taxi", conf_folder())).params
