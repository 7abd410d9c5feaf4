"""Run the benchmark of models on few rows: that of tables is part of CI."""

import re

from tests.support.make import run_make


def test_model_bench_prints_ratio_per_job():
    output = run_make("bench", "ROWS=50000", "RUNS=1", "PARTS=models")
    jobs = re.findall(r"^ratio [\d.]+ of (\w+) to ", output, re.M)
    assert jobs == ["train_model", "evaluate_model", "score_batch", "monitor_drift"]
