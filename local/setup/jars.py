"""Install the jars of ``conf/spark/jars.lock`` into Spark's folder, each verified by sha256.

Standard library only. Ivy downloads them, because it is part of Spark and knows Maven Central.
Spark's own variable DEFAULT_ARTIFACT_REPOSITORY names a mirror. Only the listed jars are fetched,
not their dependencies.
"""

import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from xml.sax.saxutils import quoteattr


@dataclass(frozen=True)
class Jar:
    """One line of the lock file."""

    group: str
    artifact: str
    version: str
    sha256: str

    @property
    def file_name(self) -> str:
        """Return the name of the jar file."""
        return f"{self.artifact}-{self.version}.jar"


def read_lock(path: Path) -> list[Jar]:
    """Return the jars of a lock file, whose lines are ``group:artifact:version sha256``."""
    jars = []
    for line in path.read_text(encoding="utf-8").splitlines():
        words = line.split("#")[0].split()
        if words:
            coordinates, sha256 = words
            group, artifact, version = coordinates.split(":")
            jars.append(Jar(group, artifact, version, sha256))
    return jars


def install(lock: Path, folder: Path) -> list[str]:
    """Fetch the jars that ``folder`` lacks, and return their names.

    Raises:
        SystemExit: with one sentence, if a jar is unavailable or has another checksum.
    """
    absent = [jar for jar in read_lock(lock) if _sha256(folder / jar.file_name) != jar.sha256]
    if not absent:
        return []
    with tempfile.TemporaryDirectory() as scratch:
        fetched = Path(scratch)
        _retrieve(absent, fetched, folder)
        for jar in absent:
            checksum = _sha256(fetched / jar.file_name)
            if checksum != jar.sha256:
                sys.exit(
                    f"{jar.file_name}: sha256 is {checksum or 'unknown'}, but {lock} has "
                    f"{jar.sha256}. It was not installed. If you changed the version, correct the "
                    "lock file. Otherwise do not trust the download."
                )
        for jar in absent:
            # Under a temporary name first, so that a killed set-up never leaves half a jar.
            partial = folder / f"{jar.file_name}.part"
            shutil.copyfile(fetched / jar.file_name, partial)
            partial.replace(folder / jar.file_name)
            _remove_other_versions(jar, folder)
    return [jar.file_name for jar in absent]


def _retrieve(jars: list[Jar], target: Path, spark_jars: Path) -> None:
    """Download all jars to ``target`` by one call of Ivy.

    The call has a separate cache: a shared one may contain a POM without its jar.
    """
    ivy = next(spark_jars.glob("ivy-*.jar"))
    request = target / "ivy.xml"
    dependencies = "".join(
        f"<dependency org={quoteattr(jar.group)} name={quoteattr(jar.artifact)} "
        f"rev={quoteattr(jar.version)} "
        'transitive="false" conf="*->master"/>'
        for jar in jars
    )
    request.write_text(
        f'<ivy-module version="2.0"><info organisation="batchml" module="jars"/>'
        f"<dependencies>{dependencies}</dependencies></ivy-module>"
    )
    command = [java(), "-cp", str(ivy), "org.apache.ivy.Main"]
    command += ["-ivy", str(request), "-cache", str(target / "cache")]
    if mirror := os.environ.get("DEFAULT_ARTIFACT_REPOSITORY"):
        settings = target / "ivysettings.xml"
        settings.write_text(
            '<ivysettings><settings defaultResolver="mirror"/><resolvers>'
            f'<ibiblio name="mirror" m2compatible="true" root={quoteattr(mirror)}/>'
            "</resolvers></ivysettings>"
        )
        command += ["-settings", str(settings)]
    command += ["-retrieve", f"{target}/[artifact]-[revision].[ext]", "-warn"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode or not all((target / jar.file_name).is_file() for jar in jars):
        print(done.stdout[-2000:] + done.stderr[-2000:], file=sys.stderr)
        sys.exit(
            "Jars could not be fetched from Maven Central. Check the network. Behind a proxy, set "
            "DEFAULT_ARTIFACT_REPOSITORY to the address of your Maven mirror."
        )


def _remove_other_versions(jar: Jar, folder: Path) -> None:
    """Remove other versions of ``jar``, because Java would load whichever comes first."""
    for path in folder.glob(f"{jar.artifact}-[0-9]*.jar"):
        if path.name != jar.file_name:
            path.unlink()


def java() -> str:
    """Return the java that Spark will use."""
    home = os.environ.get("JAVA_HOME")
    if home:
        return f"{home}/bin/java"
    return "java"


def _sha256(path: Path) -> str:
    """Return the checksum of a file, or an empty string if it does not exist."""
    if not path.is_file():
        return ""
    with path.open("rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()


if __name__ == "__main__":
    for name in install(Path(sys.argv[1]), Path(sys.argv[2])):
        print(f"installed {name}")
