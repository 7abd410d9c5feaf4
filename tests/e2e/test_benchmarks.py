"""Run the benchmark on few rows and check what it prints."""

import re

from tests.make import run_make


def test_bench_prints_medians_memory_and_ratio():
    output = run_make("bench", "ROWS=20000", "RUNS=1")
    for part in ("bare ingest", "bare features", "ingest", "build_features"):
        found = re.search(rf"^ +{part}  median +([\d.]+) s, at most ([\d.]+) GB", output, re.M)
        assert found, output
        assert float(found[1]) > 1
        assert 0.2 < float(found[2]) < 4
    assert re.search(r"^ratio [\d.]+$", output, re.M)
