"""The folder of real source files, next to the checkout."""

from pathlib import Path

REAL_DATA = Path(__file__).resolve().parents[3] / "shared" / "data"
