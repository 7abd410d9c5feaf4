"""Create an archive of the classes that Spark's processes load (Java's class-data sharing).

Each process then starts without parsing them; docs/decisions/0003-what-spark-starts-with.md has the
numbers. Needs the standard library and Spark's jars.
"""

import hashlib
import os
import subprocess
import sys
from pathlib import Path

# Also run as a file, by a Python that does not have this project on its path.
sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from local.setup.jars import java

WORKLOAD = Path(__file__).resolve().parent / "class_workload.py"
OPTIONS_IN_ENVIRONMENT = ("JDK_JAVA_OPTIONS", "JAVA_TOOL_OPTIONS", "_JAVA_OPTIONS")
LOG = "-Xlog:cds=off -Xlog:cds+dynamic=off"  # Otherwise one line per class that is not archived.


def install(archive: Path, spark: Path, python: Path) -> bool:
    """Create ``archive`` for this Java and the jars of ``spark``, Spark's folder.

    ``python`` has pyspark. Return False if the archive is in place.

    Raises:
        RuntimeError: with the end of Spark's log, if no archive was created.
    """
    stamp = archive.with_suffix(".sha256")
    conf = conf_of(archive)
    fingerprint = _fingerprint(spark, conf)
    if archive.is_file() and stamp.is_file() and stamp.read_text() == fingerprint:
        return False

    stamp.unlink(missing_ok=True)
    archive.unlink(missing_ok=True)
    conf.mkdir(exist_ok=True)
    environment = _without_java_options() | {
        "SPARK_CONF_DIR": str(conf),
        "SPARK_HOME": str(spark),
        "SPARK_LOCAL_IP": "127.0.0.1",
        "PYSPARK_PYTHON": str(python),
        "SPARK_SUBMIT_OPTS": f"-XX:ArchiveClassesAtExit={archive} {LOG}",
    }

    settings = WORKLOAD.parents[2] / "conf" / "spark" / "spark-defaults.conf"
    command = [spark / "bin" / "spark-submit", "--properties-file", settings]
    command += ["--master", "local[2]", WORKLOAD]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if done.returncode or not archive.is_file():
        raise RuntimeError(f"{done.stdout[-1000:]}{done.stderr[-1000:]}".strip())
    stamp.write_text(fingerprint)
    return True


def options(archive: Path, settings: Path) -> str:
    """Return Java's options for a process of Spark that starts with ``archive``.

    They are empty if there is no archive. ``settings`` is the folder that would be Spark's conf
    folder if that did not have to be empty.
    """
    # Spark splits options at spaces.
    if not archive.is_file() or " " in f"{archive}{settings}":
        return ""
    return java_options(archive, settings)


def java_options(archive: Path, settings: Path) -> str:
    """Return the options for ``archive``. The image has the same ones, and a test compares them."""
    log4j = f"-Dlog4j2.configurationFile=file:{settings}/log4j2.properties"
    return f"-XX:SharedArchiveFile={archive} {log4j}"


def conf_of(archive: Path) -> Path:
    """Return the value of ``SPARK_CONF_DIR`` that ``archive`` requires: an empty folder.

    Spark's conf folder is part of the class path, which Java compares, and Java refuses an archive
    if the folder contains anything.
    """
    return archive.with_suffix(".conf")


def _fingerprint(spark: Path, conf: Path) -> str:
    """Return a hash of everything an archive depends on.

    Java silently ignores an archive of another Java or of other jars.
    """
    environment = _without_java_options()
    command = [java(), "-version"]
    done = subprocess.run(command, capture_output=True, text=True, check=True, env=environment)
    version = done.stderr
    parts = [version, str(spark), str(conf)]
    for jar in sorted((spark / "jars").glob("*.jar")):
        parts.append(f"{jar.name} {jar.stat().st_size}")
    parts.append(WORKLOAD.read_text())
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()


def _without_java_options() -> dict[str, str]:
    """Return the environment without Java's options, on which neither archive nor stamp depend."""
    environment = dict(os.environ)
    for name in OPTIONS_IN_ENVIRONMENT:
        environment.pop(name, None)
    return environment


if __name__ == "__main__":
    install(Path(sys.argv[1]), Path(sys.argv[2]), Path(sys.executable))
