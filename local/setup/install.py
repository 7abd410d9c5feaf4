"""`make setup`: install the virtual environment, Delta's jars and Spark's configuration.

Runs on a bare Python 3.11 with the standard library only. Every step is skipped if it is in place.
"""

import fcntl
import hashlib
import os
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path

# Run as a file, by a Python that does not have this project on its path.
sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from local.setup import class_archive, jars

ROOT = Path(__file__).resolve().parents[2]
VENV = ROOT / ".venv"
PYTHON = VENV / "bin" / "python"
LOCK = ROOT / "requirements-dev.lock"
STAMP = VENV / "installed.sha256"
BYTECODE = ROOT / "local" / "setup" / "bytecode.py"
ARCHIVE = VENV / "classes.jsa"
SUBMIT = """\
#!/bin/sh
# Written by `make setup`: Spark's spark-submit with this project's settings (see local/submit).
exec "{python}" -I -S "{root}/local/submit/local_submit.py" "{spark}" "{archive}" "$@"
"""
SYNC = ("pip", "sync", "--quiet", "--require-hashes")


def main() -> None:
    """Run all steps in order. A second `make` waits meanwhile, and finds them in place."""
    require_python()
    require_java()
    lock = os.open(ROOT, os.O_RDONLY)
    fcntl.flock(lock, fcntl.LOCK_EX)  # Released at the end of this process.
    packages()
    spark = Path(
        run_quietly(str(PYTHON), "-c", "import pyspark; print(pyspark.__path__[0])").strip()
    )
    fetched = jars.install(ROOT / "conf" / "spark" / "jars.lock", spark / "jars")
    say("jars", f"fetched {', '.join(fetched)}" if fetched else "in place")
    link_configuration(spark / "conf")
    archive_classes(spark)
    supervised_submit(spark)


def require_python() -> None:
    """Exit unless this is Python 3.11 or newer."""
    if sys.version_info < (3, 11):
        sys.exit(
            f"Python {sys.version.split()[0]} is too old: this project needs 3.11 or newer. "
            "Name one with `make setup PYTHON=python3.11`."
        )
    say("python", sys.version.split()[0])


def require_java() -> None:
    """Exit unless Java 17 or newer is where Spark will look for it."""
    home = os.environ.get("JAVA_HOME")
    java = f"{home}/bin/java" if home else shutil.which("java")
    remedy = (
        "Spark needs Java 17 or newer. Install it "
        "(Debian: apt-get install openjdk-17-jre-headless) or set JAVA_HOME."
    )
    if not java or not Path(java).is_file():
        place = f" at JAVA_HOME={home}" if home else ""
        sys.exit(f"Java was not found{place}. {remedy}")
    shown = subprocess.run([java, "-version"], capture_output=True, text=True, check=False).stderr
    found = re.search(r'version "(\d+)', shown)
    if not found or int(found[1]) < 17:
        sys.exit(f"{java} is version {found[1] if found else 'unknown'}. {remedy}")
    say("java", f"{found[1]} ({java})")


def packages() -> None:
    """Install the virtual environment exactly as locked."""
    made_with = " ".join((sys.version, *SYNC, BYTECODE.read_text()))
    wanted = hashlib.sha256(LOCK.read_bytes() + made_with.encode()).hexdigest()
    if STAMP.is_file() and STAMP.read_text() == wanted:
        say("packages", "in place")
        return
    if not PYTHON.is_file():
        created = subprocess.run([sys.executable, "-m", "venv", str(VENV)], check=False)
        if created.returncode:
            sys.exit(
                "The virtual environment could not be made (Debian: apt-get install python3-venv)."
            )
    uv = shutil.which("uv") or install_uv()
    say("packages", f"installing {LOCK.name} into {VENV.name} (a minute or two, 2 GB)")
    if subprocess.run([uv, *SYNC, "--python", str(PYTHON), str(LOCK)], check=False).returncode:
        sys.exit("The packages could not be installed: see uv's message above. Is there a network?")
    subprocess.run([PYTHON, BYTECODE, VENV], check=True)
    STAMP.write_text(wanted)


def install_uv() -> str:
    """Install uv, in the version of the lock file, into the environment, and return its path."""
    lines = LOCK.read_text().splitlines()
    pinned = next(line.split()[0] for line in lines if line.startswith("uv=="))
    pip = [str(PYTHON), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    command = [*pip, pinned]
    if subprocess.run(command, check=False).returncode:
        sys.exit("uv could not be installed: see pip's message above. Is there a network?")
    return str(VENV / "bin" / "uv")


def link_configuration(link: Path) -> None:
    """Link Spark's conf folder to this project's, so that spark-submit needs no option."""
    target = ROOT / "conf" / "spark"
    if link.is_symlink() and link.resolve() == target:
        say("spark", "conf/spark is linked")
        return
    link.unlink(missing_ok=True)
    link.symlink_to(target)
    say("spark", "linked conf/spark")


def archive_classes(spark: Path) -> None:
    """Create the class archive: a job of the local stack then starts in half the time."""
    begun = time.monotonic()
    try:
        made = class_archive.install(ARCHIVE, spark, PYTHON)
        say(
            "classes",
            f"archived in {time.monotonic() - begun:.0f} s, 0.2 GB" if made else "in place",
        )
    except RuntimeError as error:
        say("classes", f"not archived, so that jobs start more slowly: {error}")


def supervised_submit(spark: Path) -> None:
    """Write ``spark-submit`` of the environment, for jobs run manually and for Airflow's tasks."""
    text = SUBMIT.format(python=PYTHON, root=ROOT, spark=spark, archive=ARCHIVE)
    script = VENV / "bin" / "spark-submit"
    if script.read_text() == text:
        say("submit", "in place")
        return
    script.unlink()  # The file may be a link to the cache of a package manager.
    script.write_text(text)
    script.chmod(0o755)
    say("submit", "supervised, with the archive of classes if there is one")


def run_quietly(*command: str) -> str:
    """Return the output of a command."""
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def say(what: str, text: str) -> None:
    """Print one line of progress."""
    print(f"setup  {what:<9} {text}", flush=True)


if __name__ == "__main__":
    main()
