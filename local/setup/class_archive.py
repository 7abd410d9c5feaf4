"""An archive of the classes that Spark's processes load, so that each need not parse them anew (Java's class-data
sharing); docs/decisions/0003-what-spark-starts-with.md has the numbers. Needs the standard library and Spark's jars.
"""

import hashlib
import os
import subprocess
import sys
from pathlib import Path

# Run as a file too, by a Python that knows nothing of this project yet.
sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from local.setup.jars import java

WARM_UP = Path(__file__).resolve().parent / "class_workload.py"
LOG = "-Xlog:cds=off -Xlog:cds+dynamic=off"  # one line for every class that cannot be kept


def install(archive: Path, spark: Path, python: Path) -> bool:
    """Makes ``archive`` for this Java and the jars of ``spark``, Spark's folder; False if it is in place.

    ``python`` has pyspark. Raises RuntimeError with the end of Spark's log if there is no archive in the end.
    """
    stamp = archive.with_suffix(".sha256")
    wanted = _made_for(spark, conf_of(archive))
    if archive.is_file() and stamp.is_file() and stamp.read_text() == wanted:
        return False
    stamp.unlink(missing_ok=True)
    archive.unlink(missing_ok=True)
    conf = conf_of(archive)
    conf.mkdir(exist_ok=True)
    environment = {
        **os.environ,
        "SPARK_CONF_DIR": str(conf),
        "SPARK_HOME": str(spark),
        "SPARK_LOCAL_IP": "127.0.0.1",
        "PYSPARK_PYTHON": str(python),
        "SPARK_SUBMIT_OPTS": f"-XX:ArchiveClassesAtExit={archive} {LOG}",
    }
    settings = WARM_UP.parents[2] / "conf" / "spark" / "spark-defaults.conf"
    command = [spark / "bin" / "spark-submit", "--properties-file", settings, "--master", "local[2]", WARM_UP]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if done.returncode or not archive.is_file():
        raise RuntimeError(f"{done.stdout[-1000:]}{done.stderr[-1000:]}".strip())
    stamp.write_text(wanted)
    return True


def options(archive: Path, settings: Path) -> str:
    """Java's options for a process of Spark that starts with ``archive``; none if there is no archive.

    ``settings`` is the folder that Spark's conf folder would be if it need not be empty.
    """
    if not archive.is_file() or " " in f"{archive}{settings}":  # Spark splits options at spaces
        return ""
    return f"-XX:SharedArchiveFile={archive} -Dlog4j2.configurationFile=file:{settings}/log4j2.properties"


def conf_of(archive: Path) -> Path:
    """What ``SPARK_CONF_DIR`` must be wherever ``archive`` is used: Java compares the class path, of which Spark's conf
    folder is always a part, and takes no archive if that folder holds anything."""
    return archive.with_suffix(".conf")


def _made_for(spark: Path, conf: Path) -> str:
    """Java refuses an archive of another Java or other jars, silently: all it depends on, as one number."""
    version = subprocess.run([java(), "-version"], capture_output=True, text=True, check=True).stderr
    jars = [f"{jar.name} {jar.stat().st_size}" for jar in sorted((spark / "jars").glob("*.jar"))]
    return hashlib.sha256("\n".join([version, str(spark), str(conf), *jars, WARM_UP.read_text()]).encode()).hexdigest()


if __name__ == "__main__":
    install(Path(sys.argv[1]), Path(sys.argv[2]), Path(sys.executable))
