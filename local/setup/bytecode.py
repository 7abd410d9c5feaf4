"""Compile the installed packages to bytecode: `bytecode.py VENV`. Standard library only.

If Python cannot write bytecode later (PYTHONDONTWRITEBYTECODE, a read-only folder), each of a day's
dozen processes would compile MLflow and pandas again, which takes at least four seconds.
"""

import compileall
import os
import re
import sys

# A third of all files: no process imports them.
EXCLUDED = re.compile(r"/(tests?|pip|setuptools|libcst|fontTools|lexers|plugins|mypyc?)/")


def main(venv: str) -> None:
    """Compile the packages of ``venv`` on all cores. Skip files that this Python cannot compile."""
    # With relative paths, EXCLUDED does not match the folders above the environment.
    os.chdir(venv)
    compileall.compile_dir("lib", quiet=2, rx=EXCLUDED, workers=0)


if __name__ == "__main__":
    main(sys.argv[1])
