"""Run preflight on the session of the tests: every failed check is listed with its remedy."""

import time
from dataclasses import replace
from pathlib import Path

import pytest

from batchml.context import Run, Summary
from batchml.errors import Unavailable
from batchml.steps import preflight
from tests.support.workbench import Workbench


def run(workbench: Workbench, **places: str) -> Summary:
    where = replace(workbench.places, **places)
    job = Run(
        job="preflight",
        code_version="test",
        places=where,
        session=workbench.spark,
        clock=time.monotonic,
        now=time.time,
    )
    return preflight.run(job)


def test_preflight_leaves_nothing_behind(workbench: Workbench):
    details = run(workbench).details
    assert details.executors == "1 of 1 answered"
    assert details.lake == f"{workbench.places.lake}: wrote 1000 rows, read 1000 back"
    assert details.mlflow.endswith("an artifact comes back unchanged")
    assert list(Path(workbench.places.lake, "_preflight").iterdir()) == []
    assert workbench.tracker("preflight").client.search_runs(["1"]) == []


def test_preflight_reports_all_failures_at_once(
    workbench: Workbench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("BATCHML_SPARK_MASTER_PAGE", "http://127.0.0.1:9")
    with pytest.raises(Unavailable) as failed:
        run(workbench, lake=f"{tmp_path}/file/lake", tracking_uri="http://127.0.0.1:9")
    text = str(failed.value)
    assert text.startswith("3 of 3 checks failed")
    for expected in (
        "executors: the Spark master's page http://127.0.0.1:9 does not respond",
        f"lake: {tmp_path}/file/lake/_preflight",
        "mlflow: MLflow at http://127.0.0.1:9 failed",
        "check that the master runs",
        "check that the place exists",
        "check that the server runs",
    ):
        assert expected in text
