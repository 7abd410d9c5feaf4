"""The source file of the pipeline `iris`: Fisher's 150 irises."""

from pathlib import Path

from sklearn.datasets import load_iris

from local.samples.csv_file import write_csv


def write_iris(landing: Path) -> str:
    """Write scikit-learn's copy of the irises, in the form of the UCI archive (no header)."""
    bunch = load_iris()
    rows = []
    for values, kind in zip(bunch.data, bunch.target, strict=True):
        rows.append([*values, f"Iris-{bunch.target_names[kind]}"])
    write_csv(landing / "iris.csv", rows)
    return f"wrote the 150 irises that come with scikit-learn to {landing / 'iris.csv'}"
