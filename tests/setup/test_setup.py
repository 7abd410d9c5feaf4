"""The set-up on a machine that lacks something."""

import fcntl
import hashlib
import os
import subprocess
import sys
from pathlib import Path

import pyspark
import pytest

from local.setup import jars
from local.setup.class_archive import conf_of
from local.stack.environment import ARCHIVE

ROOT = Path(__file__).resolve().parents[2]
SPARK = Path(pyspark.__path__[0])
SPARK_JARS = SPARK / "jars"
PYTHON_STEP = f"setup  python    {sys.version.split()[0]}\n"
SUBMIT = Path(sys.executable).parent / "spark-submit"  # of the activated environment


def install(**environment: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, ROOT / "local" / "setup" / "install.py"]
    return subprocess.run(
        command, capture_output=True, text=True, check=False, env={**os.environ, **environment}
    )


@pytest.mark.parametrize("options", [{}, {"JDK_JAVA_OPTIONS": "-XX:TieredStopAtLevel=1"}])
def test_second_setup_skips_finished_steps(options: dict[str, str]):
    done = install(**options)
    assert done.returncode == 0, done.stderr
    assert "packages  in place" in done.stderr
    assert "jars      in place" in done.stderr
    assert "conf/spark is linked" in done.stderr
    assert "classes   in place" in done.stderr
    assert "submit    in place" in done.stderr


def test_setup_leaves_stdout_to_the_command():
    assert install().stdout == ""


def test_concurrent_setups_take_turns():
    first = os.open(ROOT, os.O_RDONLY)
    fcntl.flock(first, fcntl.LOCK_EX)
    with subprocess.Popen(
        [sys.executable, ROOT / "local" / "setup" / "install.py"], stderr=subprocess.PIPE, text=True
    ) as second:
        with pytest.raises(subprocess.TimeoutExpired):
            second.wait(3)
        os.close(first)
        assert "packages  in place" in second.communicate(timeout=60)[1]


@pytest.mark.parametrize(("conf", "code"), [(conf_of(ARCHIVE), 0), (ROOT / "conf" / "spark", 1)])
def test_class_archive_needs_its_conf_folder(conf: Path, code: int):
    # By itself Java says nothing of an archive that does not fit: -Xshare:on makes it an error.
    environment = {
        **os.environ,
        "SPARK_CONF_DIR": str(conf),
        "SPARK_SUBMIT_OPTS": f"-XX:SharedArchiveFile={ARCHIVE} -Xshare:on",
    }
    done = subprocess.run(
        [SPARK / "bin" / "spark-submit", "--version"],
        capture_output=True,
        text=True,
        check=False,
        env=environment,
    )
    assert done.returncode == code, done.stdout + done.stderr


def test_spark_submit_uses_archive_with_default_settings(
    tmp_path: Path,
):
    bare = {name: value for name, value in os.environ.items() if not name.startswith("SPARK")}
    bare |= {
        "SPARK_PRINT_LAUNCH_COMMAND": "1",
        "SPARK_SUBMIT_OPTS": "-Xshare:on",
    }  # an error, if it does not fit
    started = {
        own: subprocess.run(
            [SUBMIT, "--version"],
            capture_output=True,
            text=True,
            check=True,
            env=bare | ({"SPARK_CONF_DIR": own} if own else {}),
        ).stderr
        for own in ("", str(tmp_path))
    }
    assert f"-XX:SharedArchiveFile={ARCHIVE}" in started[""]
    assert f"--properties-file {ROOT}/conf/spark/spark-defaults.conf" in started[""]
    always = "-Duser.timezone=UTC -XX:+ExitOnOutOfMemoryError"
    assert f"spark.driver.defaultJavaOptions={always}" in started[""]
    assert (
        f"spark.executor.defaultJavaOptions={always} -XX:SharedArchiveFile={ARCHIVE}" in started[""]
    )
    assert "SharedArchiveFile" not in started[str(tmp_path)]
    assert "--properties-file" not in started[str(tmp_path)]


