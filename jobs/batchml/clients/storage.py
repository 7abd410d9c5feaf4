"""Files as Hadoop sees them: the same calls for a folder, an NFS share or an object store."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple
from urllib.parse import unquote, urlsplit

from py4j.protocol import Py4JJavaError
from pyspark.sql import SparkSession

from batchml.clients.landing import FileSystem
from batchml.clients.stored_files import HIDDEN, StoredFile, utc_from_milliseconds
from batchml.errors import Unavailable


def join(root: str, *parts: str) -> str:
    """``root`` and ``parts`` as one path, whatever the root's scheme."""
    return "/".join((root.rstrip("/"), *parts))


def exists(spark: SparkSession, path: str) -> bool:
    """Whether ``path`` is there. Raises Unavailable when its file system cannot be asked."""
    try:
        system, hadoop_path = _open(spark, path)
        return bool(system.exists(hadoop_path))
    except Py4JJavaError as error:
        raise Unavailable(f"{path} cannot be looked at", _reason(error)) from error


def names(spark: SparkSession, folder: str) -> list[str]:
    """The names in ``folder``; none if it is not there."""
    try:
        system, path = _open(spark, folder)
        return (
            [status.getPath().getName() for status in system.listStatus(path)]
            if system.exists(path)
            else []
        )
    except Py4JJavaError as error:
        raise Unavailable(f"{folder} cannot be looked at", _reason(error)) from error


def data_files(spark: SparkSession, path: str) -> list[StoredFile]:
    """Return the file ``path``, or the files below the folder ``path`` by name, hidden ones left out.

    Raise Unavailable if they cannot be listed. A name that begins with ``_`` or ``.`` is hidden, as it is for Spark.
    """
    try:
        system, hadoop_path = _open(spark, path)
        found = []
        listed = system.listFiles(hadoop_path, True)
        root = str(system.getFileStatus(hadoop_path).getPath().toUri().toString())
        while listed.hasNext():
            status = listed.next()
            address = str(status.getPath().toUri().toString())
            below = address.removeprefix(root).strip("/").split("/")
            if address == root or not any(part.startswith(HIDDEN) for part in below):
                modified = utc_from_milliseconds(int(status.getModificationTime()))
                found.append(StoredFile(address, int(status.getLen()), modified))
        return sorted(found)
    except Py4JJavaError as error:
        raise Unavailable(f"{path} cannot be looked at", _reason(error)) from error


def file_system(spark: SparkSession) -> FileSystem:
    """Return the file systems that Hadoop knows."""

    def files(path: str) -> list[StoredFile] | None:
        return data_files(spark, path) if exists(spark, path) else None

    return FileSystem(files, lambda path: exists(spark, path))


def local_path(address: str) -> Path | None:
    """Return the path on this machine behind ``address``, or None for another file system."""
    parts = urlsplit(address)
    if parts.scheme == "file":
        return Path(unquote(parts.path))
    return Path(address) if "://" not in address else None


@contextmanager
def local_copy(spark: SparkSession, address: str) -> Iterator[Path]:
    """Provide the file as a path of this machine: itself, or a copy that is deleted afterwards."""
    if (path := local_path(address)) is not None:
        yield path
        return
    with TemporaryDirectory() as folder:
        copy = Path(folder) / "copy"
        try:
            system, source = _open(spark, address)
            system.copyToLocalFile(False, source, _open(spark, copy.as_uri())[1], True)
        except Py4JJavaError as error:
            raise Unavailable(f"{address} cannot be read", _reason(error)) from error
        yield copy


class Usage(NamedTuple):
    """Files of a folder, those of its folders among them, and their bytes."""

    files: int
    bytes: int


def usage(spark: SparkSession, path: str) -> Usage:
    """What lies below ``path``, which may be a file; nothing if it is not there."""
    try:
        system, hadoop_path = _open(spark, path)
        if not system.exists(hadoop_path):
            return Usage(0, 0)
        summary = system.getContentSummary(hadoop_path)
        return Usage(int(summary.getFileCount()), int(summary.getLength()))
    except Py4JJavaError as error:
        raise Unavailable(f"{path} cannot be looked at", _reason(error)) from error


def require_writable(spark: SparkSession, folder: str) -> None:
    """Makes ``folder`` and a marker in it, and takes the marker away again. Raises Unavailable if that fails.

    Asked before any work, so that a lake that cannot be written fails at once and with one sentence.
    """
    marker = join(folder, f"_writable_{spark.sparkContext.applicationId}")
    try:
        system, path = _open(spark, marker)
        system.create(path).close()
        system.delete(path, False)
    except Py4JJavaError as error:
        raise Unavailable(
            f"{folder} cannot be written",
            _reason(error),
            remedy="check that the place exists, that this user may write there and that its disk is not full",
        ) from error


def put(spark: SparkSession, local: Path, path: str) -> None:
    """The file ``local`` at ``path``, whole or not at all. Raises Unavailable if that fails."""
    partial = f"{path}.part"
    try:
        system, target = _open(spark, partial)
        system.setWriteChecksum(False)  # no .crc file of Hadoop's beside it
        system.copyFromLocalFile(False, True, _open(spark, local.as_uri())[1], target)
        if not system.rename(target, _open(spark, path)[1]):
            raise Unavailable(
                f"{partial} could not be renamed", remedy="is there a file of that name already?"
            )
    except Py4JJavaError as error:
        raise Unavailable(f"{path} cannot be written", _reason(error)) from error


def delete(spark: SparkSession, folder: str) -> None:
    """Removes ``folder`` and all in it; nothing if it is not there."""
    system, path = _open(spark, folder)
    system.delete(path, True)


def _open(spark: SparkSession, path: str) -> tuple[Any, Any]:
    context = spark.sparkContext
    # Its whole name at once: part by part, Java looks into every jar for a class called org, one called org.apache, …
    hadoop_path = getattr(context._jvm, "org.apache.hadoop.fs.Path")(path)
    java_context: Any = context._jsc
    return hadoop_path.getFileSystem(java_context.hadoopConfiguration()), hadoop_path


def _reason(error: Py4JJavaError) -> str:
    cause: Any = error.java_exception
    return str(cause.toString())
