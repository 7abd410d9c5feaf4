"""Model code of one's own: two commits give two models, each reproducible from its own."""

from pathlib import Path

import pytest
import yaml

from batchml.errors import BadConfig
from tests.support.repositories import commit, two_commits
from tests.support.rides import END, RIDES


@pytest.fixture
def pinned(bench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Rides whose model is code of a repository, and its two commits."""
    repository = tmp_path / "models.git"
    commits = two_commits(repository)
    monkeypatch.setenv("BATCHML_CODE_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("BATCHML_CONF", str(bench.conf))
    (bench.conf / "repositories.yaml").write_text(yaml.safe_dump([str(repository)]))
    estimator = {
        "kind": "git",
        "repository": str(repository),
        "ref": "main",
        "entry": "models.linear:build",
    }
    bench.write_pipeline("rides", {**RIDES, "estimator": estimator})
    return bench, repository, commits


def test_model_is_reproduced_from_its_commit(
    pinned,
):
    bench, repository, (first, second) = pinned
    errors = {}
    for ref in (first, "main"):
        bench.run("train_model", "rides", END, settings=(f"estimator.ref='{ref}'",))
        judged = bench.run("evaluate_model", "rides", END).details.metrics
        errors[ref] = judged["challenger"]["rmse"]
    assert errors[first] < 0.1
    assert errors["main"] > 5
    tracker = bench.tracker("rides")
    records = [tracker.record(tracker.get(number)) for number in (1, 2)]
    assert [record.model_code.commit for record in records] == [first, second]
    assert tracker.get(1).tags["model_code"] == f"{repository}@{first}"

    commit(repository, {"models/settings.py": "SHRINKAGE = 5.0\n"})
    again = bench.run("train_model", "rides", END, options={"reproduce": 2})
    assert again.details.reason.endswith("are the same within 1e-09")


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        ("models.linear:model", r"returns a builtins.str\n  expected an unfitted estimator"),
        ("models.linear:fails", "ZeroDivisionError: as it is"),
    ],
)
def test_invalid_model_code_creates_no_run(pinned, entry: str, message: str):
    bench, _, _ = pinned
    with pytest.raises(BadConfig, match=message):
        bench.run("train_model", "rides", END, settings=(f"estimator.entry='{entry}'",))
    assert bench.tracker("rides").versions() == {}
