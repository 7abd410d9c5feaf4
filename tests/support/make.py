"""Make targets, run by tests that may themselves run under make."""

import os
import subprocess
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def run_make(*words: str) -> str:
    """Return the output of ``make`` with these targets and variables.

    The settings of a make that runs the tests do not apply. Fail with both outputs if make does.
    """
    environment = {name: text for name, text in os.environ.items() if not name.startswith("MAKE")}
    done = subprocess.run(
        ["make", "--no-print-directory", *words],
        capture_output=True,
        text=True,
        check=False,
        cwd=ROOT,
        env=environment,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout
