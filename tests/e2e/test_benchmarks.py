"""Run the benchmark on few rows and check what it prints."""

import re

import pytest

from tests.support.make import run_make
from tests.support.workbench import JAVA_OPTIONS


def test_bench_prints_its_measurements(monkeypatch: pytest.MonkeyPatch):
    # Its figures mean nothing on so few rows: the quick compiler, and plans that are interpreted.
    monkeypatch.setenv("JDK_JAVA_OPTIONS", f"{JAVA_OPTIONS} -XX:TieredStopAtLevel=1")
    output = run_make("bench", "ROWS=5000", "RUNS=1", "PARTS=tables")
    for part in ("bare ingest", "bare features", "ingest", "build_features"):
        found = re.search(rf"^ +{part}  median +([\d.]+) s, at most ([\d.]+) GB", output, re.M)
        assert found, output
        assert float(found[1]) > 1
        assert 0.2 < float(found[2]) < 4
    ratio = r"^ratio [\d.]+ of ingest and build_features to bare ingest and bare features$"
    assert re.search(ratio, output, re.M)
