"""Python's bytecode of the installed packages, made once: `bytecode.py VENV`. Needs the standard library only.

Where Python may not keep what it compiles (PYTHONDONTWRITEBYTECODE, a folder it cannot write to), each of a day's dozen
processes would compile MLflow and pandas anew, for four seconds and more.
"""

import compileall
import os
import re
import sys

# A third of all files, and no process here imports them.
LEFT_OUT = re.compile(r"/(tests?|pip|setuptools|libcst|fontTools|lexers|plugins|mypyc?)/")


def main(venv: str) -> None:
    """Compiles what lies under ``venv``, on all cores; files that are not meant for this Python are passed over."""
    os.chdir(venv)  # so that the names of the folders above it decide nothing
    compileall.compile_dir("lib", quiet=2, rx=LEFT_OUT, workers=0)


if __name__ == "__main__":
    main(sys.argv[1])
