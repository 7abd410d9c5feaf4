"""The environment's spark-submit: this project's settings and class archive, loopback only, supervised.

Called by `.venv/bin/spark-submit` with Spark's folder and the class archive before the user's own
arguments. Runs on a bare Python with the standard library only.
"""

import os
import sys
from collections.abc import Sequence
from pathlib import Path

# Run as a file, by a Python that does not have this project on its path.
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from local import classes, supervised_submit

ROOT = Path(__file__).resolve().parents[1]
SETTINGS = ROOT / "conf" / "spark"
SECRET_FILE = "spark.secret"  # in the state folder of the local stack, see local/stack.py
SECRET = "_SPARK_AUTH_SECRET"  # the variable in which Spark looks for it
LOOPBACK_MASTER = "spark://127.0.0.1:"
# Spark requires the setting and prefers the variable, so that no command line shows the secret.
AUTHENTICATED = {
    "spark.authenticate": "true",
    "spark.authenticate.secret": f"${{env:{SECRET}}}",
}


def main(spark: Path, archive: Path, arguments: Sequence[str]) -> int:
    """Run spark-submit with ``arguments`` and return its exit code."""
    conf = classes.conf_of(archive)
    has_own_settings = os.environ.get("SPARK_HOME") or os.environ.get("SPARK_CONF_DIR", str(conf)) != str(conf)
    options = [] if has_own_settings else use_archive(archive)
    # Without it Spark binds its UI and its ports to every address of the machine.
    os.environ.setdefault("SPARK_LOCAL_IP", "127.0.0.1")
    home = os.environ.get("SPARK_HOME") or spark
    words = [*options, *authentication(arguments), *arguments]
    return supervised_submit.main([f"{home}/bin/spark-submit", *words])


def use_archive(archive: Path) -> list[str]:
    """Return the options of a start with the class archive, and set the variables it needs.

    Java accepts the archive only while Spark's conf folder is empty, so the settings are passed as a
    file (docs/decisions/0003-what-spark-starts-with.md).
    """
    properties = SETTINGS / "spark-defaults.conf"
    java_options = classes.options(archive, SETTINGS)
    if java_options:
        os.environ["SPARK_CONF_DIR"] = str(classes.conf_of(archive))
        os.environ["SPARK_SUBMIT_OPTS"] = f"{os.environ.get('SPARK_SUBMIT_OPTS', '')} {java_options}"
    key = "spark.executor.defaultJavaOptions"
    always = supervised_submit.settings_of(properties)[key]
    return ["--properties-file", str(properties), "--conf", f"{key}={always} {java_options}".strip()]


def authentication(arguments: Sequence[str]) -> list[str]:
    """Return the options by which a job reaches the Spark of the local stack, which has a secret."""
    master = supervised_submit.setting(arguments, "spark.master", "--master") or ""
    if not master.startswith(LOOPBACK_MASTER):
        return []

    if SECRET not in os.environ:
        state = Path(os.environ.get("BATCHML_STATE", ROOT / "data" / "local"))
        secret = state / SECRET_FILE
        if not secret.is_file():
            return []
        os.environ[SECRET] = secret.read_text()

    pairs = (["--conf", f"{key}={value}"] for key, value in AUTHENTICATED.items())
    return [word for pair in pairs for word in pair]


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3:]))
