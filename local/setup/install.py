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
    """Run all steps in order. A concurrent `make` waits, and then has nothing to do."""
    require_python()
    require_java()
    lock = os.open(ROOT, os.O_RDONLY)
    fcntl.flock(lock, fcntl.LOCK_EX)  # Released at the end of this process.
    packages()
    folder = output_of(str(PYTHON), "-c", "import pyspark; print(pyspark.__path__[0])")
    spark = Path(folder.strip())
    install_jars(spark)
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
    print_step("python", sys.version.split()[0])


def require_java() -> None:
    """Exit unless Java 17 or newer is where Spark will look for it."""
    home = os.environ.get("JAVA_HOME")
    java = shutil.which("java")
    if home:
        java = f"{home}/bin/java"
    remedy = (
        "Spark needs Java 17 or newer. Install it "
        "(Debian: apt-get install openjdk-17-jre-headless) or set JAVA_HOME."
    )
    if not java or not Path(java).is_file():
        place = ""
        if home:
            place = f" at JAVA_HOME={home}"
        sys.exit(f"Java was not found{place}. {remedy}")

    output = subprocess.run([java, "-version"], capture_output=True, text=True, check=False).stderr
    match = re.search(r'version "(\d+)', output)
    if not match:
        sys.exit(f"{java} is version unknown. {remedy}")
    if int(match[1]) < 17:
        sys.exit(f"{java} is version {match[1]}. {remedy}")
    print_step("java", f"{match[1]} ({java})")


def packages() -> None:
    """Install the virtual environment exactly as locked."""
    tools = f"{sys.version} {' '.join(SYNC)} {BYTECODE.read_text()}"
    fingerprint = hashlib.sha256(LOCK.read_bytes() + tools.encode()).hexdigest()
    if STAMP.is_file() and STAMP.read_text() == fingerprint:
        print_step("packages", "in place")
        return
    if not PYTHON.is_file():
        created = subprocess.run([sys.executable, "-m", "venv", str(VENV)], check=False)
        if created.returncode:
            sys.exit(
                "The virtual environment could not be created. "
                "Install venv (Debian: apt-get install python3-venv)."
            )
    uv = shutil.which("uv") or install_uv()
    print_step("packages", f"installing {LOCK.name} into {VENV.name} (a minute or two, 2 GB)")
    command = [uv, *SYNC, "--python", str(PYTHON), str(LOCK)]
    if subprocess.run(command, check=False).returncode:
        sys.exit(
            "The packages could not be installed. Read uv's message above and check the network."
        )
    subprocess.run([PYTHON, BYTECODE, VENV], check=True)
    STAMP.write_text(fingerprint)


def install_uv() -> str:
    """Install uv, in the version of the lock file, into the environment, and return its path."""
    lines = LOCK.read_text().splitlines()
    pinned = next(line.split()[0] for line in lines if line.startswith("uv=="))
    command = [str(PYTHON), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    command.append(pinned)
    if subprocess.run(command, check=False).returncode:
        sys.exit("uv could not be installed. Read pip's message above and check the network.")
    return str(VENV / "bin" / "uv")


def install_jars(spark: Path) -> None:
    """Install the locked jars into Spark's folder."""
    fetched = jars.install(ROOT / "conf" / "spark" / "jars.lock", spark / "jars")
    if fetched:
        print_step("jars", f"fetched {', '.join(fetched)}")
    else:
        print_step("jars", "in place")


def link_configuration(link: Path) -> None:
    """Link Spark's conf folder to this project's, so that spark-submit needs no option."""
    target = ROOT / "conf" / "spark"
    if link.is_symlink() and link.resolve() == target:
        print_step("spark", "conf/spark is linked")
        return
    link.unlink(missing_ok=True)
    link.symlink_to(target)
    print_step("spark", "linked conf/spark")


def archive_classes(spark: Path) -> None:
    """Create the class archive: a job of the local stack then starts in half the time."""
    start = time.monotonic()
    try:
        is_new = class_archive.install(ARCHIVE, spark, PYTHON)
    except RuntimeError as error:
        print_step("classes", f"not archived, jobs start more slowly: {error}")
        return

    if is_new:
        print_step("classes", f"archived in {time.monotonic() - start:.0f} s, 0.2 GB")
    else:
        print_step("classes", "in place")


def supervised_submit(spark: Path) -> None:
    """Write ``spark-submit`` of the environment, for jobs run manually and for Airflow's tasks."""
    text = SUBMIT.format(python=PYTHON, root=ROOT, spark=spark, archive=ARCHIVE)
    script = VENV / "bin" / "spark-submit"
    if script.read_text() == text:
        print_step("submit", "in place")
        return
    script.unlink()  # The file may be a link to the cache of a package manager.
    script.write_text(text)
    script.chmod(0o755)
    print_step("submit", "supervised, with the archive of classes if there is one")


def output_of(*command: str) -> str:
    """Return the output of a command."""
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def print_step(step: str, text: str) -> None:
    """Print one line of progress to stderr: stdout belongs to the target that runs afterwards."""
    print(f"setup  {step:<9} {text}", file=sys.stderr)


if __name__ == "__main__":
    main()
