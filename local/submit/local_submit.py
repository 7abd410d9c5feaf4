"""The environment's spark-submit: with this project's settings and class archive, supervised.

Called by `.venv/bin/spark-submit` with Spark's folder and the class archive before the user's own
arguments. Runs on a bare Python with the standard library only.
"""

import os
import sys
from collections.abc import Sequence
from pathlib import Path

# Run as a file, by a Python that does not have this project on its path.
sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from local.setup import class_archive
from local.submit import supervised_submit

ROOT = Path(__file__).resolve().parents[2]
CONF = ROOT / "conf" / "spark"
DEFAULTS = CONF / "spark-defaults.conf"
# In the state folder of the local stack (local/stack/environment.py).
SECRET_FILE = "spark.secret"
SECRET = "_SPARK_AUTH_SECRET"  # the variable that Spark reads
LOOPBACK = ("spark://127.0.0.1:", "spark://localhost:", "spark://[::1]:")
# Spark requires the setting and prefers the variable, so that no command line shows the secret.
AUTHENTICATION = {
    "spark.authenticate": "true",
    "spark.authenticate.secret": f"${{env:{SECRET}}}",
}


def main(spark: Path, archive: Path, arguments: Sequence[str]) -> int:
    """Run spark-submit with ``arguments`` and return its exit code."""
    conf = class_archive.conf_of(archive)
    has_own_spark = bool(os.environ.get("SPARK_HOME"))
    has_own_conf = os.environ.get("SPARK_CONF_DIR", str(conf)) != str(conf)
    options: list[str] = []
    settings: dict[str, str] = {}
    if not has_own_spark and not has_own_conf:
        options = ["--properties-file", str(DEFAULTS)]
        settings = project_settings(archive)
    # By default Spark binds its UI and its ports to every address of the machine.
    os.environ.setdefault("SPARK_LOCAL_IP", "127.0.0.1")
    set_encoding()

    parsed = supervised_submit.parse(options + list(arguments))
    master = parsed.settings.get("spark.master", "")
    if master.startswith(LOOPBACK) and set_secret():
        settings |= AUTHENTICATION
    for key, value in settings.items():
        options += ["--conf", f"{key}={value}"]
    home = os.environ.get("SPARK_HOME") or spark
    command = [f"{home}/bin/spark-submit"]
    command += options
    command += arguments
    return supervised_submit.main(command)


def project_settings(archive: Path) -> dict[str, str]:
    """Return the settings of a start with the class archive, and set the variables it needs.

    Java accepts the archive only while Spark's conf folder is empty, so the settings are passed as
    a file (docs/decisions/0003-what-spark-starts-with.md). The required options are repeated on
    the command line, because a properties file of the user replaces the project's.
    """
    defaults = supervised_submit.read_properties(DEFAULTS)
    driver = "spark.driver.defaultJavaOptions"
    executor = "spark.executor.defaultJavaOptions"
    java_options = class_archive.options(archive, CONF)
    if java_options:
        os.environ["SPARK_CONF_DIR"] = str(class_archive.conf_of(archive))
        submit_options = os.environ.get("SPARK_SUBMIT_OPTS", "")
        os.environ["SPARK_SUBMIT_OPTS"] = f"{submit_options} {java_options}"
    return {driver: defaults[driver], executor: f"{defaults[executor]} {java_options}".strip()}


def set_encoding() -> None:
    """Set UTF-8 where the locale has only ASCII: Java could not open paths with other letters."""
    if os.environ.get("LC_ALL") in {"C", "POSIX"}:
        os.environ["LC_ALL"] = "C.UTF-8"


def set_secret() -> bool:
    """Set the variable of the local stack's secret. Return False if the stack has none."""
    if SECRET in os.environ:
        return True
    state = Path(os.environ.get("BATCHML_STATE", ROOT / "data" / "local"))
    secret = state / SECRET_FILE
    if not secret.is_file():
        return False
    os.environ[SECRET] = secret.read_text(encoding="utf-8")
    return True


if __name__ == "__main__":
    supervised_submit.leave(main(Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3:]))
