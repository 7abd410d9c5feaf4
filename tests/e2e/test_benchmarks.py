"""The benchmark on few rows: it runs both sides to their end and prints what it promises."""

import os
import re
import subprocess

from tests.e2e.local_stack import ROOT

WITHOUT_MAKE = {name: value for name, value in os.environ.items() if not name.startswith("MAKE")}


def test_bench_prints_medians_memory_and_ratio():
    done = subprocess.run(
        ["make", "--no-print-directory", "bench", "ROWS=20000", "RUNS=1"],
        capture_output=True,
        text=True,
        check=False,
        cwd=ROOT,
        env=WITHOUT_MAKE,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    for part in ("bare ingest", "bare features", "ingest", "build_features"):
        found = re.search(rf"^ +{part}  median +([\d.]+) s, at most ([\d.]+) GB", done.stdout, re.M)
        assert found, done.stdout
        assert float(found[1]) > 1
        assert 0.2 < float(found[2]) < 4
    assert re.search(r"^ratio [\d.]+$", done.stdout, re.M)