def test_missing_java_is_reported_with_remedy():
    done = install(JAVA_HOME="/nowhere")
    assert done.returncode == 1
    assert done.stderr == (
        f"{PYTHON_STEP}Java was not found at JAVA_HOME=/nowhere. Spark needs Java 17 or newer. "
        "Install it "
        "(Debian: apt-get install openjdk-17-jre-headless) or set JAVA_HOME.\n"
    )


def test_old_java_is_reported(tmp_path: Path):
    java = tmp_path / "bin" / "java"
    java.parent.mkdir()
    java.write_text("#!/bin/sh\necho 'openjdk version \"11.0.2\"' >&2\n")
    java.chmod(0o755)
    assert install(JAVA_HOME=str(tmp_path)).stderr.startswith(
        f"{PYTHON_STEP}{java} is version 11. Spark needs Java 17 or newer."
    )


@pytest.fixture
def mirror(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a Maven repository of one jar, as files."""
    folder = tmp_path / "mirror" / "org" / "example" / "tiny" / "1.0"
    folder.mkdir(parents=True)
    (folder / "tiny-1.0.jar").write_bytes(b"a jar")
    (folder / "tiny-1.0.pom").write_text(
        "<project><modelVersion>4.0.0</modelVersion><groupId>org.example</groupId>"
        "<artifactId>tiny</artifactId><version>1.0</version></project>"
    )
    monkeypatch.setenv("DEFAULT_ARTIFACT_REPOSITORY", (tmp_path / "mirror").as_uri() + "/")
    return folder


def spark_jars(tmp_path: Path) -> Path:
    """Return a jars folder that contains only Ivy."""
    folder = tmp_path / "jars"
    folder.mkdir()
    ivy = next(SPARK_JARS.glob("ivy-*.jar"))
    (folder / ivy.name).symlink_to(ivy)
    return folder


def lock(tmp_path: Path, sha256: str) -> Path:
    path = tmp_path / "jars.lock"
    path.write_text(f"# a comment\norg.example:tiny:1.0 {sha256}\n")
    return path


def test_jar_is_installed_once(mirror: Path, tmp_path: Path):
    locked, folder = lock(tmp_path, hashlib.sha256(b"a jar").hexdigest()), spark_jars(tmp_path)
    assert jars.install(locked, folder) == ["tiny-1.0.jar"]
    assert (folder / "tiny-1.0.jar").read_bytes() == b"a jar"
    assert jars.install(locked, folder) == []


def test_jar_with_wrong_checksum_is_refused(mirror: Path, tmp_path: Path):
    locked, folder = lock(tmp_path, "0" * 64), spark_jars(tmp_path)
    with pytest.raises(
        SystemExit,
        match=r"tiny-1.0.jar: sha256 is .*, but .*jars.lock has 0000.* It was not installed",
    ):
        jars.install(locked, folder)
    assert [path.name for path in folder.glob("tiny*")] == []


def test_missing_jar_is_reported(mirror: Path, tmp_path: Path):
    (mirror / "tiny-1.0.jar").unlink()
    with pytest.raises(SystemExit, match="could not be fetched from Maven Central"):
        jars.install(lock(tmp_path, "0" * 64), spark_jars(tmp_path))


def test_bytecode_is_compiled_below_a_tests_folder(tmp_path: Path):
    packages = tmp_path / "tests" / "venv" / "lib" / "python3" / "site-packages"
    for name in ("mlflow/runs.py", "pandas/tests/test_frame.py", "broken/python2.py"):
        (packages / name).parent.mkdir(parents=True)
        (packages / name).write_text("print 'no'" if name.startswith("broken") else "N = 1\n")
    subprocess.run(
        [sys.executable, ROOT / "local" / "setup" / "bytecode.py", tmp_path / "tests" / "venv"],
        check=True,
    )
    assert [path.parent.parent.name for path in packages.rglob("*.pyc")] == ["mlflow"]
