"""Access files through Hadoop: the same calls for a folder, an NFS share or an object store."""

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
    """Return ``root`` and ``parts`` as one path, whatever the root's scheme."""
    return "/".join((root.rstrip("/"), *parts))


def exists(spark: SparkSession, path: str) -> bool:
    """Return True if ``path`` exists. Raise Unavailable if the file system cannot be reached."""
    try:
        system, hadoop_path = _open(spark, path)
        return bool(system.exists(hadoop_path))
    except Py4JJavaError as error:
        raise Unavailable(f"{path} cannot be looked at", _reason(error)) from error


def names(spark: SparkSession, folder: str) -> list[str]:
    """Return the names in ``folder``, none if it is missing."""
    try:
        system, path = _open(spark, folder)
        if not system.exists(path):
            return []
        return [status.getPath().getName() for status in system.listStatus(path)]
    except Py4JJavaError as error:
        raise Unavailable(f"{folder} cannot be looked at", _reason(error)) from error


def data_files(spark: SparkSession, path: str) -> list[StoredFile]:
    """Return the file ``path``, or the files below the folder ``path``, without hidden ones.

    Raise Unavailable if they cannot be listed. A name that begins with ``_`` or ``.`` is hidden, as
    it is for Spark.
    """
    try:
        system, hadoop_path = _open(spark, path)
        files = []
        listed = system.listFiles(hadoop_path, True)
        root = str(system.getFileStatus(hadoop_path).getPath().toUri().toString())
        while listed.hasNext():
            status = listed.next()
            address = str(status.getPath().toUri().toString())
            below = address.removeprefix(root).strip("/").split("/")
            is_hidden = any(part.startswith(HIDDEN) for part in below)
            if address == root or not is_hidden:
                modified = utc_from_milliseconds(int(status.getModificationTime()))
                files.append(StoredFile(address, int(status.getLen()), modified))
        return sorted(files)
    except Py4JJavaError as error:
        raise Unavailable(f"{path} cannot be looked at", _reason(error)) from error


def file_system(spark: SparkSession) -> FileSystem:
    """Return the file systems that Hadoop knows."""

    def files(path: str) -> list[StoredFile] | None:
        if not exists(spark, path):
            return None
        return data_files(spark, path)

    return FileSystem(files, lambda path: exists(spark, path))


def local_path(address: str) -> Path | None:
    """Return the path on this machine of ``address``, or None for another file system."""
    parts = urlsplit(address)
    if parts.scheme == "file":
        return Path(unquote(parts.path))
    if "://" in address:
        return None
    return Path(address)


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
    """Return the number and bytes of the files below ``path``, which may be a file or missing."""
    try:
        system, hadoop_path = _open(spark, path)
        if not system.exists(hadoop_path):
            return Usage(0, 0)
        summary = system.getContentSummary(hadoop_path)
        return Usage(int(summary.getFileCount()), int(summary.getLength()))
    except Py4JJavaError as error:
        raise Unavailable(f"{path} cannot be looked at", _reason(error)) from error


def require_writable(spark: SparkSession, folder: str) -> None:
    """Create ``folder`` and a marker in it, then delete the marker. Raise Unavailable on failure.

    A job calls it before any work, so that it fails early if the lake cannot be written.
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
            remedy="check that the place exists, that this user may write there and that its disk "
            "is not full",
        ) from error


def put(spark: SparkSession, local: Path, path: str) -> None:
    """Copy the file ``local`` to ``path``, or write nothing. Raise Unavailable on failure."""
    partial = f"{path}.part"
    try:
        system, target = _open(spark, partial)
        _, source = _open(spark, local.as_uri())
        _, final = _open(spark, path)
        system.setWriteChecksum(False)  # Hadoop would write a .crc file next to it
        system.copyFromLocalFile(False, True, source, target)
        if not system.rename(target, final):
            raise Unavailable(
                f"{partial} could not be renamed",
                remedy=f"check if {path} exists already, and remove it",
            )
    except Py4JJavaError as error:
        raise Unavailable(f"{path} cannot be written", _reason(error)) from error


def delete(spark: SparkSession, folder: str) -> None:
    """Delete ``folder`` and its contents, if it exists. Raise Unavailable on failure."""
    try:
        system, path = _open(spark, folder)
        system.delete(path, True)
    except Py4JJavaError as error:
        raise Unavailable(f"{folder} cannot be deleted", _reason(error)) from error


def _open(spark: SparkSession, path: str) -> tuple[Any, Any]:
    context = spark.sparkContext
    # Attribute access part by part would search every jar for a class org, org.apache and so on.
    path_class = getattr(context._jvm, "org.apache.hadoop.fs.Path")
    java_context: Any = context._jsc
    hadoop_path = path_class(path)
    system = hadoop_path.getFileSystem(java_context.hadoopConfiguration())
    return system, hadoop_path


def _reason(error: Py4JJavaError) -> str:
    cause: Any = error.java_exception
    return str(cause.toString())
